/* The feed over TLS: websockets and questions to endpoints whose certificate no system knows, believed by feed.ca_file and by
 * nothing else.                                                                                                           */
#include "job_rig.h"
#include "tls_front.h"
#include "ws_server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "daemon.h"
#include "script/trust.h"
#include "sim/sim.h"

static char folder[64], cert[128], key[128];

static int group_setup(void **state) {
  (void)state;
  cox_log_setup(COX_LOG_ERROR, false, 2);
  snprintf(folder, sizeof folder, "/tmp/coxswain-feed-XXXXXX");
  if (mkdtemp(folder) == NULL) return -1;
  snprintf(cert, sizeof cert, "%s/cert.pem", folder);
  snprintf(key, sizeof key, "%s/key.pem", folder);
  tls_write_pair("spec", cert, key);
  return 0;
}

static int group_teardown(void **state) {
  (void)state;
  char command[128];
  snprintf(command, sizeof command, "rm -r %s", folder);
  return system(command);
}

/* ---- which file is for which address ---- */

static void only_endpoints_of_the_feed_are_believed_by_its_file(void **state) {
  (void)state;
  json_t *const config = json_pack("{s{ss, s[ss], ss}}", "feed", "rpc", "https://a.example/rpc/", "rest", "https://b.example:1317",
                                   "http://c.example", "ca_file", "x.pem");
  static const char *const believed[] = {"https://a.example/rpc", "https://a.example/rpc/status", "wss://a.example/rpc/websocket",
                                         "https://b.example:1317/x?y", "https://b.example:1317?y"};
  static const char *const others[] = {"https://a.example", "https://a.example/rpcs", "https://b.example:13170/", "https://b.example/",
                                       "https://b.example.org:1317/", "http://c.example/", "https://c.example/", "ftp://a.example/rpc", ""};
  for (size_t i = 0; i < sizeof believed / sizeof *believed; i++) assert_string_equal(cox_trust_file(config, believed[i]), "x.pem");
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) assert_null(cox_trust_file(config, others[i]));
  json_object_del(json_object_get(config, "feed"), "ca_file");
  assert_null(cox_trust_file(config, believed[0]));
  assert_null(cox_trust_file(NULL, believed[0]));
  json_decref(config);
}

static void check_fault(const char *path, const char *words) {
  json_t *const config = json_pack("{s{ss}}", "feed", "ca_file", path);
  struct cox_faults faults = {0};
  assert_false(cox_trust_check(config, &faults));
  assert_int_equal(faults.count, 1);
  if (strstr(faults.list[0].text, words) == NULL) fail_msg("\"%s\" lacks \"%s\"", faults.list[0].text, words);
  assert_non_null(strstr(faults.list[0].text, path));
  cox_faults_fini(&faults);
  json_decref(config);
}

static void a_file_that_holds_no_certificate_is_refused_at_start(void **state) {
  (void)state;
  check_fault("/nowhere/ca.pem", "No such file");
  check_fault(key, "holds no certificate");
  check_fault(folder, "holds no certificate");
}

/* ---- one job ---- */

static json_t *run(const char *feed_url, const char *body) {
  char *text = NULL;
  struct job_rig rig;
  json_t *const config = json_pack("{s{ss, ss, ss}}", "feed", "rpc", feed_url, "rest", feed_url, "ca_file", cert);
  if (asprintf(&text, "local function run(job)\n%s\nend\nreturn { help = \"A spec's.\", run = run }\n", body) < 0) abort();
  job_rig_start(&rig, (const char *const[]){"jobs/spec.lua", text, NULL}, config);
  job_rig_begin(&rig, "spec");
  json_t *const note = job_rig_note(&rig);
  job_rig_stop(&rig);
  json_decref(config);
  free(text);
  return note;
}

static const char echo[] = "local c, why = ws.connect('https://127.0.0.1:%u/echo')\n"
                           "if not c then broker.command('note', { why = why.message }) return end\n"
                           "local big = ('x'):rep(200000)\n"
                           "assert(c:send('one')) assert(c:send(big))\n"
                           "local one, two, pong = c:receive(20), c:receive(20), c:ping(20)\n"
                           "broker.command('note', { is_good = one == 'one' and two == big and pong })";

static unsigned port_of(struct ws_server *server) { return (unsigned)atoi(strrchr(ws_server_url(server, ""), ':') + 1); }

static void a_websocket_over_tls_speaks_with_whom_the_file_names(void **state) {
  (void)state;
  struct ws_server *const server = ws_server_create();
  struct tls_front *const front = tls_front_create(cert, key, port_of(server));
  char url[64], body[1024];
  snprintf(url, sizeof url, "https://127.0.0.1:%u", tls_front_port(front));
  snprintf(body, sizeof body, echo, tls_front_port(front));
  json_t *note = run(url, body);
  assert_true(json_is_true(json_object_get(note, "is_good")));
  json_decref(note);
  note = run("https://127.0.0.1:1", body); /* another endpoint: the file is not for this one */
  const char *const why = json_string_value(json_object_get(note, "why"));
  if (why == NULL || strstr(why, "certificate was not accepted") == NULL) fail_msg("%s", why != NULL ? why : "it was believed");
  json_decref(note);
  tls_front_destroy(front);
  ws_server_destroy(server);
}

/* ---- the whole daemon ---- */

static struct cox_daemon *start_daemon(unsigned port) {
  char feed[512], socket[128];
  snprintf(socket, sizeof socket, "admin.socket=%s/s.sock", folder);
  snprintf(feed, sizeof feed, "feed={\"kind\":\"cometbft\",\"rpc\":\"https://127.0.0.1:%u\",\"rest\":\"https://127.0.0.1:%u\",\"ca_file\":\"%s\"}", port,
           port, cert);
  const char *const overrides[] = {feed, "store=:memory:", "admin.listen=127.0.0.1:0", socket, "callback_url=http://127.0.0.1:9100",
                                   "participant={\"address\":\"gonka1spec\",\"pubkey\":\"Aspec\"}", NULL};
  struct cox_faults faults = {0};
  json_t *const config = cox_config_load(NULL, overrides, "scripts", &faults);
  struct cox_daemon *const daemon = config != NULL ? cox_daemon_start(config, &faults) : NULL;
  for (size_t i = 0; i < faults.count; i++) print_error("%s\n", faults.list[i].text);
  cox_faults_fini(&faults);
  json_decref(config);
  return daemon;
}

static bool world_is_at(struct cox_daemon *daemon, int64_t height) {
  json_t *const world = cox_broker_world_json(cox_daemon_broker(daemon));
  const bool is_there = json_integer_value(json_object_get(world, "height")) >= height && json_is_true(json_object_get(world, "synced"));
  json_decref(world);
  return is_there;
}

static bool comes_to(struct cox_daemon *daemon, int64_t height) {
  for (int i = 0; i < 6000; i++) {
    if (world_is_at(daemon, height)) return true;
    nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
  }
  return false;
}

/* Subscriptions that the chain serves now. */
static json_int_t subscriptions(struct cox_sim_chain *chain) {
  json_t *const state = cox_sim_chain_state(chain);
  const json_int_t open = json_integer_value(json_object_get(json_object_get(state, "websockets"), "subscribed"));
  json_decref(state);
  return open;
}

static void blocks_epochs_and_group_data_come_over_tls(void **state) {
  (void)state;
  struct cox_err err = {0};
  struct cox_sim_chain *const chain = cox_sim_chain_create(&(struct cox_sim_chain_options){.participant = "gonka1spec", .block_bytes = 30000}, &err);
  if (chain == NULL) fail_msg("%s", err.text);
  struct tls_front *const front = tls_front_create(cert, key, cox_sim_chain_port(chain));
  struct cox_daemon *const daemon = start_daemon(tls_front_port(front));
  bool is_good = daemon != NULL && comes_to(daemon, 1);
  for (int i = 0; is_good && subscriptions(chain) == 0 && i < 6000; i++) nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
  for (int64_t height = 2; is_good && height <= 12; height++) {
    is_good = cox_sim_chain_advance(chain, 1, NULL) == 0 && comes_to(daemon, height);
  }
  const json_int_t open = subscriptions(chain);
  cox_daemon_stop(daemon);
  tls_front_destroy(front);
  cox_sim_chain_destroy(chain);
  assert_true(is_good);
  assert_int_equal(open, 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(only_endpoints_of_the_feed_are_believed_by_its_file),
      cmocka_unit_test(a_file_that_holds_no_certificate_is_refused_at_start),
      cmocka_unit_test(a_websocket_over_tls_speaks_with_whom_the_file_names),
      cmocka_unit_test(blocks_epochs_and_group_data_come_over_tls),
  };
  return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
