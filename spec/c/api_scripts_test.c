/* The scripts over HTTP: what is asked of the room that loads them, and how its answers come out. */
#include "api_rig.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/server.h"
#include "fake_scripts.h"

static struct fake_scripts fake;
static struct rig *rig;
static struct reply reply;

static int set_up(struct cox_api_options options) {
  fake_scripts_init(&fake);
  options.scripts = &fake.scripts;
  rig = rig_create(&options, 50);
  return 0;
}

static int setup(void **state) {
  (void)state;
  return set_up((struct cox_api_options){.scripts_s = 300});
}

/* A fifth of a second, and then it is late. */
static int setup_hasty(void **state) {
  (void)state;
  return set_up((struct cox_api_options){.scripts_s = 0.2});
}

static int setup_locked(void **state) {
  (void)state;
  json_t *const tokens = json_pack("[{ss, ss, ss}, {ss, ss, ss}, {ss, ss, ss}]", "token", "aaa", "scope", "admin", "name", "ann", "token", "bbb",
                                   "scope", "operate", "name", "bob", "token", "ccc", "scope", "read", "name", "cat");
  const int rc = set_up((struct cox_api_options){.tokens = tokens, .scripts_s = 300});
  json_decref(tokens);
  return rc;
}

static int teardown(void **state) {
  (void)state;
  reply_fini(&reply);
  fake_scripts_let_go(&fake);
  rig_destroy(rig);
  fake_scripts_fini(&fake);
  return 0;
}

static int ask(const char *method, const char *target, const char *header, const char *body) {
  reply_fini(&reply);
  reply = rig_ask(rig, method, target, header, body);
  return reply.status;
}

static int post(const char *target, const char *body) { return ask("POST", target, NULL, body); }

static const char *text_at(const char *key) {
  const char *const text = json_string_value(json_object_get(reply.json, key));
  return text != NULL ? text : "";
}

static void a_reload_and_a_rollback_answer_the_generation(void **state) {
  (void)state;
  assert_int_equal(post("/v1/scripts/reload", NULL), 200);
  assert_string_equal(reply.body, "{\"status\":\"done\",\"generation\":2}\n");
  assert_string_equal(fake.what, "reload");
  assert_string_equal(fake.caller, "http anonymous 127.0.0.1");
  assert_int_equal(post("/v1/scripts/rollback", "{}"), 200);
  assert_string_equal(fake.what, "rollback");
  fake_scripts_answer(&fake, COX_SCRIPTS_UNCHANGED, json_pack("{ss, si}", "status", "unchanged", "generation", 2), 0, "");
  assert_int_equal(post("/v1/scripts/reload", " "), 200);
  assert_string_equal(text_at("status"), "unchanged");
}

static void broken_scripts_are_422_with_their_faults(void **state) {
  (void)state;
  static const char *const targets[] = {"/v1/scripts/reload", "/v1/scripts/rollback", "/v1/scripts/plan"};
  fake_scripts_refuse(&fake);
  for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
    assert_int_equal(post(targets[i], NULL), 422);
    assert_string_equal(reply_error(&reply), "the scripts were not loaded: 2 faults; the live set goes on");
    const json_t *const fault = json_array_get(json_object_get(reply.json, "faults"), 0);
    assert_string_equal(json_string_value(json_object_get(fault, "file")), "/etc/own/policy/phases.lua");
    assert_int_equal(json_integer_value(json_object_get(fault, "line")), 3);
    assert_string_equal(json_string_value(json_object_get(fault, "message")), "unexpected symbol near 'x'");
  }
}

static void other_failures_have_their_statuses(void **state) {
  (void)state;
  static const struct {
    int code, status;
  } cases[] = {{COX_EREFUSED, 400}, {COX_EINVAL, 400}, {COX_ENOENT, 400},   {COX_EFULL, 429},  {COX_EBUSY, 429},
               {COX_ESTOPPED, 503}, {COX_EDEGRADED, 503}, {COX_ENOMEM, 500}, {COX_ETIME, 422}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    fake_scripts_answer(&fake, COX_SCRIPTS_FAILED, NULL, cases[i].code, "there is nothing to go back to");
    assert_int_equal(post("/v1/scripts/rollback", NULL), cases[i].status);
    assert_string_equal(reply_error(&reply), "there is nothing to go back to");
    assert_null(json_object_get(reply.json, "faults"));
  }
}

static void a_plan_is_made_of_the_configured_folders_or_of_another(void **state) {
  (void)state;
  json_t *const changes = json_pack("{s[{ss, s{ss}, s{ss}, ss}]}", "changes", "node_id", "node1", "from", "status", "INFERENCE", "to", "status",
                                    "STOPPED", "reason", "spare");
  fake_scripts_answer(&fake, COX_SCRIPTS_DONE, changes, 0, "");
  assert_int_equal(post("/v1/scripts/plan", NULL), 200);
  assert_string_equal(fake.dir, "");
  assert_string_equal(reply.body, "{\"changes\":[{\"node_id\":\"node1\",\"from\":{\"status\":\"INFERENCE\"},\"to\":{\"status\":\"STOPPED\"},"
                                  "\"reason\":\"spare\"}]}\n");
  assert_int_equal(post("/v1/scripts/plan", "{\"scripts\":\"/tmp/mine\"}"), 200);
  assert_string_equal(fake.dir, "/tmp/mine");
  assert_string_equal(fake.what, "plan");
}

static void wrong_requests_are_refused_before_anything_is_done(void **state) {
  (void)state;
  static const struct {
    const char *target, *body, *part;
  } cases[] = {
      {"/v1/scripts/plan", "{\"scripts\":\"mine\"}", "absolute path"},
      {"/v1/scripts/plan", "{\"scripts\":\"\"}", "absolute path"},
      {"/v1/scripts/plan", "{\"scripts\":5}", "absolute path"},
      {"/v1/scripts/plan", "{\"scripts\":null}", "absolute path"},
      {"/v1/scripts/plan", "{\"dir\":\"/tmp\"}", "the field dir"},
      {"/v1/scripts/plan", "[]", "must be a JSON object"},
      {"/v1/scripts/plan", "{\"scripts\":\"/a\",\"scripts\":\"/b\"}", "not JSON"},
      {"/v1/scripts/reload", "{\"force\":true}", "the field force"},
      {"/v1/scripts/reload", "{", "not JSON"},
      {"/v1/scripts/rollback", "7", "not JSON"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    assert_int_equal(post(cases[i].target, cases[i].body), 400);
    if (strstr(reply_error(&reply), cases[i].part) == NULL) fail_msg("%s: %s", cases[i].body, reply_error(&reply));
  }
  assert_int_equal(ask("GET", "/v1/scripts/reload", NULL, NULL), 405);
  assert_string_equal(reply_header(&reply, "Allow"), "POST");
  assert_int_equal(ask("GET", "/v1/scripts?difference=yes", NULL, NULL), 400);
  assert_int_equal(ask("GET", "/v1/scripts?files=1", NULL, NULL), 400);
  assert_int_equal(fake.asked, 0);
}

static void the_live_set_is_shown_with_its_difference_when_asked_for(void **state) {
  (void)state;
  assert_int_equal(ask("GET", "/v1/scripts", NULL, NULL), 200);
  assert_int_equal(json_integer_value(json_object_get(reply.json, "generation")), 2);
  assert_null(json_object_get(reply.json, "difference"));
  assert_int_equal(ask("GET", "/v1/scripts?difference=0", NULL, NULL), 200);
  assert_null(json_object_get(reply.json, "difference"));
  assert_int_equal(ask("GET", "/v1/scripts?difference=1", NULL, NULL), 200);
  const json_t *const files = json_object_get(json_object_get(reply.json, "difference"), "files");
  assert_string_equal(json_string_value(json_object_get(json_object_get(files, "policy/phases.lua"), "live")), "return 2\n");
}

static void without_that_room_the_routes_say_so(void **state) {
  (void)state;
  cox_api_destroy(rig->api);
  rig->options.scripts = NULL;
  struct cox_err err;
  rig->api = cox_api_create(&rig->options, &err);
  assert_int_equal(ask("GET", "/v1/scripts", NULL, NULL), 503);
  assert_int_equal(post("/v1/scripts/reload", NULL), 503);
  assert_int_equal(post("/v1/scripts/rollback", NULL), 503);
  assert_int_equal(post("/v1/scripts/plan", NULL), 503);
  assert_non_null(strstr(reply_error(&reply), "does not load scripts"));
}

static void looking_needs_less_than_changing(void **state) {
  (void)state;
  static const char admin[] = "Authorization: Bearer aaa\r\n", operate[] = "Authorization: Bearer bbb\r\n", read[] = "Authorization: Bearer ccc\r\n";
  assert_int_equal(ask("GET", "/v1/scripts", read, NULL), 200);
  assert_int_equal(ask("POST", "/v1/scripts/reload", operate, NULL), 403);
  assert_int_equal(ask("POST", "/v1/scripts/rollback", operate, NULL), 403);
  assert_int_equal(ask("POST", "/v1/scripts/plan", operate, NULL), 403);
  assert_int_equal(ask("POST", "/v1/scripts/plan", NULL, NULL), 401);
  assert_int_equal(fake.asked, 0);
  assert_int_equal(ask("POST", "/v1/scripts/reload", admin, NULL), 200);
  assert_string_equal(fake.caller, "http ann 127.0.0.1");
}

static int begin(const char *header) {
  char request[512];
  const int fd = rig_connect(rig);
  snprintf(request, sizeof request, "POST /v1/scripts/reload HTTP/1.1\r\nHost: x\r\n%sContent-Length: 0\r\n\r\n", header);
  rig_send(fd, request);
  return fd;
}

static void who_waits_for_a_reload_holds_nobody_up(void **state) {
  (void)state;
  fake_scripts_hold(&fake);
  int waiting[8];
  for (int i = 0; i < 8; i++) waiting[i] = begin("");
  assert_true(fake_scripts_wait(&fake, 8));
  assert_int_equal(rig_status(rig, "GET", "/livez", NULL), 200);
  assert_int_equal(rig_status(rig, "POST", "/v1/commands/echo", NULL), 200);
  fake_scripts_let_go(&fake);
  for (int i = 0; i < 8; i++) {
    reply_fini(&reply);
    reply = rig_read(waiting[i], true);
    assert_int_equal(reply.status, 200);
    close(waiting[i]);
  }
}

static void a_late_answer_is_504_and_does_no_harm(void **state) {
  (void)state;
  fake_scripts_hold(&fake);
  assert_int_equal(post("/v1/scripts/plan", "{\"scripts\":\"/tmp/mine\"}"), 504);
  assert_non_null(strstr(reply_error(&reply), reply_header(&reply, "X-Request-Id")));
  fake_scripts_let_go(&fake);
  assert_int_equal(rig_status(rig, "GET", "/livez", NULL), 200);
}

static void the_same_key_gets_the_outcome_of_one_reload(void **state) {
  (void)state;
  fake_scripts_hold(&fake);
  const int first = begin("Idempotency-Key: k\r\n"), second = begin("Idempotency-Key: k\r\n");
  assert_true(fake_scripts_wait(&fake, 1));
  for (int i = 0; i < 60000 && atomic_load(&rig->api->suspended) < 2; i++) usleep(1000);
  fake_scripts_let_go(&fake);
  const int fds[] = {first, second};
  for (size_t i = 0; i < 2; i++) {
    reply_fini(&reply);
    reply = rig_read(fds[i], true);
    assert_int_equal(reply.status, 200);
    close(fds[i]);
  }
  fake_scripts_refuse(&fake);
  assert_int_equal(ask("POST", "/v1/scripts/reload", "Idempotency-Key: k\r\n", NULL), 200);
  assert_non_null(reply_header(&reply, "Idempotency-Replayed"));
  assert_int_equal(fake.asked, 1);
}

/* The answer comes when the API is gone already. */
static void an_answer_after_the_end_does_no_harm(void **state) {
  (void)state;
  fake_scripts_hold(&fake);
  const int fd = begin(""), keyed = begin("Idempotency-Key: k\r\n");
  assert_true(fake_scripts_wait(&fake, 2));
  cox_api_destroy(rig->api);
  const int fds[] = {fd, keyed};
  for (size_t i = 0; i < 2; i++) {
    reply_fini(&reply);
    reply = rig_read(fds[i], true);
    assert_true(reply.status == 503 || reply.status == 0);
    close(fds[i]);
  }
  fake_scripts_let_go(&fake);
  struct cox_err err;
  rig->api = cox_api_create(&rig->options, &err);
  assert_non_null(rig->api);
}

int main(void) {
  const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TEST_WITH(name, before) cmocka_unit_test_setup_teardown(name, before, teardown)
      TEST(a_reload_and_a_rollback_answer_the_generation),
      TEST(broken_scripts_are_422_with_their_faults),
      TEST(other_failures_have_their_statuses),
      TEST(a_plan_is_made_of_the_configured_folders_or_of_another),
      TEST(wrong_requests_are_refused_before_anything_is_done),
      TEST(the_live_set_is_shown_with_its_difference_when_asked_for),
      TEST(without_that_room_the_routes_say_so),
      TEST_WITH(looking_needs_less_than_changing, setup_locked),
      TEST(who_waits_for_a_reload_holds_nobody_up),
      TEST_WITH(a_late_answer_is_504_and_does_no_harm, setup_hasty),
      TEST(the_same_key_gets_the_outcome_of_one_reload),
      TEST(an_answer_after_the_end_does_no_harm),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
