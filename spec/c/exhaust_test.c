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
#include "hostile.h"
#include "script/reload.h"
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
  json_t *participant;
  struct cox_script *script; /* NULL: handlers in C */
  const struct cox_fiber_ops *ops;
  bool is_generating; /* what its node does */
  bool has_cache; /* its script machine keeps what it needs again */
  int answers;
  enum cox_outcome outcome;
};

static long failing_at; /* for the words about a failure */

static void must(bool is_true, const char *what) {
  if (is_true) return;
  failing_memory_tell();
  fail_msg("%s, when allocation %ld fails", what, failing_at);
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
                                             .callback_url = "http://127.0.0.1:9100", .participant = life->participant};
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
  if (strcmp(seen, expected) != 0) failing_memory_tell();
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
  if (!life->has_cache && failing_memory_live() != before) failing_memory_tell();
  if (!life->has_cache && failing_memory_live() != before) fail_msg("%ld allocations leaked, when allocation %ld fails", failing_memory_live() - before, k);
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

/* ---- the shipped scripts ---- */

static struct cox_script *load_from(struct life *life, const char *dir) {
  struct cox_faults faults = {0};
  const struct cox_script_options options = {.scripts_dir = dir, .library_dir = "lua", .clock = &life->fake->clock, .seed = 1,
                                             .command_budget_s = 60, .resume_budget_s = 60};
  struct cox_script *const script = cox_script_create(&options, &faults);
  must(script != NULL || (faults.count > 0 && faults.list[0].text[0] != '\0'), "scripts that do not load, without words");
  cox_faults_fini(&faults);
  return script;
}

static struct cox_script *load(struct life *life) { return load_from(life, "scripts"); }

static void load_only(struct life *life) { cox_script_destroy(load(life)); }

/* What a node says: whatever is asked of it is done at once. */
static struct cox_io_reply node_says(struct life *life, const struct cox_io_request *request) {
  if (request->kind != COX_IO_HTTP) return (struct cox_io_reply){.body = ""};
  const bool is_state = strstr(request->url, "/state") != NULL;
  if (strstr(request->url, "/init/") != NULL) life->is_generating = true;
  const char *const state = life->is_generating ? "{\"state\":\"POW\"}" : "{\"state\":\"STOPPED\"}";
  const char *const body = is_state ? state : "{\"status\":\"OK\",\"pow_status\":{\"status\":\"GENERATING\",\"is_model_initialized\":true}}";
  return (struct cox_io_reply){.http_status = 200, .body = body, .body_len = strlen(body)};
}

/* A driver's whole attempt; what came of it goes back to the broker. */
static void drive(struct life *life, void *vm) {
  struct fake *const fake = life->fake;
  struct cox_attempt *const attempt = fake->open[--fake->opens];
  struct cox_fiber *const fiber = life->ops->start(vm, attempt);
  if (fiber == NULL) {
    attempt->result.class_ = COX_CLASS_SCRIPT;
  } else {
    struct cox_io_request request;
    enum cox_fiber_state state = life->ops->resume(fiber, NULL, &request);
    for (int i = 0; i < 50 && state == COX_FIBER_WAITS; i++) {
      const struct cox_io_reply reply = node_says(life, &request);
      fake->now_us += request.kind == COX_IO_SLEEP ? request.sleep_ms * 1000 : 1000;
      state = life->ops->resume(fiber, &reply, &request);
    }
    life->ops->finish(fiber, state == COX_FIBER_DONE ? COX_END_DONE : COX_END_DEADLINE, NULL);
  }
  must(attempt->result.class_ != COX_CLASS_SCRIPT || fiber == NULL || attempt->result.error != NULL, "an attempt that fails without words");
  cox_broker_complete(fake->broker, attempt);
  fake_run(fake);
}

static json_t *block(int height) {
  return json_pack("{si, ss, sb, s{si, si, ss}, s{si, si, si, si}, s{s[{ss, s[s]}]}, s[]}", "height", height, "hash", "ABCDEF", "synced", 1, "epoch",
                   "index", 1, "poc_start_block_height", 100, "poc_start_block_hash", "ABCD", "params", "epoch_length", 100, "poc_stage_duration",
                   20, "poc_validation_delay", 2, "poc_validation_duration", 10, "epoch_models", "node1", "id", "m", "model_args", "--a", "preserved");
}

static void live_with_scripts(struct life *life) {
  struct cox_err err = {0};
  cox_script_set_broker(life->script, life->fake->broker);
  life->is_generating = false;
  void *const vm = life->ops->vm_create(life->ops->ctx, &err);
  must(vm != NULL || err.text[0] != '\0', "a script machine that cannot be made, without words");
  if (vm == NULL) return;
  const bool is_there = is_done(life, "register_node", OURS(json_pack("{so}", "node", fake_node("node1", 5000))));
  is_done(life, "new_block", OURS(block(105)));
  for (int i = 0; i < 3 && life->fake->opens > 0; i++) drive(life, vm);
  is_done(life, "set_admin_state", OURS(json_pack("{ss, sb}", "node_id", "nobody", "enabled", 0)));
  is_done(life, "new_block", OURS(block(106)));
  const bool is_told = is_done(life, "new_block", OURS(block(107))); /* what failed is made good: the command due runs again */
  for (int i = 0; i < 40; i++) {
    fake_pass_time(life->fake, FAR_S / 40.0);
    while (life->fake->opens > 0) drive(life, vm);
  }
  if (is_there && is_told) check_state(life, "poc_current_status", "GENERATING");
  is_done(life, "remove_node", OURS(json_pack("{ss}", "node_id", "node1")));
  life->ops->vm_destroy(vm);
}

static void no_set_of_scripts_is_half_loaded(void **state) {
  (void)state;
  struct fake *const fake = make_fake();
  struct life life = {.fake = fake, .policy = fake->policy};
  exhaust(&life, load_only, CHOSEN);
  fake_destroy(fake);
}

static void commands_and_attempts_of_scripts_end_whatever_allocation_fails(void **state) {
  (void)state;
  struct fake *const fake = make_fake();
  struct life life = {.fake = fake};
  life.script = load(&life);
  life.policy = *cox_script_policy(life.script);
  life.ops = cox_script_fiber_ops(life.script);
  life.has_cache = true;
  life.participant = json_pack("{ss, ss}", "address", "gonka1spec", "pubkey", "Aspec");
  exhaust(&life, live_with_scripts, CHOSEN);
  json_decref(life.participant);
  cox_script_destroy(life.script);
  fake_destroy(fake);
}

/* ---- the exchange of scripts: on one thread, as in the simulator; the broker and the live scripts go on from one life to the next ---- */

struct exchange {
  struct cox_scripts_request request; /* first: it is handed back by this */
  int answers, turns;
  enum cox_scripts_status status;
  char words[256];
};

enum { TURNS = 50 };

static char folder[64];
static struct exchange exchange;

/* The flip waits for cox-command. */
static bool attend(void *ctx) {
  fake_run(((struct life *)ctx)->fake);
  return ++exchange.turns < TURNS;
}

static void on_done(struct cox_scripts_request *request, const struct cox_scripts_outcome *outcome) {
  struct exchange *const own = (struct exchange *)(void *)request;
  own->answers++;
  own->status = outcome->status;
  snprintf(own->words, sizeof own->words, "%.255s", outcome->err.text);
}

static uint64_t live_number(const struct life *life) { return life->policy.generation(life->policy.ctx); }

/* Content that nobody has seen yet. */
static void edit_scripts(void) {
  static int number;
  hostile_put(folder, "policy/edited.lua", "return { number = %d }\n", ++number);
}

static enum cox_scripts_status exchange_scripts(struct life *life, bool is_reload, long k) {
  const struct cox_scripts *const scripts = cox_script_scripts(life->script);
  exchange = (struct exchange){.request = {.caller = "a spec", .done = on_done}};
  failing_at = k;
  failing_memory(k);
  (is_reload ? scripts->reload : scripts->rollback)(scripts->ctx, &exchange.request);
  fake_run(life->fake);
  return exchange.status;
}

/* The k-th allocation of an exchange fails: it takes place or it does not, somebody is told, and the next one is none the worse. */
static long exchange_once(struct life *life, bool is_reload, long k) {
  const uint64_t before = live_number(life);
  edit_scripts();
  if (!is_reload) must(exchange_scripts(life, true, 0) == COX_SCRIPTS_DONE, "a reload before a rollback that is not done");
  const uint64_t number = live_number(life);
  const enum cox_scripts_status status = exchange_scripts(life, is_reload, k);
  const long count = failing_memory_count();
  failing_memory(0);
  failing_at = k;
  must(exchange.answers == 1, "an exchange that is not answered once");
  must(status == COX_SCRIPTS_DONE || exchange.words[0] != '\0', "an exchange that fails without words");
  must(k > 0 || status == COX_SCRIPTS_DONE, "an exchange that is not done though nothing fails");
  must((live_number(life) != number) == (status == COX_SCRIPTS_DONE), "an exchange that was answered wrongly");
  must(is_reload || status != COX_SCRIPTS_DONE || live_number(life) == before, "a rollback to other scripts");
  is_done(life, "new_block", OURS(block(105)));
  must(life->answers == 1 && life->outcome != COX_ANSWER_ERROR, "a block that is not handled after an exchange");
  edit_scripts();
  must(exchange_scripts(life, true, 0) == COX_SCRIPTS_DONE, "a reload that is not done after a failed exchange");
  must(exchange.answers == 1, "a reload that is not answered once");
  return count;
}

static void exchange_all(struct life *life, bool is_reload) {
  exchange_once(life, is_reload, 0);
  const long count = exchange_once(life, is_reload, 0), chosen = is_all() ? count : CHOSEN / 5, step = count <= chosen ? 1 : count / chosen;
  for (long k = 1; k <= count; k += step) exchange_once(life, is_reload, k);
  print_message("%ld allocations of a %s\n", count, is_reload ? "reload" : "rollback");
}

static void make_folder(void) {
  char text[192];
  snprintf(folder, sizeof folder, "/tmp/coxswain-exhaust-XXXXXX");
  assert_non_null(mkdtemp(folder));
  snprintf(text, sizeof text, "cp -r scripts/. %s", folder);
  assert_int_equal(system(text), 0);
}

static void scripts_are_exchanged_or_not_whatever_allocation_fails(void **state) {
  (void)state;
  struct cox_err err = {0};
  struct fake *const fake = make_fake();
  struct life life = {.fake = fake};
  make_folder();
  life.script = load_from(&life, folder);
  life.policy = *cox_script_policy(life.script);
  struct cox_store_memory *const memory = cox_store_memory_create(&err);
  life.store = cox_store_memory_store(memory);
  life.participant = json_pack("{ss, ss}", "address", "gonka1spec", "pubkey", "Aspec");
  assert_true(start(&life));
  cox_script_set_broker(life.script, fake->broker);
  cox_script_drive(life.script, &(struct cox_reload_drive){.attend = attend, .ctx = &life});
  assert_true(is_done(&life, "register_node", OURS(json_pack("{so}", "node", fake_node("node1", 5000)))));
  exchange_all(&life, true);
  exchange_all(&life, false);
  cox_script_set_broker(life.script, NULL);
  end(&life);
  cox_store_memory_destroy(memory);
  json_decref(life.participant);
  cox_script_destroy(life.script);
  fake_destroy(fake);
  char text[96];
  snprintf(text, sizeof text, "rm -rf %s", folder);
  assert_int_equal(system(text), 0);
}

int main(void) {
  failing_memory_begin();
  cox_log_setup(COX_LOG_ERROR, false, open("/dev/null", O_WRONLY | O_CLOEXEC));
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_core_gets_there_whatever_allocation_fails),
      cmocka_unit_test(no_set_of_scripts_is_half_loaded),
      cmocka_unit_test(commands_and_attempts_of_scripts_end_whatever_allocation_fails),
      cmocka_unit_test(scripts_are_exchanged_or_not_whatever_allocation_fails),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
