/* What happens when the store is slow, full or broken. */
#include "fake_core.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "core/durable.h"
#include "core/engine.h"
#include "manual_store.h"
#include "store_rig.h"

static struct fake *f;

static int setup(void **state) {
  (void)state;
  cox_log_setup((enum cox_log_level)(COX_LOG_ERROR + 1), false, 2);
  f = fake_create(0);
  manual_reset();
  assert_int_equal(fake_use_store(f, &manual.store, NULL), 0);
  manual_commit_all(f);
  return 0;
}

static int teardown(void **state) {
  (void)state;
  manual_commit_all(f);
  fake_destroy(f);
  return 0;
}

struct question {
  bool is_answered;
  enum cox_outcome outcome;
  struct cox_err err;
};

static void answered(void *arg, const struct cox_answer *answer) {
  struct question *const question = arg;
  assert_false(question->is_answered);
  question->is_answered = true;
  question->outcome = answer->outcome;
  question->err = answer->err;
}

/* Sends it and runs; it may stay unanswered. */
static void send(struct question *question, const char *name, json_t *args) {
  *question = (struct question){0};
  assert_int_equal(cox_broker_submit(f->broker, name, args, answered, question, NULL), 0);
  json_decref(args);
  fake_run(f);
}

static json_t *admin(const char *id, bool is_enabled) { return json_pack("{ss, sb}", "node_id", id, "enabled", (int)is_enabled); }
static json_t *intent(const char *id, json_t *target) { return json_pack("{ss, so}", "node_id", id, "target", target); }
static json_t *named(const char *id) { return json_pack("{ss}", "node_id", id); }

static void must(const char *name, json_t *args) {
  struct question question;
  send(&question, name, args);
  manual_commit_all(f);
  assert_true(question.is_answered);
  assert_int_equal(question.outcome, COX_ANSWER_DONE);
}

static void add(const char *id, int port) { must("register", json_pack("{so}", "node", fake_node(id, port))); }

/* The durable state as text, without what counts up and never goes back. */
static char *image(void) {
  struct store_rig rig = {.fake = f};
  json_t *const tables = store_rig_memory(&rig);
  const char *id;
  json_t *value;
  json_object_del(tables, "counter");
  json_object_foreach(json_object_get(tables, "target"), id, value) json_object_del(value, "generation");
  char *const text = json_dumps(tables, JSON_SORT_KEYS);
  json_decref(tables);
  return text;
}

static void refused(const struct question *question) {
  assert_true(question->is_answered);
  assert_int_equal(question->outcome, COX_ANSWER_ERROR);
  assert_int_equal(question->err.code, COX_EDEGRADED);
  assert_non_null(strstr(question->err.text, "on fire"));
}

static void an_answer_comes_after_the_commit_and_not_before(void **state) {
  (void)state;
  struct question question;
  send(&question, "register", json_pack("{so}", "node", fake_node("node1", 5000)));
  assert_false(question.is_answered);
  assert_string_equal(fake_state(f, "node1", "admin_state"), "present"); /* in force already */
  json_t *page = cox_broker_events_json(f->broker, 1, 100, NULL);
  assert_int_equal(json_array_size(json_object_get(page, "events")), 0); /* and not yet told */
  json_decref(page);
  manual_commit(1);
  assert_true(question.is_answered);
  fake_run(f);
  page = cox_broker_events_json(f->broker, 1, 100, NULL);
  assert_int_equal(json_array_size(json_object_get(page, "events")), 3);
  json_decref(page);
}

static void what_changes_nothing_durable_is_answered_at_once(void **state) {
  (void)state;
  struct question question;
  send(&question, "skip", json_object());
  assert_true(question.is_answered);
  send(&question, "fail", json_object());
  assert_true(question.is_answered);
}

static void dispatch_never_waits_for_the_store(void **state) {
  (void)state;
  struct question question;
  add("node1", 5000);
  fake_arm(f);
  send(&question, "intend", intent("node1", fake_target("INFERENCE", NULL)));
  assert_false(question.is_answered);
  assert_non_null(fake_open(f, "node1"));
  manual_commit_all(f);
}

/* Every kind of change, each on top of others, none of them stored. */
static void a_failed_batch_puts_everything_back_in_reverse_order(void **state) {
  (void)state;
  for (int is_halting = 0; is_halting < 2; is_halting++) {
    char a[16], b[16], c[16], d[16];
    snprintf(a, sizeof a, "a%d", is_halting);
    snprintf(b, sizeof b, "b%d", is_halting);
    snprintf(c, sizeof c, "c%d", is_halting);
    snprintf(d, sizeof d, "d%d", is_halting);
    const int port = 5000 + 10 * is_halting;
    add(a, port);
    add(b, port + 1);
    add(c, port + 2);
    must("intend", intent(b, fake_target("STOPPED", NULL)));
    char *const before = image();
    struct question questions[12];
    json_t *const moved = fake_node(a, port + 5), *const again = fake_node(c, port + 7);
    json_object_set_new(moved, "max_concurrent", json_integer(77));
    send(&questions[0], "admin", admin(a, false));
    send(&questions[1], "update", json_pack("{so}", "node", moved));
    send(&questions[2], "remove", named(b));
    send(&questions[3], "register", json_pack("{so}", "node", fake_node(d, port + 1))); /* on the address of the one that left */
    send(&questions[4], "admin", admin(a, true));
    send(&questions[5], "remove", named(c));
    send(&questions[6], "register", json_pack("{so}", "node", again)); /* the same id, another registration */
    send(&questions[7], "admin", admin(c, false));
    send(&questions[8], "remove", named(d));
    for (int i = 0; i < 9; i++) assert_false(questions[i].is_answered);
    manual_burn(f, is_halting != 0);
    for (int i = 0; i < 9; i++) refused(&questions[i]);
    char *const after = image();
    assert_string_equal(before, after);
    free(before);
    free(after);
    assert_true(manual.settled > 0);
    manual_put_out(f);
    manual_commit_all(f);
    assert_false(cox_broker_is_degraded(f->broker, NULL));
  }
}

static void what_is_stored_already_stays_when_the_next_fails(void **state) {
  (void)state;
  struct question first, second;
  add("node1", 5000);
  send(&first, "admin", admin("node1", false));
  send(&second, "remove", named("node1"));
  manual_commit(1); /* and the core has not heard of it yet */
  manual_burn(f, false);
  assert_int_equal(first.outcome, COX_ANSWER_DONE);
  refused(&second);
  json_t *const node = cox_broker_node_json(f->broker, "node1");
  assert_true(json_is_false(json_object_get(json_object_get(json_object_get(node, "state"), "admin_state"), "enabled")));
  json_decref(node);
}

static void a_removal_that_is_undone_gives_the_attempt_in_flight_back(void **state) {
  (void)state;
  struct question question;
  add("node1", 5000);
  fake_arm(f);
  manual_commit_all(f);
  must("intend", intent("node1", fake_target("INFERENCE", NULL)));
  struct cox_attempt *const attempt = fake_open(f, "node1");
  assert_non_null(attempt);
  send(&question, "remove", named("node1"));
  assert_true(fake_is_cancelled(f, "node1"));
  manual_burn(f, false);
  refused(&question);
  assert_ptr_equal(fake_open(f, "node1"), attempt); /* no second one beside it */
  fake_finish(f, "node1", COX_CLASS_CANCELLED, NULL);
  assert_non_null(fake_open(f, "node1")); /* verified anew */
  fake_finish(f, "node1", COX_CLASS_NONE, NULL);
  assert_string_equal(fake_state(f, "node1", "current_status"), "INFERENCE");
}

static void an_attempt_that_came_back_during_a_removal_leaves_the_node_to_be_verified(void **state) {
  (void)state;
  struct question question;
  add("node1", 5000);
  fake_arm(f);
  manual_commit_all(f);
  must("intend", intent("node1", fake_target("INFERENCE", NULL)));
  send(&question, "remove", named("node1"));
  fake_finish(f, "node1", COX_CLASS_CANCELLED, NULL);
  assert_null(fake_open(f, "node1"));
  manual_burn(f, false);
  refused(&question);
  assert_non_null(fake_open(f, "node1"));
  struct cox_stats stats;
  fake_finish(f, "node1", COX_CLASS_NONE, NULL);
  cox_broker_stats(f->broker, &stats);
  assert_int_equal(stats.in_flight, 0);
  assert_true(stats.is_degraded);
}

static json_int_t number_of(const char *id) {
  json_t *const node = cox_broker_node_json(f->broker, id);
  assert_non_null(node);
  const json_int_t number = json_integer_value(json_object_get(json_object_get(node, "node"), "node_num"));
  json_decref(node);
  return number;
}

/* Else both would get the same part of an episode's nonces. */
static void a_number_is_free_when_the_removal_of_its_node_is_stored_and_not_before(void **state) {
  (void)state;
  struct question removal, registration;
  add("node1", 5000);
  add("node2", 5001);
  send(&removal, "remove", named("node2"));
  send(&registration, "register", json_pack("{so}", "node", fake_node("node3", 5002)));
  assert_int_equal(number_of("node3"), 2);
  manual_burn(f, false);
  refused(&registration);
  refused(&removal);
  assert_int_equal(number_of("node2"), 1);
  manual_put_out(f);
  manual_commit_all(f);
  must("remove", named("node2"));
  add("node4", 5003);
  assert_int_equal(number_of("node4"), 1);
}

static void what_a_phase_decided_since_stands(void **state) {
  (void)state;
  struct question change, phase;
  add("node1", 5000);
  must("intend", intent("node1", fake_target("INFERENCE", NULL)));
  send(&change, "admin", admin("node1", false));
  send(&phase, "intend", intent("node1", fake_target("POC", "GENERATING")));
  manual_burn(f, false);
  refused(&change);
  assert_true(phase.is_answered);
  assert_int_equal(phase.outcome, COX_ANSWER_DONE);
  assert_string_equal(fake_state(f, "node1", "poc_intended_status"), "GENERATING");
}

static struct cox_node *node_of(const char *id) { return cox_registry_find(&f->broker->registry, id); }

static void a_target_that_comes_back_brings_its_drain_back(void **state) {
  (void)state;
  struct cox_lease_grant grant;
  struct question question;
  const struct cox_lease_ask ask = {.model = "m"};
  add("node1", 5000);
  must("block", json_pack("{si, ss, sb, ss}", "height", 10, "hash", "AA", "synced", 1, "command", "due"));
  must("intend", intent("node1", fake_target("INFERENCE", NULL)));
  fake_give_back(f, 0, COX_CLASS_NONE, NULL);
  manual_commit_all(f);
  assert_int_equal(cox_lease_acquire(f->broker, &ask, 0, NULL, &grant, NULL), 0);
  cox_lease_grant_fini(&grant);
  send(&question, "intend", intent("node1", json_pack("{ss, sf}", "status", "TRAINING", "drain_s", 60.0)));
  assert_true(node_of("node1")->drain_until_us > 0);
  manual_burn(f, false);
  assert_int_equal(node_of("node1")->drain_until_us, 0);
  manual_put_out(f);
  manual_commit_all(f);
  must("intend", intent("node1", json_pack("{ss, sf}", "status", "STOPPED", "drain_s", 60.0)));
  assert_null(fake_open(f, "node1"));
  send(&question, "intend", intent("node1", json_pack("{ss}", "status", "TRAINING")));
  assert_non_null(fake_open(f, "node1")); /* it waits for nobody, … */
  manual_burn(f, false);
  fake_give_back(f, 0, COX_CLASS_CANCELLED, NULL);
  fake_run(f);
  assert_null(fake_open(f, "node1")); /* … and then is to be stopped again, when its lease has ended */
  assert_int_equal(cox_lease_release(f->broker, grant.id, COX_LEASE_SUCCESS, NULL), 0);
  fake_run(f);
  assert_non_null(fake_open(f, "node1"));
}

static void degraded_mode_refuses_what_must_be_durable_and_lets_the_rest_go_on(void **state) {
  (void)state;
  struct question question;
  struct cox_err err;
  add("node1", 5000);
  fake_arm(f);
  manual_commit_all(f);
  send(&question, "admin", admin("node1", false));
  manual_burn(f, false);
  refused(&question);
  assert_true(cox_broker_is_degraded(f->broker, &err));
  assert_non_null(strstr(err.text, "on fire"));
  char *const before = image();
  static const char *const names[] = {"admin", "remove", "register", "update", "intend"};
  json_t *const training = json_pack("{ss, s{ss}}", "status", "TRAINING", "task", "id", "t");
  json_t *const args[] = {admin("node1", false), named("node1"), json_pack("{so}", "node", fake_node("node2", 5001)),
                          json_pack("{so}", "node", fake_node("node1", 5009)), intent("node1", training)};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    send(&question, names[i], args[i]);
    refused(&question);
  }
  char *const after = image();
  assert_string_equal(before, after);
  free(before);
  free(after);
  send(&question, "intend", intent("node1", fake_target("POC", "GENERATING"))); /* a phase goes on, and so does the work */
  assert_true(question.is_answered);
  assert_int_equal(question.outcome, COX_ANSWER_DONE);
  fake_finish(f, "node1", COX_CLASS_NONE, NULL);
  assert_string_equal(fake_state(f, "node1", "poc_current_status"), "GENERATING");
  assert_int_equal(cox_broker_keep(f->broker, "jobs", "x", json_true(), NULL, NULL, NULL), 0);
  fake_run(f);
  assert_null(cox_broker_kept(f->broker, "jobs", "x"));
}

/* How many changes the one gap of the journal says are missing. */
static json_int_t told_gap(void) {
  const struct cox_event_filter gaps = {.kind = "gap"};
  json_t *const found = cox_broker_events_json(f->broker, 0, 10, &gaps), *const events = json_object_get(found, "events");
  assert_int_equal(json_array_size(events), 1);
  const json_int_t count = json_integer_value(json_object_get(json_array_get(events, 0), "count"));
  json_decref(found);
  return count;
}

static json_t *folded; /* what the store would hold */

static void fold_all(void) {
  for (size_t i = 0; i < manual.count; i++) {
    for (size_t k = 0; k < manual.held[i]->count; k++) {
      json_t *const record = cox_record_json(manual.held[i]->records[k]);
      cox_durable_fold_into(folded, record);
      json_decref(record);
    }
  }
}

/* The records held, folded over what the store held before, are the whole state in memory. */
static void the_store_holds_the_memory(json_t *before) {
  folded = before;
  fold_all();
  manual_commit_all(f);
  assert_false(cox_broker_is_degraded(f->broker, NULL));
  struct store_rig rig = {.fake = f};
  json_t *const memory = store_rig_memory(&rig), *const kept = cox_broker_kept_all(f->broker, "jobs");
  if (json_object_size(kept) > 0) json_object_set(memory, "keep:jobs", kept);
  assert_true(store_rig_same(folded, memory));
  json_decref(kept);
  json_decref(memory);
  json_decref(folded);
}

static void it_ends_with_the_whole_state_written_anew_and_the_gap_told(void **state) {
  (void)state;
  struct question question;
  add("node1", 5000);
  fake_arm(f);
  manual_commit_all(f);
  send(&question, "admin", admin("node1", false));
  manual_burn(f, false);
  send(&question, "intend", intent("node1", fake_target("POC", "GENERATING"))); /* the store never hears of this one */
  fake_finish(f, "node1", COX_CLASS_NONE, NULL);
  manual_put_out(f);
  assert_true(cox_broker_is_degraded(f->broker, NULL)); /* until it is committed */
  the_store_holds_the_memory(json_pack("{s{ss}}", "node", "ghost", "of what had failed"));
  const struct cox_event_filter stores = {.kind = "store"};
  json_t *const both = cox_broker_events_json(f->broker, 0, 10, &stores);
  assert_true(told_gap() >= 4);
  assert_int_equal(json_array_size(json_object_get(both, "events")), 2); /* degraded, working */
  json_decref(both);
  must("admin", admin("node1", false));
}

enum { MANY = 400, KEPT = 1500, MEANWHILE = 60 };

static void add_many(void) {
  char name[16];
  for (int i = 0; i < MANY; i++) {
    snprintf(name, sizeof name, "node%d", i);
    add(name, 5000 + i);
  }
}

/* On cox-command, between two slices of the state. */
static void keep_another(void *arg, const struct cox_answer *answer) {
  (void)answer;
  const int number = (int)(intptr_t)arg;
  char name[16];
  snprintf(name, sizeof name, "n%d", KEPT - 1 - number);
  json_t *const value = number % 4 == 3 ? NULL : json_integer(1000 + number);
  assert_int_equal(cox_broker_keep(f->broker, "jobs", name, value, NULL, NULL, NULL), 0);
}

static void submit_one(int number) {
  char id[16], fresh[16];
  snprintf(id, sizeof id, "node%d", number * 37 % MANY);
  snprintf(fresh, sizeof fresh, "fresh%d", number);
  const char *const names[] = {"admin", "intend", "remove", "register", "update", "skip"};
  json_t *const args[] = {admin(id, number % 4 == 0), intent(id, fake_target("POC", "GENERATING")), named(id),
                          json_pack("{so}", "node", fake_node(fresh, 20000 + number)),
                          json_pack("{so}", "node", fake_node(id, 30000 + number)), json_object()};
  const size_t which = (size_t)number % 6;
  cox_reply_fn *const reply = which == 5 ? keep_another : NULL;
  assert_int_equal(cox_broker_submit(f->broker, names[which], args[which], reply, (void *)(intptr_t)number, NULL), 0);
  for (size_t i = 0; i < 6; i++) json_decref(args[i]);
}

static void what_changes_while_the_state_is_written_anew_is_in_it(void **state) {
  (void)state;
  char name[16];
  add_many();
  for (int i = 0; i < KEPT; i++) {
    snprintf(name, sizeof name, "n%d", i);
    assert_int_equal(cox_broker_keep(f->broker, "jobs", name, json_integer(i), NULL, NULL, NULL), 0);
    if (i % 100 == 0) manual_commit_all(f);
  }
  manual_commit_all(f);
  f->broker->ledger.owes = true;
  for (int i = 0; i < MEANWHILE; i++) submit_one(i);
  fake_run(f);
  assert_false(f->broker->ledger.owes);
  the_store_holds_the_memory(json_pack("{s{ss}}", "node", "ghost", "of what had failed"));
  json_t *const kept = cox_broker_kept_all(f->broker, "jobs");
  assert_in_range(json_object_size(kept), 1, KEPT - 1);
  json_decref(kept);
}

/* The loop must look at other things in between. */
static void the_state_is_written_anew_in_slices(void **state) {
  (void)state;
  add_many();
  f->broker->ledger.owes = true;
  size_t slices = 0;
  const size_t appended = manual.appended;
  while (manual.appended == appended && slices < MANY) {
    cox_ledger_handle(f->broker);
    slices++;
  }
  assert_true(slices >= 4 && slices < 20);
  assert_true(manual.held[manual.count - 1]->count > 2 * MANY);
}

static void a_store_that_fails_while_the_state_is_put_together_begins_it_anew(void **state) {
  (void)state;
  add_many();
  f->broker->ledger.owes = true;
  cox_ledger_handle(f->broker);
  cox_ledger_handle(f->broker);
  struct question question = {0};
  json_t *const args = admin("node1", false);
  assert_int_equal(cox_broker_submit(f->broker, "admin", args, answered, &question, NULL), 0);
  json_decref(args);
  manual.is_shut = true;
  fake_run(f);
  refused(&question);
  assert_int_equal(manual.count, 0);
  manual_put_out(f);
  the_store_holds_the_memory(json_object());
}

static void a_store_that_fails_again_while_the_state_is_written_anew_stays_degraded(void **state) {
  (void)state;
  struct question question;
  add("node1", 5000);
  send(&question, "admin", admin("node1", false));
  manual_burn(f, false);
  manual_put_out(f);
  manual_burn(f, false);
  assert_true(cox_broker_is_degraded(f->broker, NULL));
  manual_put_out(f);
  manual_commit_all(f);
  assert_false(cox_broker_is_degraded(f->broker, NULL));
  must("admin", admin("node1", false));
}

static void a_store_that_shuts_by_itself_is_noticed_at_the_next_change(void **state) {
  (void)state;
  struct question question;
  add("node1", 5000);
  manual.is_shut = true;
  send(&question, "remove", named("node1"));
  refused(&question);
  assert_string_equal(fake_state(f, "node1", "admin_state"), "present");
  assert_true(cox_broker_is_degraded(f->broker, NULL));
  assert_true(manual.settled > 0);
}

static bool is_enabled(const char *id) {
  json_t *const node = cox_broker_node_json(f->broker, id);
  const bool is_so = json_is_true(json_object_get(json_object_get(json_object_get(node, "state"), "admin_state"), "enabled"));
  json_decref(node);
  return is_so;
}

/* What was undone comes back with its end, and what could not be ended is tried again. */
static void a_disable_that_ends_while_the_store_cannot_be_written_ends_when_it_can(void **state) {
  (void)state;
  struct question question;
  add("node1", 5000);
  json_t *const args = admin("node1", false);
  json_object_set_new(args, "expires_ms", json_integer(cox_clock_wall_ms(&f->clock) + 60000));
  must("admin", args);
  send(&question, "admin", admin("node1", true));
  manual_burn(f, false);
  refused(&question);
  assert_false(is_enabled("node1"));
  const size_t served = json_array_size(f->served);
  fake_pass_time(f, 600);
  assert_false(is_enabled("node1"));
  assert_int_equal(json_array_size(f->served), served); /* it would only be refused */
  manual_put_out(f);
  manual_commit_all(f);
  fake_pass_time(f, 6);
  manual_commit_all(f);
  assert_true(is_enabled("node1"));
}

/* Nobody else does: the loop would sleep until the next command. */
static void what_is_owed_to_a_full_store_wakes_the_command_loop_by_itself(void **state) {
  (void)state;
  struct question question;
  int64_t next_us;
  add("node1", 5000);
  manual.is_full = true;
  send(&question, "intend", intent("node1", fake_target("POC", "GENERATING")));
  manual.is_full = false;
  f->broker->commands.is_woken = false;
  cox_broker_step_reconcile(f->broker, &next_us);
  assert_true(f->broker->ledger.owes);
  assert_in_range(next_us - f->now_us, 0, 1000000);
  f->now_us = next_us;
  cox_broker_step_reconcile(f->broker, &next_us);
  assert_true(f->broker->commands.is_woken);
  assert_true(next_us > f->now_us); /* once */
  manual_commit_all(f);
  assert_false(f->broker->ledger.owes);
}

/* The command loop must not go round and round meanwhile, and must not forget. */
static void a_store_without_room_for_the_whole_state_is_asked_again_a_second_later(void **state) {
  (void)state;
  struct question question;
  add("node1", 5000);
  manual_commit_all(f);
  manual.is_full = true;
  send(&question, "intend", intent("node1", fake_target("POC", "GENERATING")));
  assert_true(question.is_answered); /* in force, and the store's state is another now */
  fake_run(f);
  const size_t refused = manual.refused, appended = manual.appended;
  fake_pass_time(f, 0.4);
  fake_run(f);
  assert_int_equal(manual.refused, refused);
  fake_pass_time(f, 1);
  fake_run(f);
  assert_true(manual.refused > refused);
  manual.is_full = false;
  fake_pass_time(f, 1.1);
  fake_run(f);
  assert_true(manual.appended > appended);
  manual_commit_all(f);
  assert_false(f->broker->ledger.owes);
}

static void a_full_store_refuses_operators_and_counts_what_others_did(void **state) {
  (void)state;
  struct question question;
  struct cox_stats stats;
  add("node1", 5000);
  for (int i = 0; f->broker->ledger.waiting <= COX_LEDGER_SOFT_MAX; i++) {
    json_t *const target = fake_target(i % 2 == 0 ? "INFERENCE" : "STOPPED", NULL);
    json_t *const args = intent("node1", target);
    assert_int_equal(cox_broker_submit(f->broker, "intend", args, NULL, NULL, NULL), 0);
    json_decref(args);
    if (i % 32 == 0) fake_run(f);
  }
  fake_run(f);
  cox_broker_stats(f->broker, &stats);
  const uint64_t lost = stats.unstored_records;
  const size_t appended = manual.appended;
  send(&question, "intend", intent("node1", fake_target("POC", "GENERATING")));
  assert_true(question.is_answered); /* in force, and the store is not told */
  assert_int_equal(manual.appended, appended);
  cox_broker_stats(f->broker, &stats);
  assert_true(stats.unstored_records > lost);
  send(&question, "admin", admin("node1", false)); /* operators have room left, */
  assert_int_equal(manual.appended, appended + 1);
  f->broker->ledger.waiting += COX_LEDGER_RECORDS_MAX; /* and then none */
  struct question late;
  send(&late, "admin", admin("node1", true));
  assert_true(late.is_answered);
  assert_int_equal(late.err.code, COX_EFULL);
  f->broker->ledger.waiting -= COX_LEDGER_RECORDS_MAX;
  manual_commit_all(f);
  assert_true(question.is_answered);
  assert_true(told_gap() > 0);
  assert_false(f->broker->ledger.owes);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
  const struct CMUnitTest tests[] = {
      TEST(an_answer_comes_after_the_commit_and_not_before),
      TEST(what_changes_nothing_durable_is_answered_at_once),
      TEST(dispatch_never_waits_for_the_store),
      TEST(a_failed_batch_puts_everything_back_in_reverse_order),
      TEST(what_is_stored_already_stays_when_the_next_fails),
      TEST(a_removal_that_is_undone_gives_the_attempt_in_flight_back),
      TEST(an_attempt_that_came_back_during_a_removal_leaves_the_node_to_be_verified),
      TEST(a_number_is_free_when_the_removal_of_its_node_is_stored_and_not_before),
      TEST(what_a_phase_decided_since_stands),
      TEST(a_target_that_comes_back_brings_its_drain_back),
      TEST(degraded_mode_refuses_what_must_be_durable_and_lets_the_rest_go_on),
      TEST(it_ends_with_the_whole_state_written_anew_and_the_gap_told),
      TEST(what_changes_while_the_state_is_written_anew_is_in_it),
      TEST(the_state_is_written_anew_in_slices),
      TEST(a_store_that_fails_while_the_state_is_put_together_begins_it_anew),
      TEST(a_store_that_fails_again_while_the_state_is_written_anew_stays_degraded),
      TEST(a_store_that_shuts_by_itself_is_noticed_at_the_next_change),
      TEST(a_store_without_room_for_the_whole_state_is_asked_again_a_second_later),
      TEST(what_is_owed_to_a_full_store_wakes_the_command_loop_by_itself),
      TEST(a_disable_that_ends_while_the_store_cannot_be_written_ends_when_it_can),
      TEST(a_full_store_refuses_operators_and_counts_what_others_did),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
