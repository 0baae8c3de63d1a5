#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/fleet_node_private.h"

struct cox_fleet_node *cox_fleet_node_create(const struct cox_fleet_node_options *options) {
  struct cox_fleet_node *const node = calloc(1, sizeof *node);
  if (node == NULL) return NULL;
  node->options = *options;
  snprintf(node->id, sizeof node->id, "%s", options->id);
  node->options.id = node->id;
  node->exit_at_us = node->back_at_us = COX_FLEET_NEVER;
  cox_fleet_clear(node);
  cox_fleet_node_reset_counts(node);
  node->is_up = true;
  node->starts = 1;
  return node;
}

void cox_fleet_node_destroy(struct cox_fleet_node *node) {
  if (node == NULL) return;
  assert(node->first == NULL);
  for (int kind = 0; kind < COX_FAULT_KINDS_LASTING; kind++) free(node->faults[kind]);
  cox_fleet_clear(node);
  json_decref(node->last_init);
  json_decref(node->last_up);
  json_decref(node->last_train);
  free(node);
}

void cox_fleet_call_fini(struct cox_fleet_call *call) {
  json_decref(call->body);
  json_decref(call->answer.json);
  free(call->answer.location);
  *call = (struct cox_fleet_call){0};
}

void cox_fleet_keep(json_t **place, json_t *body) {
  json_t *const old = *place;
  *place = json_incref(body);
  json_decref(old);
}

/* ---- the open calls ---- */

static void link_call(struct cox_fleet_node *node, struct cox_fleet_call *call) {
  call->previous = node->last;
  call->next = NULL;
  *(node->last != NULL ? &node->last->next : &node->first) = call;
  node->last = call;
  call->is_counted = call->is_mutating && !call->is_abandoned;
  if (!call->is_counted) return;
  node->mutating_open++;
  if (node->mutating_open > node->mutating_open_max) node->mutating_open_max = node->mutating_open;
}

static void unlink_call(struct cox_fleet_node *node, struct cox_fleet_call *call) {
  *(call->previous != NULL ? &call->previous->next : &node->first) = call->next;
  *(call->next != NULL ? &call->next->previous : &node->last) = call->previous;
  call->previous = call->next = NULL;
}

void cox_fleet_node_close(struct cox_fleet_node *node, struct cox_fleet_call *call) {
  if (call->is_counted) node->mutating_open--;
  call->is_counted = false;
}

void cox_fleet_answer(struct cox_fleet_node *node, struct cox_fleet_call *call, int64_t at_us, int status, json_t *json) {
  json_decref(call->answer.json);
  call->answer.manner = call->manner;
  call->answer.status = status;
  call->answer.json = json;
  if (call->is_garbled) {
    json_decref(json);
    call->answer.json = NULL;
    call->answer.text = "{\"status\": \"OK\", \"sta";
  }
  call->at_us = at_us + node->options.latency_us;
  call->wait = call->is_muted ? COX_WAIT_NEVER : COX_WAIT_LEAVE;
}

void cox_fleet_answer_text(struct cox_fleet_node *node, struct cox_fleet_call *call, int64_t at_us, int status, const char *text) {
  cox_fleet_answer(node, call, at_us, status, NULL);
  if (!call->is_garbled) call->answer.text = text;
}

void cox_fleet_answer_detail(struct cox_fleet_node *node, struct cox_fleet_call *call, int64_t at_us, int status, const char *detail) {
  cox_fleet_answer(node, call, at_us, status, json_pack("{ss}", "detail", detail));
}

void cox_fleet_answer_invalid(struct cox_fleet_node *node, struct cox_fleet_call *call, int64_t at_us, const char *field, const char *why) {
  cox_fleet_answer(node, call, at_us, 422,
                   json_pack("{s[{s[ss]ssss}]}", "detail", "loc", "body", field, "msg", why, "type", "value_error"));
}

static void answer_reset(struct cox_fleet_node *node, struct cox_fleet_call *call, int64_t at_us) {
  call->is_muted = call->is_garbled = false;
  call->manner = COX_MANNER_RESET;
  cox_fleet_answer(node, call, at_us, 0, NULL);
}

void cox_fleet_wait(struct cox_fleet_call *call, enum cox_fleet_wait wait, int64_t until_us, int status, json_t *json) {
  call->wait = (int)wait;
  call->at_us = until_us;
  call->answer.status = status;
  json_decref(call->answer.json);
  call->answer.json = json;
}

static void release_call(struct cox_fleet_node *node, struct cox_fleet_call *call, int64_t at_us) {
  json_t *const prepared = call->answer.json;
  call->answer.json = NULL;
  cox_fleet_answer(node, call, at_us, call->answer.status, prepared);
}

void cox_fleet_release(struct cox_fleet_node *node, enum cox_fleet_wait wait, int64_t at_us) {
  for (struct cox_fleet_call *call = node->first; call != NULL; call = call->next) {
    if (call->wait == (int)wait) release_call(node, call, at_us);
  }
}

void cox_fleet_turn(struct cox_fleet_node *node, int64_t at_us) {
  for (struct cox_fleet_call *call = node->first; call != NULL; call = call->next) {
    if (call->wait == COX_WAIT_TURN) cox_fleet_route_handle(node, call, at_us);
  }
}

/* ---- the arrival of a call ---- */

static const struct cox_fleet_fault *hit(const struct cox_fleet_node *node, enum cox_fleet_fault_kind kind, const char *name) {
  const struct cox_fleet_fault *const fault = node->faults[kind];
  return fault != NULL && (fault->part[0] == '\0' || strstr(name, fault->part) != NULL) ? fault : NULL;
}

/* Faults of the wire that let the call be carried out. */
static void spoil(struct cox_fleet_node *node, struct cox_fleet_call *call, const char *name) {
  const struct cox_fleet_fault *const slow = hit(node, COX_FAULT_SLOW, name);
  if (slow != NULL) {
    call->manner = COX_MANNER_SLOW;
    call->answer.interval_us = (int64_t)(slow->number * 1000);
  }
  if (hit(node, COX_FAULT_HUGE, name)) call->manner = COX_MANNER_HUGE;
  call->is_garbled = hit(node, COX_FAULT_BAD_JSON, name) != NULL;
  call->is_muted = hit(node, COX_FAULT_SILENCE, name) != NULL;
}

static void redirect(struct cox_fleet_node *node, struct cox_fleet_call *call, const struct cox_fleet_fault *fault, int64_t at_us) {
  call->answer.location = strdup(fault->value[0] != '\0' ? fault->value : "http://127.0.0.1:1/elsewhere");
  cox_fleet_answer_detail(node, call, at_us, 307, "elsewhere");
}

/* Faults that keep the call from being carried out; true when one did. */
static bool is_caught(struct cox_fleet_node *node, struct cox_fleet_call *call, const char *name, int64_t at_us) {
  const struct cox_fleet_fault *fault;
  if (hit(node, COX_FAULT_HANG, name)) {
    call->wait = COX_WAIT_NEVER;
  } else if (hit(node, COX_FAULT_CLOSE, name)) {
    answer_reset(node, call, at_us);
  } else if (hit(node, COX_FAULT_HALF_HEADER, name)) {
    call->manner = COX_MANNER_HALF_HEADER;
    cox_fleet_answer(node, call, at_us, 200, NULL);
  } else if ((fault = hit(node, COX_FAULT_ERROR, name)) != NULL) {
    cox_fleet_answer_detail(node, call, at_us, (int)fault->number, "an error was asked for");
  } else if (hit(node, COX_FAULT_CONFLICT, name)) {
    cox_fleet_answer_detail(node, call, at_us, 409, "a conflict was asked for");
  } else if ((fault = hit(node, COX_FAULT_REDIRECT, name)) != NULL) {
    redirect(node, call, fault, at_us);
  } else if (call->is_mutating && (fault = hit(node, COX_FAULT_LIE, name)) != NULL && fault->value[0] == '\0') {
    cox_fleet_answer(node, call, at_us, 200, cox_fleet_route_pretend(call->route));
  } else {
    return false;
  }
  return true;
}

static void count(struct cox_fleet_node *node, const struct cox_fleet_route *route, int64_t at_us) {
  struct cox_fleet_count *const counts = &node->counts[route - cox_fleet_routes];
  if (counts->calls++ == 0) counts->first_us = at_us;
  counts->last_us = at_us;
  if (node->first_call_us == COX_FLEET_NEVER) node->first_call_us = at_us;
  node->last_call_us = at_us;
}

static void advance(struct cox_fleet_node *node, int64_t now_us);

void cox_fleet_node_take(struct cox_fleet_node *node, struct cox_fleet_call *call, const char *method, const char *path, int64_t now_us) {
  advance(node, now_us);
  call->route = cox_fleet_route_find(method, path);
  call->is_mutating = strcmp(method, "POST") == 0 && !call->route->is_inference;
  count(node, call->route, now_us);
  link_call(node, call);
  char name[128];
  snprintf(name, sizeof name, "%s %s", method, path);
  spoil(node, call, name);
  if (!cox_fleet_node_is_listening(node)) {
    answer_reset(node, call, now_us);
  } else if (!is_caught(node, call, name, now_us)) {
    cox_fleet_route_handle(node, call, now_us);
  }
  advance(node, now_us); /* what takes no time has happened */
}

void cox_fleet_node_drop(struct cox_fleet_node *node, struct cox_fleet_call *call) {
  unlink_call(node, call);
  cox_fleet_node_close(node, call);
}

/* ---- time ---- */

static int64_t least(int64_t left, int64_t right) { return left < right ? left : right; }

static bool is_answering(const struct cox_fleet_node *node) { return node->is_up && !node->is_quiet && !node->is_silent; }

static int64_t next_event_us(const struct cox_fleet_node *node) {
  int64_t next = least(least(node->stop_at_us, node->server.load_at_us), least(node->quiet_at_us, node->exit_at_us));
  next = least(next, node->back_at_us);
  if (!is_answering(node)) return next;
  for (const struct cox_fleet_call *call = node->first; call != NULL; call = call->next) {
    if (call->wait == COX_WAIT_TIME) next = least(next, call->at_us);
  }
  return next;
}

static void release_timed(struct cox_fleet_node *node, int64_t at_us) {
  for (struct cox_fleet_call *call = node->first; call != NULL; call = call->next) {
    if (call->wait == COX_WAIT_TIME && call->at_us <= at_us) release_call(node, call, at_us);
  }
}

/* The one thing that is due first. */
static void happen(struct cox_fleet_node *node, int64_t at_us) {
  if (node->exit_at_us <= at_us) {
    cox_fleet_exit(node, at_us, node->options.restart_us);
  } else if (node->back_at_us <= at_us) {
    cox_fleet_back(node, at_us);
  } else if (node->quiet_at_us <= at_us) {
    cox_fleet_quiet(node, at_us);
  } else if (node->server.load_at_us <= at_us) {
    cox_fleet_loaded(node, at_us);
  } else if (node->stop_at_us <= at_us) {
    cox_fleet_stopped(node, at_us);
  } else {
    release_timed(node, at_us);
  }
}

static void advance(struct cox_fleet_node *node, int64_t now_us) {
  for (;;) {
    const int64_t at_us = next_event_us(node);
    if (at_us > now_us) return;
    /* A prepared answer whose time fell into a silence is given when that ended. */
    happen(node, at_us > node->happened_us ? at_us : node->happened_us);
    if (at_us > node->happened_us) node->happened_us = at_us;
  }
}

struct cox_fleet_call *cox_fleet_node_answered(struct cox_fleet_node *node, int64_t now_us) {
  advance(node, now_us);
  struct cox_fleet_call *earliest = NULL;
  for (struct cox_fleet_call *call = node->first; call != NULL; call = call->next) {
    if (call->wait != COX_WAIT_LEAVE || call->at_us > now_us) continue;
    if (earliest == NULL || call->at_us < earliest->at_us) earliest = call;
  }
  if (earliest == NULL) return NULL;
  unlink_call(node, earliest);
  if (earliest->answer.manner <= COX_MANNER_RESET) cox_fleet_node_close(node, earliest);
  return earliest;
}

int64_t cox_fleet_node_next_us(const struct cox_fleet_node *node) {
  int64_t next = next_event_us(node);
  for (const struct cox_fleet_call *call = node->first; call != NULL; call = call->next) {
    if (call->wait == COX_WAIT_LEAVE) next = least(next, call->at_us);
  }
  return next;
}

/* ---- faults ---- */

static void clear_faults(struct cox_fleet_node *node) {
  for (int kind = 0; kind < COX_FAULT_KINDS_LASTING; kind++) {
    free(node->faults[kind]);
    node->faults[kind] = NULL;
  }
}

static bool set_fault(struct cox_fleet_node *node, const struct cox_fleet_fault *fault) {
  struct cox_fleet_fault **const place = &node->faults[fault->kind];
  if (*place == NULL) *place = malloc(sizeof **place);
  if (*place != NULL) **place = *fault;
  return *place != NULL;
}

bool cox_fleet_node_fault(struct cox_fleet_node *node, const struct cox_fleet_fault *fault, int64_t now_us) {
  advance(node, now_us);
  switch (fault->kind) {
  case COX_FAULT_NONE:
    clear_faults(node);
    node->two_services = 0;
    break;
  case COX_FAULT_RESTART:
    cox_fleet_exit(node, now_us, (int64_t)(fault->number * COX_FLEET_SECOND_US));
    break;
  case COX_FAULT_UNHEALTHY:
    if (cox_fleet_is_healthy(node, now_us)) cox_fleet_doom(node, now_us);
    break;
  case COX_FAULT_TWO:
    node->two_services = (int)fault->number;
    break;
  default:
    if (!fault->is_off) return set_fault(node, fault);
    free(node->faults[fault->kind]);
    node->faults[fault->kind] = NULL;
  }
  advance(node, now_us);
  return true;
}

bool cox_fleet_node_is_listening(const struct cox_fleet_node *node) {
  return node->is_up && node->faults[COX_FAULT_REFUSE] == NULL;
}

unsigned cox_fleet_node_starts(const struct cox_fleet_node *node) { return node->starts; }
