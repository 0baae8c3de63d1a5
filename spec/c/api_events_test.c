/* The journal over HTTP: pages, streams, gaps, and streams that are open when the API ends. */
#include "api_rig.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "core/journal.h"

static struct rig *r;

static int setup(void **state) {
  (void)state;
  r = rig_create(NULL, 0);
  return 0;
}

static int teardown(void **state) {
  (void)state;
  if (r != NULL) rig_destroy(r);
  return 0;
}

static void tell(int n) {
  while (cox_broker_note(r->broker, "note", n % 2 == 0 ? "even" : "odd", json_pack("{si}", "n", n), NULL) != 0) usleep(1000); /* full: soon not */
}

static void wait_last(uint64_t seq) {
  for (int i = 0; i < 20000 && cox_broker_events_last(r->broker) < seq; i++) usleep(1000);
  assert_true(cox_broker_events_last(r->broker) >= seq);
}

/* Reads on until `text` has come; false: the connection ended before. All of it stays in `seen`. */
static bool read_until(int fd, struct cox_buf *seen, const char *text) {
  char piece[4096];
  while (seen->data == NULL || strstr(seen->data, text) == NULL) {
    const ssize_t count = recv(fd, piece, sizeof piece, 0);
    if (count <= 0) return false;
    cox_buf_add(seen, piece, (size_t)count);
  }
  return true;
}

static int follow(const char *query, const char *header) {
  char request[256];
  const int fd = rig_connect(r);
  snprintf(request, sizeof request, "GET /v1/events%s HTTP/1.1\r\nHost: x\r\n%s\r\n", query, header);
  rig_send(fd, request);
  return fd;
}

static void a_page_of_json_has_what_is_asked_for(void **state) {
  (void)state;
  for (int i = 1; i <= 10; i++) tell(i);
  wait_last(10);
  struct reply reply = rig_ask(r, "GET", "/v1/events?format=json&since=4&max=3", NULL, NULL);
  assert_int_equal(reply.status, 200);
  json_t *const events = json_object_get(reply.json, "events");
  assert_int_equal(json_array_size(events), 3);
  assert_int_equal(json_integer_value(json_object_get(json_array_get(events, 0), "seq")), 5);
  assert_int_equal(json_integer_value(json_object_get(reply.json, "next")), 7);
  assert_int_equal(json_integer_value(json_object_get(reply.json, "last")), 10);
  reply_fini(&reply);
  reply = rig_ask(r, "GET", "/v1/events?format=json&kind=note&node=%6fdd", NULL, NULL);
  assert_int_equal(json_array_size(json_object_get(reply.json, "events")), 5);
  reply_fini(&reply);
}

static void bad_questions_are_refused(void **state) {
  (void)state;
  static const char *const bad[] = {"since=x", "since=-1", "max=0", "max=99999", "format=xml", "since=99999999999999999999", "kind=averyveryverylongkind", "kind=nots", "kind=keep",
                                    "node=%zz", "colour=red"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    char target[128];
    snprintf(target, sizeof target, "/v1/events?%s", bad[i]);
    assert_int_equal(rig_status(r, "GET", target, NULL), 400);
  }
  struct reply reply = rig_ask(r, "GET", "/v1/events", "Last-Event-ID: soon\r\n", NULL);
  assert_int_equal(reply.status, 400);
  reply_fini(&reply);
  assert_int_equal(rig_status(r, "POST", "/v1/events", "{}"), 405);
}

static void a_stream_tells_what_was_and_then_what_comes(void **state) {
  (void)state;
  struct cox_buf seen = {0};
  for (int i = 1; i <= 3; i++) tell(i);
  wait_last(3);
  const int fd = follow("?since=1", "");
  assert_true(read_until(fd, &seen, "\"n\":3}"));
  assert_non_null(strstr(seen.data, "text/event-stream"));
  assert_null(strstr(seen.data, "\"n\":1}"));
  tell(4);
  assert_true(read_until(fd, &seen, "id: 4\nevent: note\ndata: {\"seq\":4,"));
  assert_true(read_until(fd, &seen, "\"n\":4}"));
  close(fd);
  cox_buf_fini(&seen);
}

static void a_stream_goes_on_after_the_last_event_that_came(void **state) {
  (void)state;
  struct cox_buf seen = {0};
  for (int i = 1; i <= 6; i++) tell(i);
  wait_last(6);
  const int fd = follow("?since=1", "Last-Event-ID: 5\r\n");
  assert_true(read_until(fd, &seen, "\"n\":6}"));
  assert_null(strstr(seen.data, "\"n\":5}"));
  close(fd);
  cox_buf_fini(&seen);
}

static void a_filter_holds_for_what_comes_later_too(void **state) {
  (void)state;
  struct cox_buf seen = {0};
  const int fd = follow("?node=odd", "");
  assert_true(read_until(fd, &seen, "retry"));
  for (int i = 1; i <= 5; i++) tell(i);
  assert_true(read_until(fd, &seen, "\"n\":5}"));
  assert_null(strstr(seen.data, "\"n\":4}"));
  close(fd);
  cox_buf_fini(&seen);
}

/* This broker has no store, so what memory has lost is gone. */
static void who_was_away_too_long_is_told_what_is_missing(void **state) {
  (void)state;
  struct cox_buf seen = {0};
  const int all = COX_JOURNAL_KEPT + 100;
  for (int i = 1; i <= all; i++) tell(i);
  wait_last((uint64_t)all);
  const int fd = follow("?since=10", "");
  assert_true(read_until(fd, &seen, "event: gap\ndata: {\"kind\":\"gap\",\"from\":11,\"to\":100}"));
  char last[32];
  snprintf(last, sizeof last, "\"n\":%d}", all);
  assert_true(read_until(fd, &seen, "\"n\":101}") && read_until(fd, &seen, last));
  close(fd);
  cox_buf_fini(&seen);
  struct reply reply = rig_ask(r, "GET", "/v1/events?format=json&since=10", NULL, NULL);
  assert_int_equal(json_integer_value(json_object_get(json_object_get(reply.json, "gap"), "to")), 100);
  reply_fini(&reply);
}

static void numbers_from_the_future_begin_at_the_end(void **state) {
  (void)state;
  struct cox_buf seen = {0};
  tell(1);
  wait_last(1);
  const int fd = follow("?since=500", "");
  assert_true(read_until(fd, &seen, "\"from\":2,\"to\":500}"));
  tell(2);
  assert_true(read_until(fd, &seen, "\"n\":2}"));
  close(fd);
  cox_buf_fini(&seen);
}

static void clients_that_leave_and_the_end_of_the_api_disturb_nobody(void **state) {
  (void)state;
  enum { STREAMS = 20 };
  int fds[STREAMS];
  struct cox_buf seen = {0};
  for (int i = 0; i < STREAMS; i++) {
    fds[i] = follow("", "");
    cox_buf_clear(&seen);
    assert_true(read_until(fds[i], &seen, "retry"));
  }
  for (int i = 0; i < STREAMS / 2; i++) close(fds[i]);
  for (int i = 1; i < 50; i++) tell(i);
  cox_buf_clear(&seen);
  assert_true(read_until(fds[STREAMS - 1], &seen, "\"n\":49}"));
  rig_destroy(r); /* the others are open */
  r = NULL;
  assert_false(read_until(fds[STREAMS - 1], &seen, "never comes"));
  for (int i = STREAMS / 2; i < STREAMS; i++) close(fds[i]);
  cox_buf_fini(&seen);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
  const struct CMUnitTest tests[] = {
      TEST(a_page_of_json_has_what_is_asked_for),
      TEST(bad_questions_are_refused),
      TEST(a_stream_tells_what_was_and_then_what_comes),
      TEST(a_stream_goes_on_after_the_last_event_that_came),
      TEST(a_filter_holds_for_what_comes_later_too),
      TEST(who_was_away_too_long_is_told_what_is_missing),
      TEST(numbers_from_the_future_begin_at_the_end),
      TEST(clients_that_leave_and_the_end_of_the_api_disturb_nobody),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
