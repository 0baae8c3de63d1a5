/* A life of the broker, from its start to its end, in which one allocation fails: each of them in its turn. Whatever fails, nothing
 * crashes or leaks, each command is answered once, with what happened or why nothing did, and the fleet gets where it should.
 *
 * The lives with the shipped scripts have too many allocations: there, some are chosen, evenly. COX_EXHAUST=all: all of them.      */
#include "fake_core.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "failing.h"
#include "script/script.h"
#include "store/memory.h"

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
enum { CHOSEN = 60 };
#else
enum { CHOSEN = 300 };
#endif
enum { FAR_S = 1000 };

/* One life. */
struct life {
  struct fake *fake;
  struct cox_policy policy;
  const struct cox_store *store;
  int answers;
  enum cox_outcome outcome;
};

static long failing_at; /* for the words about a failure */

static void must(bool is_true, const char *what) {
  if (!is_true) fail_msg("%s, when allocation %ld fails", what, failing_at);
}

static void keep(void *arg, const struct cox_answer *answer) {
  struct life *const life = arg;
  life->answers++;
  life->outcome = answer->outcome;
  must(answer->outcome != COX_ANSWER_ERROR || answer->err.text[0] != '\0', "an error without words");
}

/* Takes `args`, which are ours. */
static bool is_done(struct life *life, const char *name, json_t *args) {
  struct cox_err err = {0};
  life->answers = 0;
  const int rc = cox_broker_submit(life->fake->broker, name, args, keep, life, &err);
  if (rc == 0) fake_run(life->fake);
  json_decref(args);
  must(rc == 0 || err.text[0] != '\0', "a refusal without words");
  must(life->answers == (rc == 0 ? 1 : 0), "not one answer");
  return rc == 0 && life->outcome == COX_ANSWER_DONE;
}

#define OURS(value) (failing_memory_pause(), ours(value))
static json_t *ours(json_t *value) {
  failing_memory_resume();
  return value;
}

static bool start(struct life *life) {
  struct cox_err err = {0};
  const struct cox_broker_options options = {.clock = &life->fake->clock, .seed = 7, .policy = &life->policy, .store = life->store,
                                             .transport = &life->fake->transport, .queue_max = 64, .probe_interval_s = 15,
                                             .callback_url = "http://127.0.0.1:9100"};
  life->fake->broker = cox_broker_create(&options, &err);
  const bool is_good = life->fake->broker != NULL && cox_broker_load(life->fake->broker, &err) == 0;
  must(is_good || err.text[0] != '\0', "a start that fails without words");
  return is_good;
}

static void end_attempts(struct life *life) {
  while (life->fake->opens > 0) fake_give_back(life->fake, 0, COX_CLASS_NONE, NULL);
  fake_run(life->fake);
}

/* What readers may ask. */
static void read_all(struct life *life) {
  struct cox_broker *const broker = life->fake->broker;
  struct cox_buf text = {0};
  char tag[COX_TAG_MAX];
  json_decref(cox_broker_nodes_json(broker));
  json_decref(cox_broker_world_json(broker));
  json_decref(cox_broker_ids_json(broker));
  json_decref(cox_broker_events_json(broker, 0, 100, NULL));
  cox_broker_nodes_text(broker, &text);
  cox_broker_node_text(broker, "node1", &text, tag);
  cox_broker_metrics_text(broker, &text);
  cox_broker_keep(broker, "table", "name", OURS(json_string("value")), NULL, NULL, NULL);
  fake_run(life->fake);
  cox_buf_fini(&text);
}

static void lease(struct life *life) {
  const struct cox_lease_ask ask = {.model = "m", .affinity = "a"};
  struct cox_lease_grant grant;
  struct cox_err err = {0};
  size_t omitted;
  if (cox_lease_acquire(life->fake->broker, &ask, 0, NULL, &grant, &err) == 0) {
    must(cox_lease_renew(life->fake->broker, grant.id, 1000, NULL, NULL, NULL, &err) == 0, "a lease that cannot be renewed");
    must(cox_lease_release(life->fake->broker, grant.id, COX_LEASE_SUCCESS, &err) == 0, "a lease that cannot be released");
    cox_lease_grant_fini(&grant);
  } else {
    must(err.text[0] != '\0', "a lease refused without words");
    json_decref(cox_lease_reasons(life->fake->broker, &ask, &omitted));
  }
}

/* Time passes, and every attempt that is begun succeeds. */
static void settle(struct life *life) {
  for (int i = 0; i < 20; i++) {
    fake_pass_time(life->fake, FAR_S / 20.0);
    end_attempts(life);
  }
}

static json_t *target(const char *hash) {
  return json_pack("{ss, ss, si, ss, si}", "status", "POC", "poc", "GENERATING", "block_height", 100, "block_hash", hash, "node_count", 1);
}

/* Is the node what it was told to be? The spec's own look. */
static void check_state(struct life *life, const char *key, const char *expected) {
  failing_memory_pause();
  const char *const seen = fake_state(life->fake, "node1", key);
  if (strcmp(seen, expected) != 0) fail_msg("%s is %s and not %s, when allocation %ld fails", key, seen, expected, failing_at);
  failing_memory_resume();
}

static void live_in_core(struct life *life) {
  const bool is_there = is_done(life, "register", OURS(json_pack("{so}", "node", fake_node("node1", 5000))));
  must(cox_broker_has_node(life->fake->broker, "node1") == is_there, "a registration that was answered wrongly");
  is_done(life, "block", OURS(json_pack("{si, ss, sb, ss}", "height", 10, "hash", "AA", "synced", 1, "command", "due")));
  const bool serves = is_done(life, "intend", OURS(json_pack("{ss, so}", "node_id", "node1", "target", fake_target("INFERENCE", NULL))));
  must(!serves || is_there, "a target of nobody");
  if (life->fake->opens > 0) fake_give_back(life->fake, 0, COX_CLASS_REFUSED, "nobody listens");
  fake_run(life->fake);
  read_all(life);
  end_attempts(life);
  lease(life);
  bool is_poc = is_done(life, "intend", OURS(json_pack("{ss, so}", "node_id", "node1", "target", target("H"))));
  is_poc = is_done(life, "intend", OURS(json_pack("{ss, so}", "node_id", "node1", "target", target("I")))) || is_poc;
  is_done(life, "admin", OURS(json_pack("{ss, sb}", "node_id", "node1", "enabled", 0)));
  is_done(life, "update", OURS(json_pack("{so}", "node", fake_node("node1", 6000))));
  /* what was lost by the failure is made good: a later block, and time */
  is_done(life, "block", OURS(json_pack("{si, ss, sb, ss}", "height", 11, "hash", "AB", "synced", 1, "command", "due")));
  settle(life);
  if (is_there && is_poc) check_state(life, "current_status", "POC");
  else if (is_there && serves) check_state(life, "current_status", "INFERENCE");
  lease(life);
  is_done(life, "remove", OURS(json_pack("{ss}", "node_id", "node1")));
  is_done(life, "skip", NULL);
  is_done(life, "fail", NULL);
}

static void end(struct life *life) {
  struct fake *const fake = life->fake;
  if (fake->broker != NULL) {
    cox_lease_stop(fake->broker);
    end_attempts(life);
  }
  cox_broker_destroy(fake->broker);
  fake->broker = NULL;
}

/* From the first allocation to the last. */
static void live(struct life *life, void (*middle)(struct life *life)) {
  struct cox_err err = {0};
  struct cox_store_memory *const memory = cox_store_memory_create(&err);
  must(memory != NULL || err.text[0] != '\0', "a store that cannot be made, without words");
  if (memory == NULL) return;
  life->store = cox_store_memory_store(memory);
  if (start(life)) middle(life);
  end(life);
  cox_store_memory_destroy(memory);
}

/* ---- the core, with handlers in C ---- */

static struct fake *make_fake(void) {
  struct fake *const fake = fake_create(15);
  cox_broker_destroy(fake->broker);
  fake->broker = NULL;
  return fake;
}

/* The k-th allocation of a life fails. How many there were. */
static long live_once(struct life *life, void (*middle)(struct life *life), long k) {
  failing_at = k;
  life->fake->now_us = 1000000;
  json_array_clear(life->fake->served);
  const long before = failing_memory_live();
  failing_memory(k);
  live(life, middle);
  const long count = failing_memory_count();
  failing_memory(0);
  json_array_clear(life->fake->served);
  if (failing_memory_live() != before) fail_msg("%ld allocations leaked, when allocation %ld fails", failing_memory_live() - before, k);
  return count;
}

static bool is_all(void) { return getenv("COX_EXHAUST") != NULL; }

static void exhaust(struct life *life, void (*middle)(struct life *life), long chosen) {
  live_once(life, middle, 0); /* what is made once is made */
  const long count = live_once(life, middle, 0), step = is_all() || count <= chosen ? 1 : count / chosen;
  long lives = 0;
  for (long k = 1; k <= count + 1; k += step, lives++) live_once(life, middle, k);
  print_message("%ld allocations, %ld lives\n", count, lives);
}

static void the_core_gets_there_whatever_allocation_fails(void **state) {
  (void)state;
  struct fake *const fake = make_fake();
  struct life life = {.fake = fake, .policy = fake->policy};
  exhaust(&life, live_in_core, 100000);
  fake_destroy(fake);
}

int main(void) {
  failing_memory_begin();
  cox_log_setup(COX_LOG_ERROR, false, open("/dev/null", O_WRONLY | O_CLOEXEC));
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_core_gets_there_whatever_allocation_fails),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
