/* Which connection a request goes out on: GETs share one per machine, what changes a machine has one of its own and goes out once. */
#include "evil_server.h"
#include "scripted_net.h"

#include <stdlib.h>
#include <string.h>

#define TWO "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"

static const struct evil_route routes[] = {
    {"/last", {{EVIL_SEND, TWO "ok", 0, 0}, {EVIL_CLOSE, 0, 0, 0}}},
    {"/last-reset", {{EVIL_SEND, TWO "ok", 0, 0}, {EVIL_PAUSE, 0, 0, 5}, {EVIL_RESET, 0, 0, 0}}},
    {"/close", {{EVIL_CLOSE, 0, 0, 0}}},
    {"/reset", {{EVIL_RESET, 0, 0, 0}}},
    {"/says-close", {{EVIL_SEND, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", 0, 0}}},
    {"/gate", {{EVIL_GATE, 0, 0, 0}, {EVIL_SEND, TWO "ok", 0, 0}, {EVIL_NEXT, 0, 0, 0}}},
    {"/more-later",
     {{EVIL_SEND, TWO "ok", 0, 0}, {EVIL_GATE, 0, 0, 0}, {EVIL_SEND, TWO "no", 0, 0}, {EVIL_NEXT, 0, 0, 0}}},
    {"/last-later", {{EVIL_SEND, TWO "ok", 0, 0}, {EVIL_GATE, 0, 0, 0}, {EVIL_CLOSE, 0, 0, 0}}},
};

static struct scripted net;
static struct evil_server *server;
static size_t files_before;

static int setup(void **state) {
  (void)state;
  files_before = open_files();
  server = evil_server_create(&(const struct evil_options){.routes = routes, .route_count = sizeof routes / sizeof routes[0]});
  scripted_start(&net, 1);
  return 0;
}

static int teardown(void **state) {
  (void)state;
  scripted_stop(&net);
  evil_server_destroy(server);
  wait_open_files(files_before);
  return 0;
}

static void expect_ok(enum script_do what, const char *path) {
  struct script *const script = script_create((struct script_step[]){{.what = what, .text = evil_url(server, path)}, {0}});
  scripted_run(&net, script);
  if (script->seen[0].class_ != COX_CLASS_NONE) fail_msg("%s", script->seen[0].error);
  assert_string_equal(script->seen[0].body, "ok");
  script_destroy(script);
}

static void expect_class(enum script_do what, const char *path, enum cox_class class_) {
  struct script *const script = script_create((struct script_step[]){{.what = what, .text = evil_url(server, path)}, {0}});
  scripted_run(&net, script);
  if (script->seen[0].class_ != class_) fail_msg("%s: %s", cox_class_name(script->seen[0].class_), script->seen[0].error);
  script_destroy(script);
}

static void gets_to_one_machine_share_a_connection(void **state) {
  (void)state;
  for (int i = 0; i < 20; i++) expect_ok(SCRIPT_GET, "/fast");
  assert_int_equal(evil_server_counts(server).accepted, 1);
  assert_int_equal(evil_server_counts(server).requests, 20);
}

static void machines_do_not_share(void **state) {
  (void)state;
  struct evil_server *const other = evil_server_create(&(const struct evil_options){0});
  struct script *const script = script_create((struct script_step[]){{.what = SCRIPT_GET, .text = evil_url(server, "/fast")},
                                                                     {.what = SCRIPT_GET, .text = evil_url(other, "/fast")},
                                                                     {.what = SCRIPT_GET, .text = evil_url(server, "/fast")},
                                                                     {.what = SCRIPT_GET, .text = evil_url(other, "/fast")},
                                                                     {0}});
  scripted_run(&net, script);
  assert_int_equal(evil_server_counts(server).accepted, 1);
  assert_int_equal(evil_server_counts(other).accepted, 1);
  assert_int_equal(evil_server_counts(other).requests, 2);
  evil_server_destroy(other);
  script_destroy(script);
}

static void calls_that_change_a_machine_use_the_connection_of_those_before(void **state) {
  (void)state;
  expect_ok(SCRIPT_GET, "/fast");
  for (int i = 0; i < 5; i++) expect_ok(SCRIPT_MUTATE, "/fast");
  expect_ok(SCRIPT_GET, "/fast");
  assert_int_equal(evil_server_counts(server).accepted, 1);
  evil_server_wait_open(server, 1);
}

static void a_call_that_must_not_overtake_another_has_a_connection_of_its_own(void **state) {
  (void)state;
  expect_ok(SCRIPT_GET, "/fast");
  expect_ok(SCRIPT_MUTATE_FRESH, "/fast");
  assert_int_equal(evil_server_counts(server).accepted, 2);
  expect_ok(SCRIPT_MUTATE, "/fast");
  assert_int_equal(evil_server_counts(server).accepted, 2);
}

static void a_get_is_repeated_when_its_old_connection_turns_out_dead(void **state) {
  (void)state;
  for (int i = 0; i < 10; i++) {
    expect_ok(SCRIPT_GET, i % 2 ? "/last" : "/last-reset");
    expect_ok(SCRIPT_GET, "/fast");
  }
  expect_ok(SCRIPT_GET, "/fast");
  expect_ok(SCRIPT_GET, "/fast");
}

/* The connection dies only when the request is there, so that nothing can be known before. On a fresh one it is the answer. */
static void a_get_that_is_closed_on_a_used_connection_is_repeated_once_on_a_fresh_one(void **state) {
  (void)state;
  expect_ok(SCRIPT_GET, "/fast");
  expect_class(SCRIPT_GET, "/close", COX_CLASS_RESET);
  assert_in_range(evil_server_requests(server, "/close"), 1, 2);
  expect_ok(SCRIPT_GET, "/fast");
  expect_class(SCRIPT_GET, "/reset", COX_CLASS_RESET);
  assert_in_range(evil_server_requests(server, "/reset"), 1, 2);
}

static void a_call_that_changes_a_machine_is_sent_once_whatever_happens_to_it(void **state) {
  (void)state;
  expect_ok(SCRIPT_GET, "/fast");
  expect_ok(SCRIPT_GET, "/fast");
  for (size_t i = 1; i <= 20; i++) {
    if (i % 3 == 0) expect_ok(SCRIPT_GET, "/last");
    expect_ok(SCRIPT_GET, "/fast"); /* so that libcurl has a used connection, on which it would repeat */
    expect_class(SCRIPT_MUTATE, "/close", COX_CLASS_RESET);
    expect_ok(SCRIPT_GET, "/fast");
    expect_class(SCRIPT_MUTATE, "/reset", COX_CLASS_RESET);
    assert_int_equal(evil_server_requests(server, "/close"), i);
    assert_int_equal(evil_server_requests(server, "/reset"), i);
  }
}

static void a_handle_that_changed_a_machine_may_be_used_for_a_get_and_back(void **state) {
  (void)state;
  for (int i = 0; i < 5; i++) {
    expect_ok(SCRIPT_MUTATE, "/fast");
    assert_non_null(strstr(evil_server_last_request(server), "POST /fast "));
    expect_ok(SCRIPT_GET, "/fast");
    assert_non_null(strstr(evil_server_last_request(server), "GET /fast "));
    expect_ok(SCRIPT_POST, "/fast");
    assert_non_null(strstr(evil_server_last_request(server), "POST /fast "));
  }
}

static void a_connection_that_the_machine_wants_closed_is_closed(void **state) {
  (void)state;
  expect_ok(SCRIPT_GET, "/says-close");
  evil_server_wait_open(server, 0);
  expect_ok(SCRIPT_GET, "/says-close");
  assert_int_equal(evil_server_counts(server).accepted, 2);
}

static void requests_at_the_same_time_have_a_connection_each(void **state) {
  (void)state;
  struct script *scripts[10];
  for (int i = 0; i < 10; i++) {
    scripts[i] = script_create((struct script_step[]){{.what = SCRIPT_GET, .text = evil_url(server, "/gate")}, {0}});
    scripted_post(&net, scripts[i], 0);
  }
  evil_server_wait_requests(server, 10);
  assert_int_equal(evil_server_counts(server).accepted, 10);
  evil_server_open_gate(server);
  for (int i = 0; i < 10; i++) {
    scripted_wait(&net, scripts[i]);
    script_destroy(scripts[i]);
  }
  for (int i = 0; i < 10; i++) expect_ok(SCRIPT_GET, "/fast");
  assert_int_equal(evil_server_counts(server).accepted, 10);
}

/* What a machine says before it is asked belongs to no request: the "408" of a proxy that closes an idle connection, for one. */
static void an_answer_that_came_unasked_ends_its_connection_and_is_not_believed(void **state) {
  (void)state;
  expect_ok(SCRIPT_GET, "/more-later");
  evil_server_open_gate(server);
  evil_server_wait_open(server, 0);
  expect_ok(SCRIPT_GET, "/fast");
  assert_int_equal(evil_server_counts(server).accepted, 2);
}

static void a_connection_that_the_machine_closed_at_rest_is_closed_here_too(void **state) {
  (void)state;
  expect_ok(SCRIPT_GET, "/last-later");
  evil_server_wait_open(server, 1);
  evil_server_open_gate(server);
  evil_server_wait_open(server, 0);
  expect_ok(SCRIPT_GET, "/fast");
  assert_int_equal(evil_server_counts(server).accepted, 2);
}

/* Two workers have nothing in common. */
static void each_worker_has_connections_of_its_own(void **state) {
  (void)state;
  scripted_stop(&net);
  scripted_start(&net, 2);
  for (unsigned i = 0; i < 6; i++) {
    struct script *const script = script_create((struct script_step[]){{.what = SCRIPT_GET, .text = evil_url(server, "/fast")}, {0}});
    script->worker = i % 2;
    scripted_run(&net, script);
    assert_int_equal(script->class_, COX_CLASS_NONE);
    script_destroy(script);
  }
  assert_int_equal(evil_server_counts(server).accepted, 2);
}

int main(void) {
  const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
      TEST(gets_to_one_machine_share_a_connection),
      TEST(machines_do_not_share),
      TEST(calls_that_change_a_machine_use_the_connection_of_those_before),
      TEST(a_call_that_must_not_overtake_another_has_a_connection_of_its_own),
      TEST(a_get_is_repeated_when_its_old_connection_turns_out_dead),
      TEST(a_get_that_is_closed_on_a_used_connection_is_repeated_once_on_a_fresh_one),
      TEST(a_call_that_changes_a_machine_is_sent_once_whatever_happens_to_it),
      TEST(a_handle_that_changed_a_machine_may_be_used_for_a_get_and_back),
      TEST(a_connection_that_the_machine_wants_closed_is_closed),
      TEST(requests_at_the_same_time_have_a_connection_each),
      TEST(an_answer_that_came_unasked_ends_its_connection_and_is_not_believed),
      TEST(a_connection_that_the_machine_closed_at_rest_is_closed_here_too),
      TEST(each_worker_has_connections_of_its_own),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
