/* The small parts that the core stands on. */
#include "fake_core.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/queue.h"
#include "base/rng.h"
#include "base/thread.h"
#include "base/utf8.h"
#include "core/backoff.h"
#include "core/node_config.h"
#include "core/target.h"
#include "core/timers.h"

struct item {
  struct cox_queue_link link;
  int producer, number;
};

enum { PRODUCERS = 4, ITEMS = 2000 };

static int64_t began_us; /* this process did */

static struct cox_queue queue;

static void produce(void *arg) {
  struct item *const items = arg;
  for (int i = 0; i < ITEMS; i++) cox_queue_push(&queue, &items[i].link);
}

static void a_queue_keeps_the_order_of_each_producer_and_loses_nothing(void **state) {
  (void)state;
  assert_int_equal(cox_queue_init(&queue, true, NULL), 0);
  static struct item items[PRODUCERS][ITEMS];
  struct cox_thread threads[PRODUCERS] = {0};
  for (int p = 0; p < PRODUCERS; p++) {
    for (int i = 0; i < ITEMS; i++) items[p][i] = (struct item){.producer = p, .number = i};
    assert_int_equal(cox_thread_start(&threads[p], "producer", produce, items[p], NULL), 0);
  }
  int next[PRODUCERS] = {0}, taken = 0;
  while (taken < PRODUCERS * ITEMS) {
    for (struct cox_queue_link *link = cox_queue_take(&queue); link != NULL; link = link->next, taken++) {
      const struct item *const item = COX_CONTAINER(link, struct item, link);
      assert_int_equal(item->number, next[item->producer]++);
    }
  }
  for (int p = 0; p < PRODUCERS; p++) cox_thread_join(&threads[p]);
  cox_queue_fini(&queue);
}

static void timers_come_due_in_order(void **state) {
  (void)state;
  struct cox_timers timers = {0};
  struct cox_rng rng;
  cox_rng_init(&rng, 3);
  assert_int_equal(cox_timers_next(&timers), INT64_MAX);
  for (uint64_t i = 0; i < 1000; i++) {
    assert_int_equal(cox_timers_add(&timers, (int64_t)cox_rng_below(&rng, 500), i, COX_TIMER_LOOK), 0);
  }
  int64_t last = 0;
  for (int i = 0; i < 1000; i++) {
    const struct cox_timer timer = cox_timers_pop(&timers);
    assert_true(timer.at_us >= last);
    last = timer.at_us;
  }
  cox_timers_fini(&timers);
}

static void backoff_doubles_to_its_limit_and_is_longer_for_what_rarely_heals(void **state) {
  (void)state;
  assert_float_equal(cox_backoff_limit_s(1, 60, COX_CLASS_REFUSED, 1), 1, 1e-9);
  assert_float_equal(cox_backoff_limit_s(1, 60, COX_CLASS_REFUSED, 4), 8, 1e-9);
  assert_float_equal(cox_backoff_limit_s(1, 60, COX_CLASS_REFUSED, 1000000), 60, 1e-9);
  assert_true(cox_backoff_limit_s(1, 60, COX_CLASS_CLIENT, 1) > cox_backoff_limit_s(1, 60, COX_CLASS_SERVER, 1));
  struct cox_rng rng;
  cox_rng_init(&rng, 1);
  for (int i = 0; i < 1000; i++) {
    const int64_t wait_us = cox_backoff_draw_us(&rng, 8);
    assert_true(wait_us >= 0 && wait_us < 8000000);
  }
}

static void chance_is_reproducible_and_within_bounds(void **state) {
  (void)state;
  struct cox_rng left, right;
  cox_rng_init(&left, 99);
  cox_rng_init(&right, 99);
  bool seen[7] = {false};
  for (int i = 0; i < 1000; i++) {
    const uint64_t value = cox_rng_below(&left, 7);
    assert_int_equal(value, cox_rng_below(&right, 7));
    seen[value] = true;
  }
  for (int i = 0; i < 7; i++) assert_true(seen[i]);
  assert_int_equal(cox_rng_below(&left, 0), 0);
}

static void a_buffer_stops_at_its_limit_and_keeps_what_it_had(void **state) {
  (void)state;
  struct cox_buf buf = {.limit = 8};
  assert_true(cox_buf_addf(&buf, "%d", 12345));
  assert_false(cox_buf_add(&buf, "6789", 4));
  assert_string_equal(buf.data, "12345");
  cox_buf_fini(&buf);
}

static bool is_utf8(const char *text) {
  while (*text != '\0') {
    const size_t bytes = cox_utf8_bytes(text, 4);
    if (bytes == 0) return false;
    text += bytes;
  }
  return true;
}

static void utf_8_is_what_json_takes(void **state) {
  (void)state;
  static const unsigned char ends[] = {0, 0x41, 0x7f, 0x80, 0xbf, 0xc0};
  for (int first = 0x7f; first < 0x100; first++) {
    for (int second = 0x7f; second <= 0xc1; second++) {
      for (size_t i = 0; i < sizeof ends * sizeof ends; i++) {
        const char text[] = {(char)first, (char)second, (char)ends[i / sizeof ends], (char)ends[i % sizeof ends], 0};
        json_t *const value = json_string(text);
        assert_int_equal(is_utf8(text), value != NULL);
        json_decref(value);
      }
    }
  }
  assert_int_equal(cox_utf8_bytes("\xc3\xa9", 1), 0); /* the other half is behind the end */
}

static void times_are_rfc_3339_utc_with_milliseconds(void **state) {
  (void)state;
  char text[COX_CLOCK_TEXT];
  cox_clock_format(1767323045678, text);
  assert_string_equal(text, "2026-01-02T03:04:05.678Z");
}

/* From 1900, which had no leap day, through 2000, which had one, to 2200. */
static void times_have_the_date_of_the_c_library(void **state) {
  (void)state;
  for (int64_t seconds = -2208988800; seconds < 7258118400; seconds += 86400 - 1009) {
    char text[COX_CLOCK_TEXT], expected[COX_CLOCK_TEXT];
    const time_t time = (time_t)seconds;
    struct tm parts;
    strftime(expected, sizeof expected, "%Y-%m-%dT%H:%M:%S.000Z", gmtime_r(&time, &parts));
    cox_clock_format(seconds * 1000, text);
    assert_string_equal(text, expected);
  }
}

/* The kernel's word for this start of the machine is the same in a process of its own, which takes it up anew. */
static void a_mark_of_the_machine_holds_in_another_process(void **state) {
  (void)state;
  int ends[2];
  assert_int_equal(pipe(ends), 0);
  const pid_t child = fork();
  if (child == 0) {
    const struct cox_mark made = cox_clock_mark(cox_clock_system());
    _exit(write(ends[1], &made, sizeof made) == (ssize_t)sizeof made ? 0 : 1);
  }
  close(ends[1]);
  struct cox_mark mark = {0};
  const ssize_t count = read(ends[0], &mark, sizeof mark);
  close(ends[0]);
  assert_int_equal(waitpid(child, NULL, 0), child);
  assert_int_equal(count, sizeof mark);
  const struct cox_mark later = cox_clock_mark(cox_clock_system());
  assert_int_equal(mark.era, later.era);
  assert_true(mark.era > 0 && mark.era < UINT64_C(1) << 53);
  assert_true(cox_clock_since_us(cox_clock_system(), mark) >= later.at_us - mark.at_us);
  mark.era++; /* of another start: as old as this process at least, which is not the machine's age */
  const int64_t since_us = cox_clock_since_us(cox_clock_system(), mark);
  assert_true(since_us >= 0 && since_us <= cox_clock_mono_us(cox_clock_system()) - began_us);
}

static void log_lines_are_whole_and_quoted(void **state) {
  (void)state;
  int ends[2];
  assert_int_equal(pipe(ends), 0);
  char line[8192], huge[6000];
  memset(huge, 'x', sizeof huge - 1);
  huge[sizeof huge - 1] = '\0';
  cox_log_setup(COX_LOG_INFO, false, ends[1]);
  cox_log(COX_LOG_DEBUG, "spec", "not shown", NULL);
  cox_log(COX_LOG_WARN, "spec", "two\nlines", "key", "a \"b\"", "plain", "c", NULL);
  ssize_t length = read(ends[0], line, sizeof line - 1);
  line[length] = '\0';
  assert_non_null(strstr(line, "level=warn"));
  assert_non_null(strstr(line, "plain=c"));
  assert_ptr_equal(strchr(line, '\n'), line + length - 1);
  cox_log_setup(COX_LOG_INFO, true, ends[1]);
  cox_log(COX_LOG_ERROR, "spec", "tab\there", "huge", huge, NULL);
  length = read(ends[0], line, sizeof line - 1);
  line[length] = '\0';
  assert_true(length <= 4096);
  json_t *const parsed = json_loads(line, 0, NULL);
  assert_non_null(parsed);
  assert_string_equal(json_string_value(json_object_get(parsed, "msg")), "tab\there");
  json_decref(parsed);
  cox_log_setup(COX_LOG_INFO, false, 2);
  close(ends[0]);
  close(ends[1]);
}

/* One line to `fd`, as JSON. */
static json_t *logged(int fd) {
  char line[8192];
  const ssize_t length = read(fd, line, sizeof line - 1);
  assert_true(length > 0 && length <= 4096 && line[length - 1] == '\n');
  line[length] = '\0';
  json_t *const parsed = json_loads(line, 0, NULL);
  if (parsed == NULL) fail_msg("no JSON: …%s", line + (length > 80 ? length - 80 : 0));
  return parsed;
}

static void a_line_of_json_stays_one_wherever_it_is_cut_and_whatever_is_in_it(void **state) {
  (void)state;
  int ends[2];
  char text[4300];
  assert_int_equal(pipe(ends), 0);
  cox_log_setup(COX_LOG_INFO, true, ends[1]);
  static const char *const fillings[] = {"x", "\n", "\"", "\x1b", "é", "𝄞", "\xff", "\xed\xa0\x80", "\xe0\x80\x80", "\xf4\x90\x80\x80"};
  for (size_t i = 0; i < sizeof fillings / sizeof *fillings; i++) {
    const size_t step = strlen(fillings[i]);
    for (size_t lead = 3900; lead < 4000; lead++) { /* the limit falls upon every place of what follows */
      memset(text, 'x', lead);
      for (size_t at = lead; at + step < sizeof text; at += step) memcpy(text + at, fillings[i], step), text[at + step] = '\0';
      text[lead + 40 * step < sizeof text - 1 ? lead + 40 * step : sizeof text - 1] = '\0';
      cox_log(COX_LOG_ERROR, "spec", "m", "huge", text, "next", COX_LOG_INT(lead), "quite_a_long_key", "v", NULL);
      json_t *const parsed = logged(ends[0]);
      assert_int_equal(strncmp(json_string_value(json_object_get(parsed, "huge")), "xxx", 3), 0);
      json_decref(parsed);
    }
  }
  cox_log(COX_LOG_INFO, "spec", "m", "count", COX_LOG_INT(-5), "text", "-5", "bad", "a\xff\xfe z", "forged", "\x01" "7,\"a\":1", NULL);
  json_t *const parsed = logged(ends[0]);
  assert_int_equal(json_integer_value(json_object_get(parsed, "count")), -5);
  assert_string_equal(json_string_value(json_object_get(parsed, "text")), "-5");
  assert_string_equal(json_string_value(json_object_get(parsed, "bad")), "a\uFFFD\uFFFD z");
  assert_string_equal(json_string_value(json_object_get(parsed, "forged")), "\x01" "7,\"a\":1");
  json_decref(parsed);
  cox_log_setup(COX_LOG_INFO, false, 2);
  close(ends[0]);
  close(ends[1]);
}

static json_t *valid(void) { return fake_node("n1", 5000); }

static void every_fault_of_a_node_is_named_with_its_place(void **state) {
  (void)state;
  json_t *const node = json_pack("{ss, si, si, si, s{}, ss}", "id", "n1", "inference_port", 70000, "poc_port", 0, "max_concurrent", 0,
                                 "models", "colour", "red");
  struct cox_faults faults = {0};
  cox_node_config_check(node, "node-config.json", "nodes[3]", &faults);
  const char *const expected[] = {"host is required", "inference_port must be between 1 and 65535",
                                  "poc_port must be between 1 and 65535", "max_concurrent must be greater than 0",
                                  "at least one model must be specified", "unknown field colour"};
  assert_int_equal(faults.count, 6);
  for (size_t i = 0; i < 6; i++) {
    assert_non_null(strstr(faults.list[i].text, expected[i]));
    assert_non_null(strstr(faults.list[i].text, "nodes[3]"));
    assert_string_equal(faults.list[i].file, "node-config.json");
  }
  cox_faults_fini(&faults);
  json_decref(node);
}

static void node_urls_follow_scheme_port_and_segment(void **state) {
  (void)state;
  json_t *const node = valid();
  char url[COX_URL_MAX];
  cox_node_config_url(node, true, url);
  assert_string_equal(url, "http://10.0.0.1:15000");
  json_object_set_new(node, "host", json_string("https://gpu.example"));
  json_object_set_new(node, "inference_segment", json_string("/v3"));
  cox_node_config_url(node, false, url);
  assert_string_equal(url, "https://gpu.example:5000/v3");
  struct cox_err err;
  json_t *const copy = cox_node_config_create(node, &err);
  assert_string_equal(json_string_value(json_object_get(copy, "kind")), "mlnode");
  json_decref(copy);
  json_decref(node);
}

static void an_empty_table_of_arguments_is_an_empty_list(void **state) {
  (void)state;
  struct cox_err err = {0};
  json_t *const written = fake_node("node1", 5000);
  json_object_set_new(json_object_get(json_object_get(written, "models"), "m"), "args", json_object()); /* Lua's {} */
  json_t *const node = cox_node_config_create(written, &err);
  assert_non_null(node);
  assert_true(json_is_array(json_object_get(json_object_get(json_object_get(node, "models"), "m"), "args")));
  json_decref(node);
  json_decref(written);
}

static void targets_are_compared_by_value_without_words_and_drain(void **state) {
  (void)state;
  struct cox_err err;
  json_t *const object = json_pack("{ss, ss, s[s], ss, si}", "status", "INFERENCE", "model", "m", "args", "--a", "reason", "x",
                                   "drain_s", 3);
  struct cox_target *const left = cox_target_create(json_incref(object), NULL, &err);
  json_object_set_new(object, "reason", json_string("y"));
  json_object_set_new(object, "drain_s", json_integer(9));
  struct cox_target *const same = cox_target_create(json_incref(object), "z", &err);
  json_object_set_new(object, "model", json_string("n"));
  struct cox_target *const other = cox_target_create(json_incref(object), NULL, &err);
  assert_true(cox_target_equal(left, same));
  assert_false(cox_target_equal(left, other));
  assert_false(cox_target_equal(left, NULL));
  assert_string_equal(json_string_value(same->reason), "z");
  cox_target_release(left);
  cox_target_release(same);
  cox_target_release(other);
  assert_string_equal(json_string_value(json_object_get(object, "status")), "INFERENCE"); /* a shared one stays whole */
  json_decref(object);
}

static void wrong_targets_are_refused_with_the_accepted_values(void **state) {
  (void)state;
  const struct {
    const char *json, *part;
  } cases[] = {
      {"{}", "status is required"},
      {"{\"status\":\"FAILED\"}", "INFERENCE, POC, TRAINING or STOPPED"},
      {"{\"status\":\"POC\"}", "needs poc = GENERATING or VALIDATING"},
      {"{\"status\":\"STOPPED\",\"poc\":\"GENERATING\"}", "only for status POC"},
      {"{\"status\":\"STOPPED\",\"modell\":\"x\"}", "unknown field modell"},
      {"{\"status\":\"STOPPED\",\"drain_s\":-1}", "drain_s"},
      {"{\"status\":\"STOPPED\",\"drain_s\":1e300}", "drain_s"},
      {"[]", "a table with a status"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct cox_err err = {0};
    assert_null(cox_target_create(json_loads(cases[i].json, 0, NULL), NULL, &err));
    assert_non_null(strstr(err.text, cases[i].part));
  }
}

int main(void) {
  began_us = cox_clock_mono_us(cox_clock_system());
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_queue_keeps_the_order_of_each_producer_and_loses_nothing),
      cmocka_unit_test(timers_come_due_in_order),
      cmocka_unit_test(backoff_doubles_to_its_limit_and_is_longer_for_what_rarely_heals),
      cmocka_unit_test(chance_is_reproducible_and_within_bounds),
      cmocka_unit_test(a_buffer_stops_at_its_limit_and_keeps_what_it_had),
      cmocka_unit_test(utf_8_is_what_json_takes),
      cmocka_unit_test(times_are_rfc_3339_utc_with_milliseconds),
      cmocka_unit_test(times_have_the_date_of_the_c_library),
      cmocka_unit_test(a_mark_of_the_machine_holds_in_another_process),
      cmocka_unit_test(log_lines_are_whole_and_quoted),
      cmocka_unit_test(a_line_of_json_stays_one_wherever_it_is_cut_and_whatever_is_in_it),
      cmocka_unit_test(every_fault_of_a_node_is_named_with_its_place),
      cmocka_unit_test(node_urls_follow_scheme_port_and_segment),
      cmocka_unit_test(an_empty_table_of_arguments_is_an_empty_list),
      cmocka_unit_test(targets_are_compared_by_value_without_words_and_drain),
      cmocka_unit_test(wrong_targets_are_refused_with_the_accepted_values),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
