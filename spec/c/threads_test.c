/* The broker with its own threads and workers that answer at random moments: run under the sanitizers. */
#include "fake_core.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/lock.h"
#include "base/rng.h"
#include "base/thread.h"

enum { NODES = 60, ROUNDS = 1000, WORKERS = 2 };

/* A transport whose attempts end after a random while, at once when cancelled. */
struct worker {
  struct cox_thread thread;
  struct cox_mutex mutex; /* guards everything below */
  struct cox_cond cond;
  struct cox_attempt *open[4 * NODES];
  size_t opens;
  uint64_t cancelled[4 * NODES];
  size_t cancels;
  bool is_ended;
  struct cox_rng rng;
};

static struct worker workers[WORKERS];
static struct cox_broker *broker;
static struct fake *fake; /* lends its handlers */
static atomic_uint open_calls[8 * NODES]; /* per machine */
static atomic_uint double_calls;

static size_t machine_of(const struct cox_attempt *attempt) {
  return (size_t)json_integer_value(json_object_get(attempt->node, "poc_port")) % (8 * NODES);
}

static void start(void *ctx, struct cox_attempt *attempt) {
  (void)ctx;
  struct worker *const worker = &workers[attempt->worker];
  if (atomic_fetch_add(&open_calls[machine_of(attempt)], 1) != 0) atomic_fetch_add(&double_calls, 1);
  cox_mutex_lock(&worker->mutex);
  assert_true(worker->opens < 4 * NODES);
  worker->open[worker->opens++] = attempt;
  cox_cond_signal(&worker->cond);
  cox_mutex_unlock(&worker->mutex);
}

static void cancel(void *ctx, unsigned index, uint64_t attempt) {
  (void)ctx;
  struct worker *const worker = &workers[index];
  cox_mutex_lock(&worker->mutex);
  if (worker->cancels < 4 * NODES) worker->cancelled[worker->cancels++] = attempt;
  cox_cond_signal(&worker->cond);
  cox_mutex_unlock(&worker->mutex);
}

static struct cox_attempt *take_locked(struct worker *worker) COX_REQUIRES(worker->mutex) {
  if (worker->opens == 0) return NULL;
  size_t pick = (size_t)cox_rng_below(&worker->rng, worker->opens);
  enum cox_class class_ = cox_rng_below(&worker->rng, 8) == 0 ? COX_CLASS_SERVER : COX_CLASS_NONE;
  for (size_t i = 0; i < worker->opens && worker->cancels > 0; i++) {
    if (worker->open[i]->fence.attempt != worker->cancelled[worker->cancels - 1]) continue;
    pick = i;
    class_ = COX_CLASS_CANCELLED;
  }
  if (worker->cancels > 0) worker->cancels--;
  struct cox_attempt *const attempt = worker->open[pick];
  worker->open[pick] = worker->open[--worker->opens];
  attempt->result.class_ = class_;
  return attempt;
}

static void run_worker(void *arg) {
  struct worker *const worker = arg;
  cox_mutex_lock(&worker->mutex);
  while (!worker->is_ended) {
    struct cox_attempt *const attempt = take_locked(worker);
    if (attempt == NULL) {
      cox_cond_wait(&worker->cond, &worker->mutex);
      continue;
    }
    cox_mutex_unlock(&worker->mutex);
    atomic_fetch_sub(&open_calls[machine_of(attempt)], 1);
    cox_broker_complete(broker, attempt);
    cox_mutex_lock(&worker->mutex);
  }
  cox_mutex_unlock(&worker->mutex);
}

static const struct cox_transport transport = {.workers = WORKERS, .start = start, .cancel = cancel};

static int setup(void **state) {
  (void)state;
  fake = fake_create(-1);
  const struct cox_broker_options options = {
      .clock = cox_clock_system(),
      .seed = 7,
      .policy = &fake->policy,
      .transport = &transport,
      .backoff_s = {0.001, 0.01},
      .probe_interval_s = -1,
  };
  broker = cox_broker_create(&options, NULL);
  for (int i = 0; i < WORKERS; i++) {
    memset(&workers[i], 0, sizeof workers[i]);
    cox_mutex_init(&workers[i].mutex);
    cox_cond_init(&workers[i].cond);
    cox_rng_init(&workers[i].rng, (uint64_t)i);
    assert_int_equal(cox_thread_start(&workers[i].thread, "fake-worker", run_worker, &workers[i], NULL), 0);
  }
  return cox_broker_start(broker, NULL);
}

static int teardown(void **state) {
  (void)state;
  cox_broker_stop(broker, 10000);
  struct cox_stats stats;
  cox_broker_stats(broker, &stats);
  assert_int_equal(stats.in_flight, 0);
  for (int i = 0; i < WORKERS; i++) {
    cox_mutex_lock(&workers[i].mutex);
    workers[i].is_ended = true;
    cox_cond_signal(&workers[i].cond);
    cox_mutex_unlock(&workers[i].mutex);
    cox_thread_join(&workers[i].thread);
    cox_cond_fini(&workers[i].cond);
    cox_mutex_fini(&workers[i].mutex);
  }
  cox_broker_destroy(broker);
  fake_destroy(fake);
  assert_int_equal(atomic_load(&double_calls), 0);
  return 0;
}

static enum cox_outcome call(const char *name, json_t *args) {
  struct cox_answer answer;
  struct cox_err err;
  assert_int_equal(cox_broker_call(broker, name, args, 20000, &answer, &err), 0);
  const enum cox_outcome outcome = answer.outcome;
  cox_answer_fini(&answer);
  json_decref(args);
  return outcome;
}

static void intend(const char *id, json_t *target) {
  call("intend", json_pack("{ss, so}", "node_id", id, "target", target));
}

static void arm(void) {
  call("block", json_pack("{si, ss, sb, ss}", "height", 10, "hash", "AA", "synced", 1, "command", "due"));
}

static void wait_until_converged(size_t nodes) {
  struct cox_stats stats = {0};
  for (int i = 0; i < 20000; i++) { /* 20 s at most */
    cox_broker_stats(broker, &stats);
    if (stats.nodes == nodes && stats.converged == nodes) return;
    call("read", NULL);
    const struct timespec pause = {.tv_nsec = 1000000};
    nanosleep(&pause, NULL);
  }
  fail_msg("%zu of %zu nodes converged", stats.converged, stats.nodes);
}

static void a_to_b_to_a_at_random_moments_ends_in_a(void **state) {
  (void)state;
  const char *const ids[] = {"a", "b", "c"};
  arm();
  for (int i = 0; i < 3; i++) call("register", json_pack("{so}", "node", fake_node(ids[i], 5000 + i)));
  for (int i = 0; i < ROUNDS; i++) {
    const char *const id = ids[i % 3];
    intend(id, fake_target("INFERENCE", NULL));
    intend(id, fake_target("POC", "GENERATING"));
    intend(id, fake_target("INFERENCE", NULL));
  }
  wait_until_converged(3);
  for (int i = 0; i < 3; i++) {
    json_t *const node = cox_broker_node_json(broker, ids[i]);
    const json_t *const status = json_object_get(json_object_get(node, "state"), "current_status");
    assert_string_equal(json_string_value(status), "INFERENCE");
    json_decref(node);
  }
}

static atomic_bool readers_end;

static void read_all_the_time(void *arg) {
  (void)arg;
  while (!atomic_load(&readers_end)) json_decref(cox_broker_nodes_json(broker));
}

static void nodes_removed_while_busy_never_block_anybody(void **state) {
  (void)state;
  struct cox_thread reader = {0};
  char id[32];
  atomic_store(&readers_end, false);
  arm();
  for (int i = 0; i < NODES; i++) {
    snprintf(id, sizeof id, "node%d", i);
    call("register", json_pack("{so}", "node", fake_node(id, 5000 + i)));
  }
  assert_int_equal(cox_thread_start(&reader, "reader", read_all_the_time, NULL, NULL), 0);
  for (int round = 0; round < 5; round++) {
    for (int i = 0; i < NODES; i++) {
      snprintf(id, sizeof id, "node%d", i);
      intend(id, round % 2 ? fake_target("INFERENCE", NULL) : fake_target("POC", "GENERATING"));
      assert_int_equal(call("admin", json_pack("{ss, sb}", "node_id", "typo", "enabled", 1)), COX_ANSWER_ERROR);
      if (i % 2 == 0) continue;
      call("remove", json_pack("{ss}", "node_id", id));
      call("register", json_pack("{so}", "node", fake_node(id, 5000 + i)));
    }
  }
  for (int i = 0; i < NODES; i++) {
    snprintf(id, sizeof id, "node%d", i);
    intend(id, fake_target("STOPPED", NULL));
  }
  wait_until_converged(NODES);
  atomic_store(&readers_end, true);
  cox_thread_join(&reader);
}

static void count_answer(void *arg, const struct cox_answer *answer) {
  (void)answer;
  atomic_fetch_add((atomic_int *)arg, 1);
}

static void stopping_answers_every_accepted_command_exactly_once(void **state) {
  (void)state;
  atomic_int answers = 0;
  int accepted = 0;
  for (int i = 0; i < 500; i++) accepted += cox_broker_submit(broker, "read", NULL, count_answer, &answers, NULL) == 0;
  cox_broker_stop(broker, 10000);
  assert_int_equal(cox_broker_submit(broker, "read", NULL, count_answer, &answers, NULL), COX_ESTOPPED);
  assert_int_equal(atomic_load(&answers), accepted);
}

int main(void) {
  const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
      TEST(a_to_b_to_a_at_random_moments_ends_in_a),
      TEST(nodes_removed_while_busy_never_block_anybody),
      TEST(stopping_answers_every_accepted_command_exactly_once),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
