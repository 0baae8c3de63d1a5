/* Events in the public C interface: each once and in order, however slow the callee is, and none after the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/clock.h"
#include "base/lock.h"
#include "base/thread.h"
#include "coxswain/coxswain.h"

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
enum { ROUNDS = 30 };
#else
enum { ROUNDS = 200 };
#endif
enum { LIMIT_US = 120000000, ANSWER_MS = 60000, FLOOD = 9000 /* more than memory keeps */, THREADS = 3 };

static struct coxswain *cox;
static char folder[64];

/* Somebody who is told. */
struct ear {
  struct cox_mutex mutex; /* guards the rest */
  struct cox_cond cond;
  json_t *heard;
  uint64_t last_seq;
  bool is_shut;     /* waits in its callback */
  bool is_wrong;    /* an event came twice or out of order */
  bool ends_itself; /* at the first event */
  size_t calls;
  struct coxswain_subscription *subscription;
};

static void listen(void *arg, const char *event_json) {
  struct ear *const ear = arg;
  json_t *const event = json_loads(event_json, 0, NULL);
  const uint64_t seq = (uint64_t)json_integer_value(json_object_get(event, "seq"));
  cox_mutex_lock(&ear->mutex);
  ear->is_wrong = ear->is_wrong || event == NULL || seq <= ear->last_seq;
  ear->last_seq = seq;
  ear->calls++;
  json_array_append_new(ear->heard, event);
  cox_cond_broadcast(&ear->cond);
  while (ear->is_shut) cox_cond_wait(&ear->cond, &ear->mutex);
  const bool ends = ear->ends_itself;
  cox_mutex_unlock(&ear->mutex);
  if (ends) coxswain_unsubscribe(ear->subscription);
}

static struct ear *open_ear(uint64_t since, const char *kind, const char *node_id) {
  struct ear *const ear = calloc(1, sizeof *ear);
  cox_mutex_init(&ear->mutex);
  cox_cond_init(&ear->cond);
  ear->heard = json_array();
  const struct coxswain_filter filter = {kind, node_id};
  struct coxswain_error error;
  if (coxswain_subscribe(cox, since, &filter, listen, ear, &ear->subscription, &error) != COXSWAIN_OK) fail_msg("%s", error.text);
  return ear;
}

static void close_ear(struct ear *ear) {
  json_decref(ear->heard);
  cox_cond_fini(&ear->cond);
  cox_mutex_fini(&ear->mutex);
  free(ear);
}

static bool hears(struct ear *ear, size_t calls) {
  const int64_t until_us = cox_clock_mono_us(cox_clock_system()) + LIMIT_US;
  cox_mutex_lock(&ear->mutex);
  while (ear->calls < calls && cox_clock_mono_us(cox_clock_system()) < until_us) cox_cond_wait_us(&ear->cond, &ear->mutex, 100000);
  const bool has_heard = ear->calls >= calls;
  cox_mutex_unlock(&ear->mutex);
  return has_heard;
}

static void shut(struct ear *ear, bool is_shut) {
  cox_mutex_lock(&ear->mutex);
  ear->is_shut = is_shut;
  cox_cond_broadcast(&ear->cond);
  cox_mutex_unlock(&ear->mutex);
}

static const char *text_at(struct ear *ear, size_t place, const char *key) {
  const char *const text = json_string_value(json_object_get(json_array_get(ear->heard, place), key));
  return text != NULL ? text : "(none)";
}

static void command(const char *name, const char *args) {
  struct coxswain_error error;
  if (coxswain_command(cox, name, args, ANSWER_MS, NULL, &error) != COXSWAIN_OK) fail_msg("%s: %s", name, error.text);
}

static void add_node(const char *id, int port) {
  char args[512];
  snprintf(args, sizeof args, "{\"node\": {\"id\": \"%s\", \"host\": \"127.0.0.1\", \"inference_port\": %d, \"poc_port\": %d, \"max_concurrent\": 1,"
           " \"models\": {\"m\": {\"args\": []}}}}", id, port, port);
  command("register_node", args);
}

static int setup(void **state) {
  (void)state;
  char config[512];
  struct coxswain_error error;
  snprintf(folder, sizeof folder, "/tmp/coxswain-events-XXXXXX");
  if (mkdtemp(folder) == NULL) return -1;
  snprintf(config, sizeof config,
           "{\"participant\": {\"address\": \"gonka1spec\", \"pubkey\": \"Aspec\"}, \"callback_url\": \"http://127.0.0.1:9100\","
           " \"store\": \"%s/s.db\", \"scripts\": \"scripts\", \"admin\": {\"listen\": \"127.0.0.1:0\", \"socket\": \"%s/c.sock\"},"
           " \"log\": {\"level\": \"error\"}, \"feed\": {\"kind\": \"none\"}}", folder, folder);
  cox = coxswain_start(NULL, config, &error);
  if (cox == NULL) print_error("%s\n", error.text);
  return cox != NULL ? 0 : -1;
}

static int teardown(void **state) {
  (void)state;
  char text[128];
  coxswain_stop(cox);
  cox = NULL;
  snprintf(text, sizeof text, "rm -r %s", folder);
  return system(text);
}

static void each_comes_once_in_order_from_the_number_that_was_asked_for(void **state) {
  (void)state;
  struct ear *const first = open_ear(0, "command", NULL);
  add_node("node1", 1);
  assert_true(hears(first, 1)); /* a command's line is its last one */
  const uint64_t middle = coxswain_events_last(cox);
  struct ear *const all = open_ear(0, NULL, NULL), *const late = open_ear(COXSWAIN_FROM_NOW, NULL, NULL);
  struct ear *const commands = open_ear(middle, "command", NULL), *const other = open_ear(0, NULL, "node2");
  add_node("node2", 2);
  command("set_admin_state", "{\"node_id\": \"node2\", \"enabled\": false}");
  assert_true(hears(commands, 2) && hears(late, 4) && hears(other, 4));
  assert_true(hears(all, (size_t)coxswain_events_last(cox)));
  struct ear *const ears[] = {all, late, commands, other, first};
  for (size_t i = 0; i < 5; i++) {
    coxswain_unsubscribe(ears[i]->subscription);
    assert_false(ears[i]->is_wrong);
  }
  assert_string_equal(text_at(all, 0, "kind"), "start");
  assert_true(json_integer_value(json_object_get(json_array_get(late->heard, 0), "seq")) == (json_int_t)middle + 1);
  assert_string_equal(text_at(commands, 0, "name"), "register_node");
  assert_string_equal(text_at(commands, 1, "name"), "set_admin_state");
  for (size_t i = 0; i < other->calls; i++) assert_string_equal(text_at(other, i, "node_id"), "node2");
  for (size_t i = 0; i < 5; i++) close_ear(ears[i]);
}

static void nothing_comes_after_the_end(void **state) {
  (void)state;
  struct ear *const ear = open_ear(0, NULL, NULL);
  assert_true(hears(ear, 1));
  coxswain_unsubscribe(ear->subscription);
  const size_t calls = ear->calls;
  add_node("node1", 1);
  struct ear *const witness = open_ear(0, "command", NULL);
  assert_true(hears(witness, 1));
  assert_int_equal(ear->calls, calls);
  coxswain_unsubscribe(witness->subscription);
  coxswain_unsubscribe(NULL);
  close_ear(ear);
  close_ear(witness);
}

static void a_callee_may_end_its_own(void **state) {
  (void)state;
  struct ear *const ear = open_ear(COXSWAIN_FROM_NOW, "command", NULL), *const witness = open_ear(COXSWAIN_FROM_NOW, "command", NULL);
  cox_mutex_lock(&ear->mutex);
  ear->ends_itself = true;
  cox_mutex_unlock(&ear->mutex);
  add_node("node1", 1);
  add_node("node2", 2);
  assert_true(hears(ear, 1) && hears(witness, 2));
  coxswain_unsubscribe(witness->subscription);
  close_ear(witness);
  struct ear *const next = open_ear(COXSWAIN_FROM_NOW, NULL, NULL); /* frees what the other left */
  coxswain_unsubscribe(next->subscription);
  close_ear(next);
  assert_int_equal(ear->calls, 1);
  close_ear(ear);
}

static atomic_size_t answers;

static void count_answer(void *arg, const char *answer_json) {
  (void)arg, (void)answer_json;
  atomic_fetch_add(&answers, 1);
}

static void one_that_is_slow_gets_from_the_store_what_memory_has_lost(void **state) {
  (void)state;
  struct ear *const slow = open_ear(0, "command", NULL);
  shut(slow, true);
  add_node("node1", 1);
  assert_true(hears(slow, 1));
  atomic_store(&answers, 0);
  for (int sent = 0; sent < FLOOD;) { /* a full queue says so: send again */
    if (coxswain_command_async(cox, "reconcile", NULL, count_answer, NULL, NULL) == COXSWAIN_OK) sent++;
    else usleep(1000);
  }
  while (atomic_load(&answers) < FLOOD) usleep(1000);
  shut(slow, false);
  assert_true(hears(slow, FLOOD + 1));
  coxswain_unsubscribe(slow->subscription);
  assert_false(slow->is_wrong);
  assert_int_equal(slow->calls, FLOOD + 1);
  close_ear(slow);
}

static void there_is_a_limit_and_wrong_filters_are_refused(void **state) {
  (void)state;
  struct ear *ears[64];
  struct coxswain_subscription *none;
  struct coxswain_error error;
  for (int i = 0; i < 64; i++) ears[i] = open_ear(COXSWAIN_FROM_NOW, NULL, NULL);
  assert_int_equal(coxswain_subscribe(cox, 0, NULL, listen, NULL, &none, &error), COXSWAIN_FULL);
  coxswain_unsubscribe(ears[0]->subscription);
  const struct coxswain_filter wrong = {.kind = "a kind that nobody knows"};
  assert_int_equal(coxswain_subscribe(cox, 0, &wrong, listen, NULL, &none, &error), COXSWAIN_INVALID);
  assert_int_equal(coxswain_subscribe(cox, 0, NULL, listen, ears[0], &ears[0]->subscription, &error), COXSWAIN_OK);
  coxswain_stop(cox); /* ends those that are left */
  for (int i = 0; i < 64; i++) close_ear(ears[i]);
  cox = NULL;
}

static void come_and_go(void *arg) {
  (void)arg;
  for (int i = 0; i < ROUNDS; i++) {
    struct ear *const ear = open_ear(i % 2 == 0 ? 0 : COXSWAIN_FROM_NOW, NULL, NULL);
    if (i % 3 == 0 && i % 2 == 0) hears(ear, 1);
    coxswain_unsubscribe(ear->subscription);
    close_ear(ear);
  }
}

static void threads_may_come_and_go_while_things_happen(void **state) {
  (void)state;
  struct cox_thread threads[THREADS] = {0};
  for (int i = 0; i < THREADS; i++) cox_thread_start(&threads[i], "spec", come_and_go, NULL, NULL);
  for (int i = 0; i < ROUNDS; i++) command("reconcile", NULL);
  for (int i = 0; i < THREADS; i++) cox_thread_join(&threads[i]);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
  const struct CMUnitTest tests[] = {
      TEST(each_comes_once_in_order_from_the_number_that_was_asked_for),
      TEST(nothing_comes_after_the_end),
      TEST(a_callee_may_end_its_own),
      TEST(one_that_is_slow_gets_from_the_store_what_memory_has_lost),
      TEST(there_is_a_limit_and_wrong_filters_are_refused),
      TEST(threads_may_come_and_go_while_things_happen),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
