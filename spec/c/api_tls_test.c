/* The API over TLS: certificates of every kind, replaced while it runs, and the clients' view of them. */
#include "api_rig.h"
#include "tls_front.h"

#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "core/client.h"
#include "net/net.h"

static struct rig *rig;
static char folder[64], cert[128], key[128];

static int setup(void **state) {
  (void)state;
  snprintf(folder, sizeof folder, "/tmp/cox_tls_XXXXXX");
  assert_non_null(mkdtemp(folder));
  snprintf(cert, sizeof cert, "%s/cert.pem", folder);
  snprintf(key, sizeof key, "%s/key.pem", folder);
  tls_write_pair("one", cert, key);
  const struct cox_api_options options = {.tls_cert = cert, .tls_key = key, .request_s = 5, .command_s = 60};
  rig = rig_create(&options, 0);
  return 0;
}

static int teardown(void **state) {
  (void)state;
  rig_destroy(rig);
  char command[128];
  snprintf(command, sizeof command, "rm -r %s", folder);
  return system(command);
}

/* One call of the client; the status or its code. */
static int call(const char *scheme, const char *ca, const char *method, const char *path, const char *body, struct cox_err *err) {
  char url[64];
  struct cox_buf out = {0};
  snprintf(url, sizeof url, "%s://127.0.0.1:%u", scheme, cox_api_port(rig->api));
  struct cox_client client = {.base_url = url, .ca_file = ca};
  cox_net_client(&client);
  const int rc = client.call(&client, method, path, body, &out, err);
  cox_buf_fini(&out);
  return rc;
}

static void everything_works_over_tls(void **state) {
  (void)state;
  struct cox_err err = {0};
  assert_int_equal(call("https", cert, "GET", "/livez", NULL, &err), 200);
  assert_int_equal(call("https", cert, "PUT", "/admin/v1/nodes/a", rig_node("a", 5000), &err), 200);
  assert_int_equal(call("https", cert, "GET", "/admin/v1/nodes", NULL, &err), 200);
  assert_int_equal(call("https", cert, "POST", "/v1/commands/echo", "{}", &err), 200);
}

static void the_clients_tag_comes_from_the_answer(void **state) {
  (void)state;
  char url[64], etag[COX_CLIENT_ETAG_MAX] = "";
  struct cox_err err;
  struct cox_buf out = {0};
  assert_int_equal(call("https", cert, "PUT", "/admin/v1/nodes/a", rig_node("a", 5000), &err), 200);
  snprintf(url, sizeof url, "https://127.0.0.1:%u", cox_api_port(rig->api));
  struct cox_client client = {.base_url = url, .ca_file = cert, .etag = etag};
  cox_net_client(&client);
  assert_int_equal(client.call(&client, "GET", "/admin/v1/nodes/a", NULL, &out, &err), 200);
  assert_int_equal(etag[0], '"');
  client.etag = NULL;
  client.if_match = etag;
  assert_int_equal(client.call(&client, "PUT", "/admin/v1/nodes/a", rig_node("a", 5001), &out, &err), 200);
  assert_int_equal(client.call(&client, "PUT", "/admin/v1/nodes/a", rig_node("a", 5002), &out, &err), 412);
  cox_buf_fini(&out);
}

static void a_certificate_that_nobody_vouches_for_is_refused_in_plain_words(void **state) {
  (void)state;
  struct cox_err err = {0};
  assert_true(call("https", NULL, "GET", "/livez", NULL, &err) < 0);
  if (strstr(err.text, "not to be trusted") == NULL || strstr(err.text, "--ca FILE") == NULL) fail_msg("it said: %s", err.text);
  assert_true(call("https", "/nowhere/ca.pem", "GET", "/livez", NULL, &err) < 0);
  if (strstr(err.text, "/nowhere/ca.pem") == NULL) fail_msg("it said: %s", err.text);
}

static void plain_http_is_not_answered(void **state) {
  (void)state;
  struct cox_err err = {0};
  assert_true(call("http", NULL, "GET", "/livez", NULL, &err) < 0);
  const int fd = rig_connect(rig);
  rig_send(fd, "\x16\x03\x01garbage that is no greeting at all\r\n\r\n");
  close(fd);
  const int silent = rig_connect(rig); /* never begins its handshake: cut like any other */
  for (int i = 0; i < 1000 && !rig_is_cut(silent); i++) {} /* a farewell in TLS' own words may come first */
  close(silent);
  assert_int_equal(call("https", cert, "GET", "/livez", NULL, &err), 200);
}

static void the_control_socket_is_plain_nevertheless(void **state) {
  (void)state;
  struct cox_err err = {0};
  for (int i = 0; i < 3; i++) {
    const int fd = rig_connect_locally(rig);
    rig_send(fd, "GET /admin/v1/nodes HTTP/1.1\r\nHost: x\r\n\r\n");
    struct reply reply = rig_read(fd, true);
    assert_int_equal(reply.status, 200);
    assert_string_equal(reply.body, "[]\n");
    reply_fini(&reply);
    close(fd);
  }
  assert_int_equal(call("https", cert, "GET", "/livez", NULL, &err), 200);
}

static void a_renewed_certificate_is_taken_while_it_runs(void **state) {
  (void)state;
  struct cox_err err = {0};
  char fresh[160];
  snprintf(fresh, sizeof fresh, "%s/fresh.pem", folder);
  for (int i = 0; i < 5; i++) {
    tls_write_pair("two", fresh, key);
    assert_int_equal(call("https", fresh, "GET", "/livez", NULL, &err) < 0, 1); /* not before it was told */
    assert_int_equal(rename(fresh, cert), 0);
    assert_int_equal(cox_api_reload_tls(rig->api, &err), 0);
    assert_int_equal(call("https", cert, "GET", "/livez", NULL, &err), 200);
  }
}

static void a_broken_renewal_leaves_the_old_one(void **state) {
  (void)state;
  struct cox_err err = {0};
  char other[160], kept[160];
  snprintf(other, sizeof other, "%s/other.pem", folder);
  snprintf(kept, sizeof kept, "%s/kept.pem", folder);
  tls_write_pair("other", kept, other); /* a key of another certificate */
  assert_int_equal(rename(other, key), 0);
  assert_int_equal(cox_api_reload_tls(rig->api, &err), COX_EINVAL);
  assert_non_null(strstr(err.text, "is not the key of"));
  unlink(key);
  assert_int_equal(cox_api_reload_tls(rig->api, &err), COX_EINVAL);
  assert_non_null(strstr(err.text, key));
  assert_int_equal(call("https", cert, "GET", "/livez", NULL, &err), 200);
}

static void refused(const char *cert_path, const char *key_path, const char *part) {
  struct cox_err err = {0};
  const struct cox_api_options options = {.listen = "127.0.0.1:0", .tls_cert = cert_path, .tls_key = key_path, .broker = rig->broker};
  assert_null(cox_api_create(&options, &err));
  assert_int_equal(err.code, COX_EINVAL);
  if (strstr(err.text, part) == NULL) fail_msg("\"%s\" lacks \"%s\"", err.text, part);
}

static void files_that_cannot_be_used_stop_the_start_by_name(void **state) {
  (void)state;
  refused("/nowhere/cert.pem", key, "admin.tls.cert /nowhere/cert.pem");
  refused(cert, "/nowhere/key.pem", "admin.tls.key /nowhere/key.pem");
  refused(key, key, "admin.tls.cert");
  refused(cert, cert, "admin.tls.key");
  refused(cert, NULL, "admin.tls.key is missing");
  refused(folder, key, "admin.tls.cert");
}

static void waiting_answers_come_over_tls_too(void **state) {
  (void)state;
  struct cox_err err = {0};
  cox_api_destroy(rig->api);
  rig->options.command_s = 0.3;
  rig->options.tls_cert = cert;
  rig->options.tls_key = key;
  rig->api = cox_api_create(&rig->options, &err);
  rig_shut(rig);
  assert_int_equal(call("https", cert, "POST", "/v1/commands/hold", "{}", &err), 504);
  rig_open(rig);
  assert_int_equal(call("https", cert, "POST", "/v1/commands/echo", "{}", &err), 200);
}

int main(void) {
  cox_log_setup(COX_LOG_ERROR, false, 2);
  const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
      TEST(everything_works_over_tls),
      TEST(the_clients_tag_comes_from_the_answer),
      TEST(a_certificate_that_nobody_vouches_for_is_refused_in_plain_words),
      TEST(plain_http_is_not_answered),
      TEST(the_control_socket_is_plain_nevertheless),
      TEST(a_renewed_certificate_is_taken_while_it_runs),
      TEST(a_broken_renewal_leaves_the_old_one),
      TEST(files_that_cannot_be_used_stop_the_start_by_name),
      TEST(waiting_answers_come_over_tls_too),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
