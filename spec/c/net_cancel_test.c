/* Ends before the time: cancels and deadlines in every state of an attempt. Each comes back exactly once, and its socket closes. */
#include "evil_server.h"
#include "scripted_net.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { MANY = 200 };

static const struct evil_route routes[] = {
    {"/hang", {{0}}},
    {"/half", {{EVIL_SEND, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc", 0, 0}}},
    {"/drip", {{EVIL_SEND, "HTTP/1.1 200 OK\r\n\r\n", 0, 0}, {EVIL_DRIP, "x", EVIL_FOREVER, 1}}},
    {"/gate", {{EVIL_GATE, 0, 0, 0}, {EVIL_SEND, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 0, 0}, {EVIL_NEXT, 0, 0, 0}}},
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

static struct script *one(enum script_do what, const char *path) {
  return script_create((struct script_step[]){{.what = what, .text = evil_url(server, path)}, {0}});
}

static void expect_cancelled(struct script *script) {
  scripted_wait(&net, script);
  assert_int_equal(script->class_, COX_CLASS_CANCELLED);
  if (atomic_load(&script->starts) == 1) assert_int_equal(script->why, COX_END_CANCELLED);
}

static void expect_overdue(struct script *script) {
  scripted_wait(&net, script);
  assert_int_equal(script->class_, COX_CLASS_TIMEOUT);
  if (atomic_load(&script->starts) == 1) assert_int_equal(script->why, COX_END_DEADLINE);
}

/* ---- cancels ---- */

static void a_cancel_while_the_answer_is_awaited_closes_the_socket(void **state) {
  (void)state;
  const enum script_do ways[] = {SCRIPT_GET, SCRIPT_MUTATE};
  for (size_t i = 0; i < 2; i++) {
    struct script *const script = one(ways[i], "/hang");
    scripted_post(&net, script, 0);
    evil_server_wait_requests(server, i + 1);
    scripted_cancel(&net, script);
    expect_cancelled(script);
    evil_server_wait_open(server, 0);
    assert_int_equal(evil_server_counts(server).left, i + 1);
    script_destroy(script);
  }
}

static void a_cancel_while_the_answer_is_read_closes_the_socket(void **state) {
  (void)state;
  const char *const paths[] = {"/half", "/drip"};
  for (size_t i = 0; i < 2; i++) {
    struct script *const script = one(SCRIPT_GET, paths[i]);
    scripted_post(&net, script, 0);
    evil_server_wait_requests(server, i + 1);
    scripted_cancel(&net, script);
    expect_cancelled(script);
    evil_server_wait_open(server, 0);
    script_destroy(script);
  }
}

static void a_cancel_on_a_connection_used_before_closes_it_too(void **state) {
  (void)state;
  struct script *const script = script_create((struct script_step[]){
      {.what = SCRIPT_GET, .text = evil_url(server, "/fast")}, {.what = SCRIPT_GET, .text = evil_url(server, "/hang")}, {0}});
  scripted_post(&net, script, 0);
  evil_server_wait_requests(server, 2);
  assert_int_equal(evil_server_counts(server).accepted, 1);
  scripted_cancel(&net, script);
  expect_cancelled(script);
  evil_server_wait_open(server, 0);
  script_destroy(script);
}

static void a_cancel_while_connecting_closes_the_socket(void **state) {
  (void)state;
  struct evil_wall wall;
  evil_wall_init(&wall);
  if (wall.port > 0) {
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/x", wall.port);
    const size_t files = open_files();
    struct script *const script = script_create((struct script_step[]){{.what = SCRIPT_MUTATE, .text = url}, {0}});
    scripted_post(&net, script, 0);
    wait_more_open_files(files);
    scripted_cancel(&net, script);
    expect_cancelled(script);
    wait_open_files(files);
    script_destroy(script);
  }
  evil_wall_fini(&wall);
  if (wall.port < 0) skip();
}

static void a_cancel_while_tls_is_negotiated_closes_the_socket(void **state) {
  (void)state;
  char url[64];
  snprintf(url, sizeof url, "https://127.0.0.1:%d/x", evil_server_port(server)); /* it waits for the end of a header */
  struct script *const script = script_create((struct script_step[]){{.what = SCRIPT_MUTATE, .text = url}, {0}});
  scripted_post(&net, script, 0);
  evil_server_wait_open(server, 1);
  scripted_cancel(&net, script);
  expect_cancelled(script);
  evil_server_wait_open(server, 0);
  script_destroy(script);
}

static void a_cancel_while_a_name_is_looked_up_does_not_wait_for_the_answer(void **state) {
  (void)state;
  struct script *scripts[MANY];
  for (int i = 0; i < MANY; i++) {
    char url[64];
    snprintf(url, sizeof url, "http://no-such-machine-%d.invalid:1/x", i);
    scripts[i] = script_create((struct script_step[]){{.what = SCRIPT_GET, .text = url}, {.what = SCRIPT_GET, .text = url}, {0}});
    scripts[i]->steps[0].text = scripts[i]->steps[1].text = strdup(url);
    scripted_post(&net, scripts[i], 0);
  }
  for (int i = 0; i < MANY; i++) scripted_cancel(&net, scripts[i]);
  for (int i = 0; i < MANY; i++) {
    scripted_wait(&net, scripts[i]); /* may be done before the cancel where the machine knows at once that there is none */
    assert_true(scripts[i]->class_ == COX_CLASS_CANCELLED || scripts[i]->class_ == COX_CLASS_RESOLVE);
    free((char *)scripts[i]->steps[0].text);
    script_destroy(scripts[i]);
  }
}

static void a_cancel_ends_a_sleep(void **state) {
  (void)state;
  struct script *const script = script_create((struct script_step[]){{.what = SCRIPT_SLEEP, .ms = INT64_MAX}, {0}});
  scripted_post(&net, script, 0);
  scripted_wait_for(&script->resumes, 1);
  scripted_cancel(&net, script);
  expect_cancelled(script);
  script_destroy(script);
}

static void a_cancel_right_behind_the_attempt_finds_it(void **state) {
  (void)state;
  for (int i = 0; i < 500; i++) {
    struct script *const script = one(SCRIPT_GET, "/hang");
    scripted_post(&net, script, 0);
    scripted_cancel(&net, script);
    expect_cancelled(script);
    assert_int_equal(script->at, 0);
    script_destroy(script);
  }
  evil_server_wait_open(server, 0);
}

static void a_cancel_of_what_is_done_or_was_never_there_does_nothing(void **state) {
  (void)state;
  struct script *const script = one(SCRIPT_GET, "/fast");
  struct script *const never = one(SCRIPT_GET, "/fast");
  scripted_cancel(&net, never);
  scripted_run(&net, script);
  assert_int_equal(script->class_, COX_CLASS_NONE);
  scripted_cancel(&net, script);
  scripted_cancel(&net, script);
  struct script *const next = one(SCRIPT_GET, "/fast");
  scripted_run(&net, next);
  assert_int_equal(next->class_, COX_CLASS_NONE);
  assert_int_equal(atomic_load(&script->completions), 1);
  script_destroy(never);
  script_destroy(script);
  script_destroy(next);
}

static void many_cancels_of_one_attempt_are_one(void **state) {
  (void)state;
  struct script *const script = one(SCRIPT_GET, "/hang");
  scripted_post(&net, script, 0);
  evil_server_wait_requests(server, 1);
  for (int i = 0; i < 100; i++) scripted_cancel(&net, script);
  expect_cancelled(script);
  struct script *const next = one(SCRIPT_GET, "/fast");
  scripted_run(&net, next);
  assert_int_equal(atomic_load(&script->completions), 1);
  assert_int_equal(atomic_load(&script->finishes), 1);
  script_destroy(script);
  script_destroy(next);
}

static void many_that_hang_are_cancelled_and_begun_anew_at_once(void **state) {
  (void)state;
  struct script *first[MANY], *second[MANY];
  for (int i = 0; i < MANY; i++) scripted_post(&net, first[i] = one(i % 2 ? SCRIPT_GET : SCRIPT_MUTATE, "/hang"), 0);
  evil_server_wait_requests(server, MANY);
  for (int i = 0; i < MANY; i++) {
    scripted_cancel(&net, first[i]);
    scripted_post(&net, second[i] = one(SCRIPT_MUTATE, "/fast"), 0);
  }
  for (int i = 0; i < MANY; i++) {
    expect_cancelled(first[i]);
    scripted_wait(&net, second[i]);
    assert_int_equal(second[i]->class_, COX_CLASS_NONE);
    script_destroy(first[i]);
    script_destroy(second[i]);
  }
  evil_server_wait_open(server, evil_server_counts(server).accepted - MANY); /* those that hung are closed, the others at rest */
  assert_int_equal(evil_server_requests(server, "/fast"), MANY);
}

/* ---- deadlines ---- */

static void the_deadline_of_an_attempt_ends_it_in_a_request_and_in_a_sleep(void **state) {
  (void)state;
  struct script *const asks = one(SCRIPT_MUTATE, "/hang");
  struct script *const reads = one(SCRIPT_GET, "/drip");
  struct script *const sleeps = script_create((struct script_step[]){{.what = SCRIPT_SLEEP, .ms = 3600000}, {0}});
  struct script *const all[] = {asks, reads, sleeps};
  for (int i = 0; i < 3; i++) scripted_post(&net, all[i], 300000);
  for (int i = 0; i < 3; i++) expect_overdue(all[i]);
  evil_server_wait_open(server, 0);
  for (int i = 0; i < 3; i++) script_destroy(all[i]);
}

static void the_deadline_counts_for_all_requests_together(void **state) {
  (void)state;
  struct script *const script = script_create((struct script_step[]){{.what = SCRIPT_SLEEP, .ms = 50},
                                                                     {.what = SCRIPT_GET, .text = evil_url(server, "/hang"), .ms = 50},
                                                                     {.what = SCRIPT_SLEEP, .ms = 50},
                                                                     {.what = SCRIPT_SLEEP, .ms = 3600000},
                                                                     {0}});
  scripted_post(&net, script, 500000);
  expect_overdue(script);
  script_destroy(script);
}

static void a_deadline_in_the_past_ends_the_attempt_before_it_begins(void **state) {
  (void)state;
  struct script *const script = one(SCRIPT_GET, "/fast");
  scripted_post(&net, script, -1000000000000);
  expect_overdue(script);
  assert_int_equal(atomic_load(&script->starts), 0);
  assert_non_null(strstr(script->error, "before it could begin"));
  assert_int_equal(evil_server_counts(server).requests, 0);
  script_destroy(script);
}

static void a_deadline_pushed_out_is_kept_and_one_pulled_in_too(void **state) {
  (void)state;
  struct script *const longer = script_create((struct script_step[]){
      {.what = SCRIPT_EXTEND, .ms = 3600000},
      {.what = SCRIPT_SLEEP, .ms = 700},
      {.what = SCRIPT_GET, .text = evil_url(server, "/fast")},
      {0},
  });
  struct script *const shorter =
      script_create((struct script_step[]){{.what = SCRIPT_EXTEND, .ms = 50}, {.what = SCRIPT_SLEEP, .ms = 3600000}, {0}});
  scripted_post(&net, shorter, 0);
  scripted_post(&net, longer, 600000);
  expect_overdue(shorter);
  scripted_wait(&net, longer);
  if (atomic_load(&longer->starts) == 1) assert_int_equal(longer->class_, COX_CLASS_NONE); /* else the machine is very slow */
  script_destroy(longer);
  script_destroy(shorter);
}

/* ---- one after the other ---- */

static void cancelled_attempts_of_a_full_worker_never_begin_and_their_places_go_to_others(void **state) {
  (void)state;
  scripted_stop(&net);
  const struct rlimit small = {.rlim_cur = 176, .rlim_max = 20000}; /* (176 - 128) / 2 = 24 transfers */
  struct rlimit before;
  getrlimit(RLIMIT_NOFILE, &before);
  setrlimit(RLIMIT_NOFILE, &(struct rlimit){small.rlim_cur, before.rlim_max});
  scripted_start(&net, 1);
  setrlimit(RLIMIT_NOFILE, &before);
  struct script *scripts[MANY];
  for (int i = 0; i < MANY; i++) scripted_post(&net, scripts[i] = one(SCRIPT_GET, "/gate"), 0);
  evil_server_wait_requests(server, 24);
  for (int i = 0; i < MANY; i++) scripted_wait_for(&scripts[i]->resumes, 1);
  assert_int_equal(evil_server_counts(server).requests, 24);
  for (int i = 24; i < 100; i++) scripted_cancel(&net, scripts[i]); /* all wait for a place */
  for (int i = 24; i < 100; i++) expect_cancelled(scripts[i]);
  assert_int_equal(evil_server_counts(server).requests, 24);
  for (int i = 0; i < 12; i++) scripted_cancel(&net, scripts[i]); /* their places go to others */
  evil_server_wait_requests(server, 36);
  evil_server_wait_open(server, 24);
  evil_server_open_gate(server);
  for (int i = 0; i < MANY; i++) {
    scripted_wait(&net, scripts[i]);
    assert_int_equal(scripts[i]->class_, i < 12 || (i >= 24 && i < 100) ? COX_CLASS_CANCELLED : COX_CLASS_NONE);
    script_destroy(scripts[i]);
  }
  assert_int_equal(evil_server_counts(server).requests, 36 + MANY - 100 - 12);
}

static void a_deadline_ends_an_attempt_that_waits_for_a_place(void **state) {
  (void)state;
  scripted_stop(&net);
  struct rlimit before;
  getrlimit(RLIMIT_NOFILE, &before);
  setrlimit(RLIMIT_NOFILE, &(struct rlimit){100, before.rlim_max}); /* the smallest number of transfers: 8 */
  scripted_start(&net, 1);
  setrlimit(RLIMIT_NOFILE, &before);
  struct script *scripts[8];
  for (int i = 0; i < 8; i++) scripted_post(&net, scripts[i] = one(SCRIPT_GET, "/hang"), 0);
  evil_server_wait_requests(server, 8);
  struct script *const waits = one(SCRIPT_GET, "/fast");
  scripted_post(&net, waits, 200000);
  expect_overdue(waits);
  assert_int_equal(evil_server_counts(server).requests, 8);
  script_destroy(waits);
  for (int i = 0; i < 8; i++) {
    scripted_cancel(&net, scripts[i]);
    expect_cancelled(scripts[i]);
    script_destroy(scripts[i]);
  }
}

/* ---- the end of all ---- */

static void the_end_of_the_workers_gives_everything_back(void **state) {
  (void)state;
  struct script *scripts[MANY];
  for (int i = 0; i < MANY; i++) {
    static const char *const paths[] = {"/hang", "/drip", "/half", "/fast"};
    scripts[i] = i % 5 == 4 ? script_create((struct script_step[]){{.what = SCRIPT_SLEEP, .ms = 3600000}, {0}})
                            : one(i % 2 ? SCRIPT_GET : SCRIPT_MUTATE, paths[i % 4]);
    scripted_post(&net, scripts[i], 0);
  }
  evil_server_wait_requests(server, MANY / 3);
  cox_net_destroy(net.net);
  net.net = NULL;
  for (int i = 0; i < MANY; i++) {
    assert_int_equal(atomic_load(&scripts[i]->completions), 1);
    assert_int_equal(atomic_load(&scripts[i]->finishes), atomic_load(&scripts[i]->starts));
    assert_true(scripts[i]->class_ == COX_CLASS_CANCELLED || scripts[i]->class_ == COX_CLASS_NONE);
    script_destroy(scripts[i]);
  }
  evil_server_wait_open(server, 0);
}

static void workers_without_work_end(void **state) {
  (void)state;
  scripted_stop(&net);
  scripted_start(&net, 8);
}

static void no_machine_for_scripts_no_workers(void **state) {
  (void)state;
  struct scripted other;
  struct cox_err err = {0};
  scripted_init(&other);
  other.refuses_vms = true;
  struct cox_net_options options = {.workers = 3, .clock = cox_clock_system(), .ops = &other.ops};
  assert_null(cox_net_create_with(&options, &other.sink, &err));
  assert_int_equal(err.code, COX_ESCRIPT);
  assert_string_equal(err.text, "no machine today");
  options.workers = 0;
  assert_null(cox_net_create_with(&options, &other.sink, &err));
  assert_int_equal(err.code, COX_EINVAL);
  options.workers = 65;
  assert_null(cox_net_create_with(&options, &other.sink, NULL));
  scripted_stop(&other);
}

/* A cancel that could not be noted for want of memory: everything is ended, what is still wanted comes again. */
static void a_lost_cancel_ends_all_attempts_of_its_worker(void **state) {
  (void)state;
  struct cox_worker worker = {0};
  const struct cox_net_options options = {.workers = 1, .clock = cox_clock_system(), .ops = &net.ops};
  assert_int_equal(cox_worker_start(&worker, 0, 8, &options, &net.sink, NULL), 0);
  struct script *scripts[20];
  for (int i = 0; i < 20; i++) {
    scripts[i] = one(SCRIPT_GET, "/hang");
    cox_worker_post(&worker, script_attempt(scripts[i], 0));
  }
  evil_server_wait_requests(server, 8);
  atomic_store(&worker.has_lost_cancel, true);
  cox_queue_wake(&worker.mailbox->notes);
  for (int i = 0; i < 20; i++) expect_cancelled(scripts[i]);
  evil_server_wait_open(server, 0);
  struct script *const next = one(SCRIPT_GET, "/fast");
  cox_worker_post(&worker, script_attempt(next, 0));
  scripted_wait(&net, next);
  assert_int_equal(next->class_, COX_CLASS_NONE);
  cox_worker_stop(&worker);
  struct script *const late = one(SCRIPT_GET, "/fast"); /* before or after the last look, it comes back */
  cox_worker_post(&worker, script_attempt(late, 0));
  cox_worker_join(&worker);
  scripted_wait(&net, late);
  assert_true(late->class_ == COX_CLASS_CANCELLED || late->class_ == COX_CLASS_NONE);
  for (int i = 0; i < 20; i++) script_destroy(scripts[i]);
  script_destroy(next);
  script_destroy(late);
}

int main(void) {
  const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
      TEST(a_cancel_while_the_answer_is_awaited_closes_the_socket),
      TEST(a_cancel_while_the_answer_is_read_closes_the_socket),
      TEST(a_cancel_on_a_connection_used_before_closes_it_too),
      TEST(a_cancel_while_connecting_closes_the_socket),
      TEST(a_cancel_while_tls_is_negotiated_closes_the_socket),
      TEST(a_cancel_while_a_name_is_looked_up_does_not_wait_for_the_answer),
      TEST(a_cancel_ends_a_sleep),
      TEST(a_cancel_right_behind_the_attempt_finds_it),
      TEST(a_cancel_of_what_is_done_or_was_never_there_does_nothing),
      TEST(many_cancels_of_one_attempt_are_one),
      TEST(many_that_hang_are_cancelled_and_begun_anew_at_once),
      TEST(the_deadline_of_an_attempt_ends_it_in_a_request_and_in_a_sleep),
      TEST(the_deadline_counts_for_all_requests_together),
      TEST(a_deadline_in_the_past_ends_the_attempt_before_it_begins),
      TEST(a_deadline_pushed_out_is_kept_and_one_pulled_in_too),
      TEST(cancelled_attempts_of_a_full_worker_never_begin_and_their_places_go_to_others),
      TEST(a_deadline_ends_an_attempt_that_waits_for_a_place),
      TEST(the_end_of_the_workers_gives_everything_back),
      TEST(workers_without_work_end),
      TEST(no_machine_for_scripts_no_workers),
      TEST(a_lost_cancel_ends_all_attempts_of_its_worker),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
