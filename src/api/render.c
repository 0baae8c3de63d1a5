#include "api/render.h"

#include <stdlib.h>

#include "api/request.h"
#include "api/server.h"
#include "base/clock.h"

struct cox_render_job {
  struct cox_wait wait;
  struct cox_render_job *next;
  cox_render_fn *render;
  const char *content_type;
  struct cox_blob *blob; /* NULL until rendered, or out of memory; read only after an answer */
};

static void destroy(struct cox_wait *wait) {
  struct cox_render_job *const job = COX_CONTAINER(wait, struct cox_render_job, wait);
  cox_blob_release(job->blob);
  free(job);
}

/* Takes the oldest job and all others that want the same; they keep their order. NULL: the end. */
static struct cox_render_job *take(struct cox_renderer *renderer) {
  struct cox_render_job *taken = NULL, **end = &taken;
  cox_mutex_lock(&renderer->mutex);
  while (renderer->first == NULL && !renderer->is_ended) cox_cond_wait(&renderer->cond, &renderer->mutex);
  cox_render_fn *const render = renderer->first != NULL ? renderer->first->render : NULL;
  struct cox_render_job **place = &renderer->first;
  renderer->last = NULL;
  while (*place != NULL) {
    struct cox_render_job *const job = *place;
    if (job->render != render) {
      renderer->last = job;
      place = &job->next;
      continue;
    }
    *place = job->next;
    job->next = NULL;
    *end = job;
    end = &job->next;
  }
  cox_mutex_unlock(&renderer->mutex);
  return taken;
}

static bool is_wanted(struct cox_render_job *job) {
  while (job != NULL && cox_wait_end(&job->wait) != COX_WAIT_OPEN) job = job->next;
  return job != NULL;
}

static void serve(struct cox_renderer *renderer, struct cox_render_job *job) {
  struct cox_blob *blob = NULL;
  if (is_wanted(job)) blob = job->render(renderer->api);
  while (job != NULL) {
    struct cox_render_job *const next = job->next;
    if (blob != NULL) job->blob = cox_blob_hold(blob);
    cox_wait_finish(&job->wait, COX_WAIT_ANSWERED);
    cox_wait_release(&job->wait);
    job = next;
  }
  cox_blob_release(blob);
}

static void run(void *arg) {
  struct cox_renderer *const renderer = arg;
  for (struct cox_render_job *job = take(renderer); job != NULL; job = take(renderer)) serve(renderer, job);
}

int cox_renderer_start(struct cox_renderer *renderer, struct cox_api *api, struct cox_err *err) {
  *renderer = (struct cox_renderer){.api = api};
  cox_mutex_init(&renderer->mutex);
  cox_cond_init(&renderer->cond);
  return cox_thread_start(&renderer->thread, "cox-api-render", run, renderer, err);
}

void cox_renderer_stop(struct cox_renderer *renderer) {
  if (renderer->api == NULL) return;
  cox_mutex_lock(&renderer->mutex);
  renderer->is_ended = true;
  cox_cond_signal(&renderer->cond);
  cox_mutex_unlock(&renderer->mutex);
  cox_thread_join(&renderer->thread);
  cox_cond_fini(&renderer->cond);
  cox_mutex_fini(&renderer->mutex);
}

static void rendered(struct cox_request *request, struct cox_wait *wait) {
  struct cox_render_job *const job = COX_CONTAINER(wait, struct cox_render_job, wait);
  cox_request_answer_blob(request, 200, job->content_type, job->blob);
  job->blob = NULL;
}

void cox_request_render(struct cox_request *request, cox_render_fn *render, const char *content_type) {
  struct cox_renderer *const renderer = &request->api->renderer;
  struct cox_render_job *const job = calloc(1, sizeof *job);
  if (job == NULL) {
    cox_request_fail(request, 500, "%s %s failed: out of memory; try again later", request->method, request->match.route->pattern);
    return;
  }
  job->wait.destroy = destroy;
  job->render = render;
  job->content_type = content_type;
  request->resume = rendered;
  cox_wait_begin(&job->wait, request, cox_clock_mono_us(cox_clock_system()) + request->api->command_us);
  cox_wait_hold(&job->wait);
  cox_mutex_lock(&renderer->mutex);
  if (renderer->last != NULL) renderer->last->next = job;
  else renderer->first = job;
  renderer->last = job;
  cox_cond_signal(&renderer->cond);
  cox_mutex_unlock(&renderer->mutex);
}
