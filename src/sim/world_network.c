/* Calls on their way to machines and back: everything that can happen to a packet between two processes. */
#include <stdlib.h>
#include <string.h>

#include "sim/world_private.h"

enum { HUGE_MS = 20 };

struct cox_world_call *cox_world_call_find(struct cox_world *world, uint64_t id) {
  struct cox_world_call *call = world->calls;
  while (call != NULL && call->id != id) call = call->next;
  return call;
}

static void forget(struct cox_world *world, struct cox_world_call *call) {
  struct cox_world_call **place = &world->calls;
  while (*place != call) place = &(*place)->next;
  *place = call->next;
  if (call->is_at_node) cox_fleet_node_drop(world->machines[call->machine].node, &call->fleet);
  cox_fleet_call_fini(&call->fleet);
  free(call->body);
  free(call->error);
  free(call);
}

void cox_world_forget_calls(struct cox_world *world) {
  while (world->calls != NULL) forget(world, world->calls);
}

static struct cox_world_call *make(struct cox_world *world, unsigned machine, const char *method, const char *path, json_t *body) {
  struct cox_world_call *const call = calloc(1, sizeof *call);
  if (call == NULL) abort();
  call->id = ++world->ids;
  call->machine = machine;
  call->fleet.body = body;
  call->is_mutating = strcmp(method, "POST") == 0;
  snprintf(call->method, sizeof call->method, "%s", method);
  snprintf(call->path, sizeof call->path, "%s", path);
  call->next = world->calls;
  world->calls = call;
  return call;
}

/* ---- the answer ---- */

static void settle(struct cox_world_call *call, enum cox_class class_, int status, char *body, const char *error) {
  call->class_ = class_;
  call->status = status;
  free(call->body);
  free(call->error);
  call->body = body;
  call->error = error != NULL ? strdup(error) : NULL;
}

static void fail(struct cox_world *world, struct cox_world_call *call, enum cox_class class_, const char *error, int64_t after_us) {
  char text[200];
  snprintf(text, sizeof text, "%s http://%s%s: %s", call->method, world->machines[call->machine].host, call->path, error);
  settle(call, class_, 0, NULL, text);
  cox_world_plan(world, world->now_us + after_us, COX_EVENT_ANSWER, call->id, 0);
}

static int64_t flight_us(struct cox_world *world) { return cox_world_span(world, COX_WORLD_NETWORK, 0.0001, 0.004); }

static void answer_plain(struct cox_world *world, struct cox_world_call *call, int64_t after_us) {
  const struct cox_fleet_answer *const answer = &call->fleet.answer;
  char *const body = answer->json != NULL ? json_dumps(answer->json, JSON_COMPACT | JSON_SORT_KEYS) : strdup(answer->text ? answer->text : "");
  settle(call, COX_CLASS_NONE, answer->status, body, NULL);
  cox_world_plan(world, world->now_us + after_us, COX_EVENT_ANSWER, call->id, 0);
}

/* The node has answered: what its caller gets to see, and when. */
static void bring_back(struct cox_world *world, struct cox_world_call *call) {
  const int64_t flight = flight_us(world);
  struct cox_fleet_node *const node = world->machines[call->machine].node;
  const enum cox_fleet_manner manner = call->fleet.answer.manner;
  if (manner > COX_MANNER_RESET) cox_fleet_node_close(node, &call->fleet);
  const bool is_carried_out = call->is_mutating && !call->is_lie && !call->fleet.is_abandoned && call->fleet.answer.status == 200;
  if (is_carried_out) world->machines[call->machine].is_vague = false; /* what it was asked is what it is */
  if (call->run == 0 || call->fate == COX_FATE_ANSWER_LOST) {
    if (call->run == 0) forget(world, call);
  } else if (call->fate == COX_FATE_ANSWER_RESET || manner == COX_MANNER_RESET) {
    fail(world, call, COX_CLASS_RESET, "the connection broke before the answer was whole", flight);
  } else if (manner == COX_MANNER_HUGE) {
    fail(world, call, COX_CLASS_BAD_ANSWER, "answer larger than can be taken", HUGE_MS * COX_WORLD_MS);
  } else if (manner == COX_MANNER_SLOW) {
    answer_plain(world, call, flight + 200 * call->fleet.answer.interval_us);
  } else if (manner == COX_MANNER_PLAIN) {
    answer_plain(world, call, flight);
  } /* half a header: nothing comes any more */
}

/* ---- the machine's side ---- */

static void plan_machine(struct cox_world *world, unsigned index) {
  struct cox_world_machine *const machine = &world->machines[index];
  const int64_t next = cox_fleet_node_next_us(machine->node);
  if (next >= machine->wake_us) return;
  machine->wake_us = next;
  cox_world_plan(world, next, COX_EVENT_MACHINE, index, 0);
}

static void collect(struct cox_world *world, unsigned index) {
  struct cox_fleet_call *answered;
  while ((answered = cox_fleet_node_answered(world->machines[index].node, world->now_us)) != NULL) {
    struct cox_world_call *const call = (struct cox_world_call *)(void *)answered;
    call->is_at_node = false;
    bring_back(world, call);
  }
  plan_machine(world, index);
}

void cox_world_machine_move(struct cox_world *world, unsigned index) {
  struct cox_world_machine *const machine = &world->machines[index];
  if (machine->wake_us <= world->now_us) machine->wake_us = INT64_MAX;
  collect(world, index);
}

/* A call that nobody waits for any more does its work all the same, and can undo what was done since. */
static void arrive_late(struct cox_world *world, struct cox_world_call *call) {
  struct cox_world_machine *const machine = &world->machines[call->machine];
  call->fleet.is_abandoned = true;
  world->outcome.late_calls++;
  if (call->is_mutating) machine->is_vague = true;
}

void cox_world_arrive(struct cox_world *world, uint64_t id) {
  struct cox_world_call *const call = cox_world_call_find(world, id);
  if (call == NULL) return;
  struct cox_world_machine *const machine = &world->machines[call->machine];
  const bool is_cut = machine->cut_until_us > world->now_us || call->fate == COX_FATE_LOST;
  cox_world_trace(world, "arrives %s %s at %s%s%s", call->method, call->path, machine->host, call->run == 0 ? " late" : "",
                  is_cut ? ", or rather not" : "");
  if (is_cut || (call->run == 0 && !cox_fleet_node_is_listening(machine->node))) {
    call->fate = COX_FATE_LOST;
    if (call->run == 0) forget(world, call);
    return;
  }
  if (call->fate == COX_FATE_RESET) {
    fail(world, call, COX_CLASS_RESET, "the connection was reset", flight_us(world));
    return;
  }
  if (call->fate == COX_FATE_REFUSED || !cox_fleet_node_is_listening(machine->node)) {
    fail(world, call, COX_CLASS_REFUSED, "connection refused", flight_us(world));
    return;
  }
  if (call->run == 0) arrive_late(world, call);
  call->is_lie = call->is_mutating && machine->is_lying;
  if (call->is_lie) machine->is_vague = true;
  call->is_at_node = true;
  world->outcome.calls++;
  cox_fleet_node_take(machine->node, &call->fleet, call->method, call->path, world->now_us);
  const uint64_t number = call->id;
  collect(world, call->machine);
  struct cox_world_call *const left = cox_world_call_find(world, number);
  if (left != NULL && left->run == 0) forget(world, left);
}

/* ---- the caller's side ---- */

static enum cox_world_fate draw_fate(struct cox_world *world) {
  static const struct {
    enum cox_world_fate fate;
    double p;
  } fates[] = {{COX_FATE_LOST, 0.006}, {COX_FATE_ANSWER_LOST, 0.006}, {COX_FATE_RESET, 0.008}, {COX_FATE_ANSWER_RESET, 0.008},
               {COX_FATE_REFUSED, 0.008}};
  enum cox_world_fate fate = COX_FATE_GOOD;
  for (size_t i = 0; i < sizeof fates / sizeof *fates; i++) {
    if (cox_world_roll(world, COX_WORLD_NETWORK, fates[i].p)) fate = fates[i].fate;
  }
  return fate;
}

static void duplicate(struct cox_world *world, const struct cox_world_call *call) {
  struct cox_world_call *const copy = make(world, call->machine, call->method, call->path, json_incref(call->fleet.body));
  copy->fleet.is_inference = call->fleet.is_inference;
  cox_world_plan(world, world->now_us + cox_world_span(world, COX_WORLD_NETWORK, 0.001, 2), COX_EVENT_ARRIVE, copy->id, 0);
}

static void open_post(struct cox_world *world, struct cox_world_run *run, struct cox_world_call *call) {
  struct cox_world_machine *const machine = &world->machines[call->machine];
  machine->open_posts++;
  if (strstr(call->path, "/inference/up") != NULL && run->attempt != NULL) {
    machine->loaded_life = world->lives;
    machine->loaded_by = run->attempt->fence.registration;
  }
  if (machine->open_posts > 1) {
    cox_world_break(world, "one mutating call per machine", machine->host, "%s %s was sent to %s while another POST is open", call->method,
                    call->path, machine->host);
  }
  cox_world_check_init(world, run, call->path, call->fleet.body);
}

static void refuse_nobody(struct cox_world *world, struct cox_world_run *run, const struct cox_io_request *request) {
  struct cox_world_call *const call = make(world, 0, request->method, "/nobody", NULL);
  call->run = run->id;
  call->is_mutating = false;
  run->call = call;
  fail(world, call, COX_CLASS_REFUSED, "connection refused: nobody lives there", COX_WORLD_MS);
}

void cox_world_send(struct cox_world *world, struct cox_world_run *run, const struct cox_io_request *request) {
  bool is_inference;
  const char *path;
  const int index = cox_world_find_machine(world, request->url, &is_inference, &path);
  if (index < 0) {
    refuse_nobody(world, run, request);
    return;
  }
  json_t *const body = request->body != NULL ? json_loads(request->body, 0, NULL) : NULL;
  struct cox_world_call *const call = make(world, (unsigned)index, request->method, path, body);
  call->fleet.is_inference = is_inference;
  call->run = run->id;
  run->call = call;
  cox_world_trace(world, "sends %s %s to 10.0.0.%d", call->method, path, index);
  if (call->is_mutating) open_post(world, run, call);
  call->fate = draw_fate(world);
  int64_t flight = flight_us(world);
  if (cox_world_roll(world, COX_WORLD_NETWORK, 0.02)) flight += cox_world_span(world, COX_WORLD_NETWORK, 0.05, 3);
  cox_world_plan(world, world->now_us + flight, COX_EVENT_ARRIVE, call->id, 0);
  if (cox_world_roll(world, COX_WORLD_NETWORK, 0.005)) duplicate(world, call);
}

void cox_world_hang_up(struct cox_world *world, struct cox_world_run *run) {
  struct cox_world_call *const call = run->call;
  if (call == NULL) return;
  run->call = NULL;
  call->run = 0;
  if (call->is_mutating) world->machines[call->machine].open_posts--;
  const bool is_answered = call->class_ != COX_CLASS_NONE || call->body != NULL;
  const bool travels = !call->is_at_node && !is_answered && call->fleet.route == NULL;
  if (!travels || call->fate != COX_FATE_GOOD) forget(world, call); /* one that travels arrives late */
}

/* The routers are back: what hung is told so. */
void cox_world_heal_network(struct cox_world *world) {
  for (unsigned i = 0; i < world->machine_count; i++) world->machines[i].cut_until_us = 0;
  for (struct cox_world_call *call = world->calls, *next; call != NULL; call = next) {
    next = call->next;
    const bool hangs = call->fate != COX_FATE_GOOD && call->class_ == COX_CLASS_NONE && call->body == NULL && call->run != 0;
    if (!hangs) continue;
    if (call->is_at_node) cox_fleet_node_drop(world->machines[call->machine].node, &call->fleet);
    call->is_at_node = false;
    call->fate = COX_FATE_GOOD;
    fail(world, call, COX_CLASS_RESET, "the connection was reset", COX_WORLD_MS);
  }
}
