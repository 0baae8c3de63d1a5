/* The start and the end of the API. */
#include "api/api.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "api/listen.h"
#include "api/server.h"
#include "api/tls.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/rng.h"

enum {
  FILES_OTHERS = 256, /* descriptors left for the workers, the store and logs, however low the limit is */
  CONNECTIONS_MIN = 16,
  SEND_S = 60,
  SCRIPTS_S = 25, /* our own clients wait 30 s */
  STOP_MS = 700 /* for answers that are on their way when the API stops */
};

static size_t connections_max(const struct cox_api_options *options) {
  struct rlimit files;
  if (options->connections_max > 0) return options->connections_max;
  if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur == RLIM_INFINITY) return COX_API_CONNECTIONS_MAX;
  const size_t share = files.rlim_cur > FILES_OTHERS ? (size_t)(files.rlim_cur - FILES_OTHERS) / 2 : 0;
  if (share < CONNECTIONS_MIN) return CONNECTIONS_MIN;
  return share < COX_API_CONNECTIONS_MAX ? share : COX_API_CONNECTIONS_MAX;
}

/* An address that others can reach needs a token, or the operator's word that the network is closed. */
static int check_access(const struct cox_api_options *options, const struct cox_listen *where, struct cox_err *err) {
  const bool has_token = options->token != NULL || json_array_size(options->tokens) > 0;
  if (has_token || options->is_insecure || cox_listen_is_loopback(where)) return 0;
  return cox_err_set(err, COX_EINVAL, "admin.listen %s can be reached from other machines and there is no admin.token, so anybody "
                     "could command the fleet: set admin.token, listen on 127.0.0.1, or set admin.insecure = true in a closed "
                     "network",
                     options->listen);
}

static void run_waker(void *arg) {
  struct cox_api *const api = arg;
  int64_t sweep_us = 0;
  while (!atomic_load(&api->is_ended)) {
    cox_waker_turn(api->waker, api->connections.hangup_fd, COX_API_SWEEP_MS);
    cox_connections_hear(&api->connections);
    const int64_t now_us = cox_clock_mono_us(cox_clock_system());
    if (now_us < sweep_us) continue;
    sweep_us = now_us + COX_API_SWEEP_MS * 1000;
    cox_connections_sweep(&api->connections);
    cox_keys_sweep(&api->keys);
  }
}

static int64_t us_or(double seconds, double fallback) { return (int64_t)((seconds > 0 ? seconds : fallback) * 1e6); }

static struct cox_api *allocate(const struct cox_api_options *options) {
  struct cox_api *const api = calloc(1, sizeof *api);
  if (api == NULL) return NULL;
  api->options = *options;
  api->options.listen = api->options.token = api->options.tls_cert = api->options.tls_key = NULL;
  api->options.tokens = NULL;
  api->options.config = json_incref(options->config);
  api->command_us = us_or(options->command_s, 10);
  api->scripts_us = us_or(options->scripts_s, SCRIPTS_S);
  api->listen_fd = -1;
  api->start = cox_rng_system_seed();
  cox_connections_init(&api->connections, connections_max(options), us_or(options->request_s, 10), us_or(0, SEND_S));
  return api;
}

static int init_access(struct cox_api *api, const struct cox_api_options *options, struct cox_err *err) {
  struct cox_faults doubts = {0};
  const int rc = cox_access_init(&api->access, options->token, options->tokens, &doubts, err);
  for (size_t i = 0; i < doubts.count; i++) cox_log(COX_LOG_WARN, "api", "a secret is open to others", "reason", doubts.list[i].text, NULL);
  cox_faults_fini(&doubts);
  return rc;
}

static int start(struct cox_api *api, const struct cox_api_options *options, struct cox_err *err) {
  struct cox_listen where;
  int rc = cox_listen_parse(options->listen, &where, err);
  if (rc == 0) rc = check_access(options, &where, err);
  if (rc != 0) return rc;
  rc = init_access(api, options, err);
  if (rc == 0) rc = cox_tally_init(&api->tally, err);
  if (rc == 0) rc = cox_keys_init(&api->keys, api, options->keys_max, options->key_s, err);
  if (rc == 0 && options->restore_outcomes != NULL) options->restore_outcomes(options->keep_ctx, api);
  if (rc == 0 && options->tls_cert != NULL) rc = cox_tls_create(&api->tls, options->tls_cert, options->tls_key, err);
  if (rc != 0) return rc;
  rc = cox_listen_open(&where, options->listen, &api->port, err);
  if (rc < 0) return rc;
  api->listen_fd = rc;
  api->waker = cox_waker_create(err);
  if (api->waker == NULL) return COX_ENOMEM;
  rc = cox_renderer_start(&api->renderer, api, err);
  if (rc == 0) rc = cox_thread_start(&api->waker_thread, "cox-api-waker", run_waker, api, err);
  if (rc == 0) rc = cox_server_start(api, connections_max(options), err);
  return rc;
}

int cox_api_check(const struct cox_api_options *options, struct cox_faults *doubts, struct cox_err *err) {
  struct cox_listen where;
  struct cox_access access = {0};
  struct cox_tls *tls = NULL;
  int rc = cox_listen_parse(options->listen, &where, err);
  if (rc == 0) rc = check_access(options, &where, err);
  if (rc == 0) rc = cox_access_init(&access, options->token, options->tokens, doubts, err);
  if (rc == 0 && options->tls_cert != NULL) rc = cox_tls_create(&tls, options->tls_cert, options->tls_key, err);
  cox_tls_destroy(tls);
  cox_access_fini(&access);
  return rc;
}

struct cox_api *cox_api_create(const struct cox_api_options *options, struct cox_err *err) {
  struct cox_api *const api = allocate(options);
  if (api == NULL) {
    cox_err_set(err, COX_ENOMEM, "starting the API failed: out of memory");
    return NULL;
  }
  if (start(api, options, err) != 0) {
    cox_api_destroy(api);
    return NULL;
  }
  cox_log(COX_LOG_INFO, "api", "listening", "address", options->listen, "port", COX_LOG_INT(api->port), "connections_max",
          COX_LOG_INT(connections_max(options)), "waiting_max", COX_LOG_INT(api->connections.kept_max), "tls", api->tls != NULL ? "yes" : "no", NULL);
  return api;
}

unsigned cox_api_port(const struct cox_api *api) { return api->port; }

int cox_api_restore_outcome(struct cox_api *api, const struct cox_key_record *record) { return cox_keys_restore(&api->keys, record); }

int cox_api_reload_tls(struct cox_api *api, struct cox_err *err) { return api->tls != NULL ? cox_tls_reload(api->tls, err) : 0; }

void cox_api_set_ready(struct cox_api *api, bool is_ready) { atomic_store(&api->is_ready, is_ready); }

/* The end is rare: asking every millisecond is simpler than one more condition. -1: without a limit. */
static void wait_for_none(const atomic_size_t *count, int64_t timeout_ms) {
  const int64_t end_us = cox_clock_mono_us(cox_clock_system()) + timeout_ms * 1000;
  while (atomic_load(count) > 0 && (timeout_ms < 0 || cox_clock_mono_us(cox_clock_system()) < end_us)) poll(NULL, 0, 1);
}

/* In this order: no new connections, everything that waits is woken with 503, its answers are sent, then the sockets. */
void cox_api_destroy(struct cox_api *api) {
  if (api == NULL) return;
  atomic_store(&api->is_stopping, true);
  cox_connections_stop(&api->connections);
  cox_keys_stop(&api->keys);
  wait_for_none(&api->busy, STOP_MS);
  wait_for_none(&api->suspended, -1); /* short: each wait has been ended, and the waker still runs */
  wait_for_none(&api->keys.open, -1);      /* short as well */
  if (api->waker != NULL) wait_for_none(&api->waker->busy, -1); /* it may still be on its way out of the library */
  cox_server_stop(api);
  cox_renderer_stop(&api->renderer);
  atomic_store(&api->is_ended, true);
  if (api->waker != NULL) cox_queue_wake(&api->waker->ended);
  cox_thread_join(&api->waker_thread);
  cox_waker_release(api->waker);
  cox_connections_fini(&api->connections);
  if (api->listen_fd >= 0) close(api->listen_fd);
  json_decref(api->options.config);
  cox_keys_fini(&api->keys);
  cox_tally_fini(&api->tally);
  cox_tls_destroy(api->tls);
  cox_access_fini(&api->access);
  free(api);
}
