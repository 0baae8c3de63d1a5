/* Jobs: fibers that live beside the attempts, ask the broker, rest after an error and begin anew. And the client of the command line. */
#include "evil_server.h"
#include "scripted_net.h"

#include <stdlib.h>
#include <string.h>

static const struct evil_route routes[] = {
    {"/hang", {{0}}},
    {"/close", {{EVIL_CLOSE, 0, 0, 0}}},
    {"/missing", {{EVIL_SEND, "HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nno", 0, 0}, {EVIL_NEXT, 0, 0, 0}}},
};

static struct scripted net;
static struct evil_server *server;
static struct script *job;
static size_t files_before;

static int setup(void **state) {
  (void)state;
  files_before = open_files();
  server = evil_server_create(&(const struct evil_options){.routes = routes, .route_count = sizeof routes / sizeof routes[0]});
  scripted_start(&net, 2);
  return 0;
}

static int teardown(void **state) {
  (void)state;
  scripted_stop(&net);
  evil_server_destroy(server);
  if (job != NULL) {
    assert_int_equal(atomic_load(&job->finishes), atomic_load(&job->starts));
    script_destroy(job);
  }
  job = NULL;
  wait_open_files(files_before);
  return 0;
}

static void begin(const struct script_step *steps) {
  job = script_create(steps);
  job->job = "feed";
  net.jobs[net.job_count++] = job;
  struct cox_err err = {0};
  if (cox_net_start_job(net.net, "feed", &err) != 0) fail_msg("%s", err.text);
}

static void a_job_that_returns_is_over(void **state) {
  (void)state;
  begin((struct script_step[]){{.what = SCRIPT_SLEEP, .ms = 1}, {.what = SCRIPT_GET, .text = evil_url(server, "/fast")}, {0}});
  scripted_wait_for(&job->finishes, 1);
  assert_int_equal(job->why, COX_END_DONE);
  assert_int_equal(job->seen[1].class_, COX_CLASS_NONE);
  assert_string_equal(job->seen[1].body, "ok");
  begin((struct script_step[]){{.what = SCRIPT_SLEEP, .ms = -5}, {0}}); /* the worker looks on, and the first is found by its name */
  scripted_wait_for(&net.jobs[0]->finishes, 2);
  assert_int_equal(atomic_load(&net.jobs[0]->starts), 2);
  script_destroy(net.jobs[0]);
}

static void a_job_that_is_not_there_is_an_error(void **state) {
  (void)state;
  struct cox_err err = {0};
  assert_int_equal(cox_net_start_job(net.net, "nothing", &err), COX_ENOENT);
  assert_string_equal(err.text, "there is no job nothing");
  assert_int_equal(cox_net_start_job(net.net, "nothing", NULL), COX_ENOENT);
}

static void a_job_gets_the_answer_of_its_command(void **state) {
  (void)state;
  begin((struct script_step[]){{.what = SCRIPT_COMMAND, .text = "new_block"},
                               {.what = SCRIPT_SLEEP, .ms = 1},
                               {.what = SCRIPT_COMMAND, .text = "new_block"},
                               {0}});
  scripted_wait_for(&job->finishes, 1);
  for (int i = 0; i < 3; i += 2) {
    assert_int_equal(job->seen[i].class_, COX_CLASS_NONE);
    assert_string_equal(json_string_value(json_object_get(job->seen[i].answer, "status")), "done");
    assert_int_equal(json_integer_value(json_object_get(json_object_get(job->seen[i].answer, "result"), "changed")), 3);
  }
  assert_null(job->seen[1].answer);
}

static void a_job_gets_the_error_of_its_command(void **state) {
  (void)state;
  scripted_set_answers(&net, SCRIPT_ANSWER_ERROR);
  begin((struct script_step[]){{.what = SCRIPT_COMMAND, .text = "new_block"}, {0}});
  scripted_wait_for(&job->finishes, 1);
  assert_string_equal(json_string_value(json_object_get(job->seen[0].answer, "status")), "error");
  assert_string_equal(json_string_value(json_object_get(job->seen[0].answer, "error")), "such a command makes no sense");
}

static void a_command_that_is_refused_is_answered_with_the_refusal(void **state) {
  (void)state;
  scripted_set_answers(&net, SCRIPT_ANSWER_REFUSE);
  begin((struct script_step[]){{.what = SCRIPT_COMMAND, .text = "new_block"}, {.what = SCRIPT_COMMAND, .text = "new_block"}, {0}});
  scripted_wait_for(&job->finishes, 1);
  for (int i = 0; i < 2; i++) {
    assert_string_equal(json_string_value(json_object_get(job->seen[i].answer, "status")), "error");
    assert_non_null(strstr(json_string_value(json_object_get(job->seen[i].answer, "error")), "too many wait"));
  }
}

static void a_job_that_waits_for_an_answer_ends_with_the_workers_and_the_late_answer_is_dropped(void **state) {
  (void)state;
  scripted_set_answers(&net, SCRIPT_ANSWER_NEVER); /* until the workers are gone */
  begin((struct script_step[]){{.what = SCRIPT_COMMAND, .text = "new_block"}, {0}});
  scripted_wait_commands(&net, 1);
  cox_net_destroy(net.net);
  net.net = NULL;
  assert_int_equal(job->why, COX_END_CANCELLED);
  assert_int_equal(atomic_load(&job->finishes), 1);
}

static void a_job_that_sleeps_or_asks_ends_with_the_workers(void **state) {
  (void)state;
  begin((struct script_step[]){{.what = SCRIPT_GET, .text = evil_url(server, "/hang")}, {0}});
  evil_server_wait_requests(server, 1);
  cox_net_destroy(net.net);
  net.net = NULL;
  assert_int_equal(job->why, COX_END_CANCELLED);
  evil_server_wait_open(server, 0);
}

static void a_job_that_fails_rests_and_begins_anew(void **state) {
  (void)state;
  const int64_t begun_us = cox_clock_mono_us(cox_clock_system());
  begin((struct script_step[]){{.what = SCRIPT_GET, .text = evil_url(server, "/close")}, {.what = SCRIPT_FAIL}, {0}});
  scripted_wait_for(&job->starts, 3);
  assert_true(cox_clock_mono_us(cox_clock_system()) - begun_us >= 1500000); /* 0.5 s and 1 s of rest */
  cox_net_destroy(net.net);
  net.net = NULL;
  assert_int_equal(job->seen[0].class_, COX_CLASS_RESET);
}

static void a_job_at_rest_ends_with_the_workers(void **state) {
  (void)state;
  begin((struct script_step[]){{.what = SCRIPT_FAIL}, {0}});
  scripted_wait_for(&job->finishes, 1);
  cox_net_destroy(net.net);
  net.net = NULL;
  assert_int_equal(job->why, COX_END_DONE);
}

/* ---- the client of the command line ---- */

static int ask(struct cox_client *client, const char *method, const char *path, const char *body, struct cox_buf *out,
               struct cox_err *err) {
  cox_net_client(client);
  return client->call(client, method, path, body, out, err);
}

static void the_client_hands_over_status_and_body_and_sends_the_token(void **state) {
  (void)state;
  struct cox_client client = {.base_url = evil_url(server, ""), .token = "secret"};
  struct cox_buf out = {0};
  struct cox_err err = {0};
  assert_int_equal(ask(&client, "GET", "/fast", NULL, &out, &err), 200);
  assert_string_equal(out.data, "ok");
  assert_int_equal(err.code, 0);
  assert_non_null(strstr(evil_server_last_request(server), "Authorization: Bearer secret\r\n"));
  assert_int_equal(ask(&client, "PUT", "/missing", "{\"a\":1}", &out, NULL), 404);
  assert_string_equal(out.data, "okno");
  assert_non_null(strstr(evil_server_last_request(server), "PUT /missing "));
  assert_non_null(strstr(evil_server_last_request(server), "\r\n\r\n{\"a\":1}"));
  assert_non_null(strstr(evil_server_last_request(server), "Content-Type: application/json\r\n"));
  assert_int_equal(ask(&client, "DELETE", "/fast", NULL, &out, NULL), 200);
  assert_non_null(strstr(evil_server_last_request(server), "DELETE /fast "));
  cox_buf_fini(&out);
}

static void the_client_says_what_went_wrong(void **state) {
  (void)state;
  struct cox_buf out = {.limit = 1};
  struct cox_err err = {0};
  struct cox_client client = {.base_url = evil_url(server, "")};
  assert_int_equal(ask(&client, "GET", "/fast", NULL, &out, &err), COX_EFULL);
  assert_int_equal(ask(&client, "POST", "/close", NULL, &out, &err), COX_ESYS);
  char url[64];
  snprintf(url, sizeof url, "http://127.0.0.1:%d", evil_closed_port());
  client.base_url = url;
  assert_int_equal(ask(&client, "GET", "/fast", NULL, &out, &err), COX_ENOENT);
  assert_non_null(strstr(err.text, "no daemon at http://127.0.0.1:"));
  client.unix_socket = "/nonexistent/coxswain.sock";
  assert_int_equal(ask(&client, "GET", "/fast", NULL, &out, &err), COX_ENOENT);
  assert_non_null(strstr(err.text, "no daemon at /nonexistent/coxswain.sock"));
  client = (struct cox_client){.base_url = "gopher://127.0.0.1:1"};
  assert_int_equal(ask(&client, "GET", "/", NULL, &out, &err), COX_EINVAL);
  cox_buf_fini(&out);
}

int main(void) {
  const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
      TEST(a_job_that_returns_is_over),
      TEST(a_job_that_is_not_there_is_an_error),
      TEST(a_job_gets_the_answer_of_its_command),
      TEST(a_job_gets_the_error_of_its_command),
      TEST(a_command_that_is_refused_is_answered_with_the_refusal),
      TEST(a_job_that_waits_for_an_answer_ends_with_the_workers_and_the_late_answer_is_dropped),
      TEST(a_job_that_sleeps_or_asks_ends_with_the_workers),
      TEST(a_job_that_fails_rests_and_begins_anew),
      TEST(a_job_at_rest_ends_with_the_workers),
      TEST(the_client_hands_over_status_and_body_and_sends_the_token),
      TEST(the_client_says_what_went_wrong),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
