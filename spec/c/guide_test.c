/* The guide's own driver, word for word, in the whole daemon against a small vLLM server over real HTTP. */
#include "fake_core.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "daemon.h"
#include "script/script.h"

enum { LIMIT_MS = 60000, ANSWER_MS = 10000, UNHEALTHY_ASKS = 3 };

static char folder[64]; /* the guide's scripts are in its folder `scripts` */
static struct MHD_Daemon *vllm;
static struct cox_daemon *daemon_;
static atomic_bool is_asleep;
static atomic_int wake_ups, sleeps, unhealthy; /* unhealthy: so many more answers 503 */

/* ---- the server: what `vllm serve --enable-sleep-mode` answers ---- */

static enum MHD_Result answer(struct MHD_Connection *connection, unsigned status, const char *text) {
  struct MHD_Response *const response = MHD_create_response_from_buffer(strlen(text), (void *)(uintptr_t)text, MHD_RESPMEM_PERSISTENT);
  const enum MHD_Result rc = MHD_queue_response(connection, status, response);
  MHD_destroy_response(response);
  return rc;
}

static enum MHD_Result serve(void *arg, struct MHD_Connection *connection, const char *url, const char *method, const char *version,
                             const char *upload, size_t *upload_size, void **state) {
  (void)arg, (void)version, (void)upload;
  static int seen;
  if (*state == NULL) { /* the body, if any, is still to come */
    *state = &seen;
    return MHD_YES;
  }
  *upload_size = 0;
  const bool is_post = strcmp(method, "POST") == 0;
  if (!is_post && strcmp(url, "/is_sleeping") == 0) return answer(connection, 200, is_asleep ? "{\"is_sleeping\":true}" : "{\"is_sleeping\":false}");
  if (!is_post && strcmp(url, "/health") == 0) return answer(connection, atomic_fetch_sub(&unhealthy, 1) > 0 ? 503 : 200, "");
  const char *const level = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "level");
  if (is_post && strcmp(url, "/sleep") == 0 && level != NULL && strcmp(level, "1") == 0) {
    is_asleep = true;
    sleeps++;
    return answer(connection, 200, "");
  }
  if (is_post && strcmp(url, "/wake_up") == 0) {
    is_asleep = false;
    unhealthy = UNHEALTHY_ASKS;
    wake_ups++;
    return answer(connection, 200, "");
  }
  return answer(connection, 404, "{\"detail\":\"Not Found\"}");
}

static unsigned start_vllm(void) {
  vllm = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD, 0, NULL, NULL, serve, NULL, MHD_OPTION_SOCK_ADDR,
                          &(struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}}, MHD_OPTION_END);
  assert_non_null(vllm);
  return MHD_get_daemon_info(vllm, MHD_DAEMON_INFO_BIND_PORT)->port;
}

/* ---- the daemon ---- */

static void start_daemon(unsigned port) {
  cox_log_setup(COX_LOG_ERROR, false, 2);
  char nodes[512], scripts[128];
  snprintf(scripts, sizeof scripts, "scripts=%s/scripts", folder);
  snprintf(nodes, sizeof nodes,
           "nodes=[{\"id\":\"v1\",\"kind\":\"vllm\",\"host\":\"127.0.0.1\",\"inference_port\":%u,\"poc_port\":%u,\"max_concurrent\":5,"
           "\"models\":{\"m\":{\"args\":[]}}}]",
           port, port);
  const char *const overrides[] = {nodes, scripts, "store=:memory:", "admin.listen=127.0.0.1:0", "callback_url=http://127.0.0.1:9100",
                                   "participant={\"address\":\"gonka1spec\",\"pubkey\":\"Aspec\"}", "reconcile.backoff_s=[0.05,0.5]", NULL};
  struct cox_faults faults = {0};
  json_t *const config = cox_config_load(NULL, overrides, "scripts", &faults);
  if (config != NULL) daemon_ = cox_daemon_start(config, &faults);
  for (size_t i = 0; i < faults.count; i++) print_error("%s\n", faults.list[i].text);
  assert_non_null(daemon_);
  cox_faults_fini(&faults);
  json_decref(config);
}

static void send_block(int height) {
  json_t *const args = json_pack("{si, ss, s{si, si, ss}, s{si, si, si, si}}", "height", height, "hash", "H1", "epoch", "index", 7,
                                 "poc_start_block_height", 700, "poc_start_block_hash", "H0", "params", "epoch_length", 100,
                                 "poc_stage_duration", 20, "poc_validation_delay", 2, "poc_validation_duration", 10);
  struct cox_answer answered;
  struct cox_err err = {0};
  assert_int_equal(cox_broker_call(cox_daemon_broker(daemon_), "new_block", args, ANSWER_MS, &answered, &err), 0);
  assert_int_equal(answered.outcome, COX_ANSWER_DONE);
  cox_answer_fini(&answered);
  json_decref(args);
}

static void wait_status(const char *status) {
  for (int waited_ms = 0; waited_ms < LIMIT_MS; waited_ms += 5) {
    json_t *const entry = cox_broker_node_json(cox_daemon_broker(daemon_), "v1");
    const json_t *const state = json_object_get(entry, "state");
    const char *const current = json_string_value(json_object_get(state, "current_status"));
    const bool is_there = current != NULL && strcmp(current, status) == 0 && json_object_get(state, "reconcile_info") == NULL;
    json_decref(entry);
    if (is_there) return;
    nanosleep(&(const struct timespec){.tv_nsec = 5000000}, NULL);
  }
  fail_msg("the node never became %s", status);
}

static int setup(void **state) {
  (void)state;
  snprintf(folder, sizeof folder, "/tmp/coxswain-guide-XXXXXX");
  if (mkdtemp(folder) == NULL) return -1;
  char command[256];
  snprintf(command, sizeof command, "lua5.4 spec/support/guide.lua %s/scripts", folder);
  is_asleep = true;
  return system(command);
}

static int teardown(void **state) {
  (void)state;
  char command[128];
  cox_daemon_stop(daemon_);
  if (vllm != NULL) MHD_stop_daemon(vllm);
  snprintf(command, sizeof command, "rm -r %s", folder);
  return system(command);
}

static void the_guides_driver_wakes_a_server_for_inference_and_lets_it_sleep_through_poc(void **state) {
  (void)state;
  start_daemon(start_vllm());
  send_block(650);
  wait_status("INFERENCE");
  assert_false(is_asleep);
  assert_int_equal(wake_ups, 1);
  assert_true(unhealthy <= 0); /* it waited for the server's health */
  send_block(705);
  wait_status("STOPPED");
  assert_true(is_asleep);
  assert_int_equal(sleeps, 1);
  send_block(740);
  wait_status("INFERENCE");
  assert_int_equal(wake_ups, 2);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(the_guides_driver_wakes_a_server_for_inference_and_lets_it_sleep_through_poc, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
