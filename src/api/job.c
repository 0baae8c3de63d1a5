#include "api/job.h"

#include <stdlib.h>
#include <string.h>

#include "api/server.h"

struct cox_job *cox_job_create(struct cox_keys *keys, const struct cox_request *request) {
  struct cox_job *const job = calloc(1, sizeof *job);
  if (job == NULL) return NULL;
  job->keys = keys;
  job->method = strdup(request->method);
  job->target = strdup(request->target);
  job->request = calloc(1, sizeof *job->request);
  if (job->method != NULL && job->target != NULL && job->request != NULL) return job;
  cox_job_destroy(job);
  return NULL;
}

void cox_job_take(struct cox_job *job, struct cox_request *request) {
  struct cox_request *const copy = job->request;
  copy->api = request->api;
  copy->job = job;
  copy->method = job->method;
  copy->target = job->target;
  memcpy(copy->id, request->id, sizeof copy->id);
  copy->caller = request->caller;
  copy->started_us = request->started_us;
  copy->match = request->match; /* its parameters are in the path's text, which moves */
  copy->path = request->path;
  request->path = (struct cox_path){0};
  copy->body = request->body;
  request->body = (struct cox_buf){0};
  copy->body_bytes = request->body_bytes;
  copy->if_match = request->if_match;
  copy->if_none_match = request->if_none_match;
  request->if_match = request->if_none_match = NULL;
}

void cox_job_destroy(struct cox_job *job) {
  if (job == NULL) return;
  if (job->request != NULL && job->request->api != NULL) cox_request_destroy(job->request);
  else free(job->request); /* never used */
  cox_settlement_release(job->outcome);
  free(job->method);
  free(job->target);
  free(job);
}

void cox_job_wait(struct cox_job *job, struct cox_wait *wait, int64_t deadline_us) {
  struct cox_keys *const keys = job->keys;
  cox_mutex_lock(&keys->mutex);
  job->wait = wait;
  job->deadline_us = deadline_us;
  if (keys->is_stopped) cox_wait_finish(wait, COX_WAIT_STOPPED);
  cox_mutex_unlock(&keys->mutex);
}

void cox_job_awake(struct cox_job *job) {
  cox_mutex_lock(&job->keys->mutex);
  job->wait = NULL;
  cox_mutex_unlock(&job->keys->mutex);
}

/* True: there is nothing left to wait for. */
static bool go_on(struct cox_job *job) {
  struct cox_request *const request = job->request;
  if (job->outcome == NULL) {
    cox_request_advance(request);
    return request->status != 0 && cox_key_keep(job);
  }
  cox_wait_release(cox_request_take_wait(request)); /* the store has it, or the daemon stops */
  return true;
}

/* The handler may still be on its way out on one thread when its command is answered on another: turns never overlap. */
void cox_job_turn(struct cox_job *job) {
  if (atomic_fetch_add(&job->turns, 1) != 0) return;
  bool is_over;
  do is_over = go_on(job);
  while (atomic_fetch_sub(&job->turns, 1) != 1);
  if (is_over) cox_key_settle(job);
}
