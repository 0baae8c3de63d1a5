#include "request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/job.h"
#include "api/request.h"
#include "api/server.h"
#include "input.h"

enum { COMMAND_US = 10000000, TURNS_MAX = 100, TURN_S = 60 };

struct requests {
  struct fake *fake;
  struct cox_api api;
};

struct requests *requests_create(struct fake *fake) {
  struct requests *const requests = calloc(1, sizeof *requests);
  if (requests == NULL) abort();
  requests->fake = fake;
  struct cox_api *const api = &requests->api;
  api->options.broker = fake->broker;
  api->command_us = COMMAND_US;
  api->waker = cox_waker_create(NULL);
  if (api->waker == NULL || cox_keys_init(&api->keys, api, 1, 1, NULL) != 0) abort();
  return requests;
}

void requests_destroy(struct requests *requests) {
  cox_keys_fini(&requests->api.keys);
  cox_waker_release(requests->api.waker);
  free(requests);
}

/* The key that keeps a job's outcome: here the request is looked at instead (linked with --wrap). */
bool __wrap_cox_key_keep(struct cox_job *job);
bool __wrap_cox_key_keep(struct cox_job *job) { return job->request->status != 0; }
void __wrap_cox_key_settle(struct cox_job *job);
void __wrap_cox_key_settle(struct cox_job *job) { (void)job; }

static void carry_out(struct requests *requests, struct cox_request *request) {
  cox_job_turn(request->job);
  for (int i = 0; request->status == 0; i++) {
    input_must(i < TURNS_MAX, "every request is answered");
    fake_run(requests->fake);
    cox_waker_turn(requests->api.waker, -1, 0);
    if (request->status == 0) fake_pass_time(requests->fake, TURN_S);
  }
}

static bool is_for_all(const struct cox_request *request) {
  const struct cox_route *const route = request->match.route;
  return route != NULL && strcmp(route->method, "GET") != 0;
}

unsigned requests_send(struct requests *requests, const char *method, const char *target, const char *body, size_t size, json_t **answer) {
  struct cox_job job = {.keys = &requests->api.keys};
  struct cox_request *const request = calloc(1, sizeof *request);
  if (request == NULL) abort();
  *answer = NULL;
  *request = (struct cox_request){.api = &requests->api, .job = &job, .method = method, .target = target, .caller = cox_access_anonymous()};
  job.request = request;
  if (cox_path_parse(target, &request->path)) cox_route_match(method, &request->path, &request->match);
  unsigned status = 0;
  if (is_for_all(request)) {
    input_must(cox_request_take(request, body, size), "a body that fits is taken");
    carry_out(requests, request);
    status = request->status;
    if (request->answer != NULL) *answer = json_loadb(request->answer->data, request->answer->len, JSON_DECODE_ANY, NULL);
    if (*answer == NULL && request->answer != NULL) fprintf(stderr, "%s %s: %u %.*s\n", method, target, status, (int)request->answer->len, request->answer->data);
    input_must(*answer != NULL, "every answer is JSON");
  }
  request->is_delivered = true;
  cox_request_destroy(request);
  while (cox_lock_held() > 0) input_must(false, "no lock is left held");
  return status;
}
