#include "daemon.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "api/api.h"
#include "base/log.h"
#include "base/rng.h"
#include "console/control.h"
#include "declare.h"
#include "net/net.h"
#include "outcomes.h"
#include "paths.h"
#include "script/script.h"
#include "store/memory.h"
#include "store/sqlite.h"

enum { STOP_MS = 4000 /* for attempts to come back; the rest of the stop takes less than a second */, FILES_COMFORTABLE = 4096, ARENAS = 2 /* measured: 7 MiB less with 1 000 nodes, and no slower */ };

struct cox_daemon {
  json_t *config; /* without the nodes */
  json_t *owed;   /* {"nodes", "prune"} to be declared when the store can be written; NULL: none */
  struct cox_store_memory *memory; /* one of these two */
  struct cox_sqlite *sqlite;
  const struct cox_store *store;
  struct cox_script *script;
  struct cox_broker *broker;
  bool is_broker_started;
  struct cox_net *net;
  struct cox_api *api;
  struct cox_control *control; /* NULL: no socket is configured */
};

static const json_t *get(const json_t *config, const char *group, const char *key) {
  const json_t *const value = json_object_get(config, group);
  return key != NULL ? json_object_get(value, key) : value;
}

static const char *text(const json_t *config, const char *group, const char *key) {
  return json_string_value(get(config, group, key));
}

static double number(const json_t *config, const char *group, const char *key) { return json_number_value(get(config, group, key)); }

void cox_daemon_tune_process(void) {
  mallopt(M_ARENA_MAX, ARENAS);
  struct rlimit files;
  if (getrlimit(RLIMIT_NOFILE, &files) != 0) return;
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
}

void cox_daemon_tidy_process(void) { malloc_trim(0); }

static void look_at_file_limit(void) {
  struct rlimit files;
  if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur >= FILES_COMFORTABLE) return;
  cox_log(COX_LOG_WARN, "main", "the limit of open files is low: fewer nodes are talked to at a time", "limit", COX_LOG_INT(files.rlim_cur), NULL);
}

static bool start_store(struct cox_daemon *daemon, struct cox_faults *faults) {
  const char *const path = text(daemon->config, "store", NULL);
  struct cox_err err;
  if (path == NULL || strcmp(path, ":memory:") == 0) {
    daemon->memory = cox_store_memory_create(&err);
    if (daemon->memory != NULL) daemon->store = cox_store_memory_store(daemon->memory);
  } else {
    const struct cox_sqlite_options options = {.path = path};
    daemon->sqlite = cox_sqlite_create(&options, &err);
    if (daemon->sqlite != NULL) daemon->store = cox_sqlite_store(daemon->sqlite);
  }
  if (daemon->store == NULL) cox_faults_add(faults, NULL, 0, "%s", err.text);
  return daemon->store != NULL;
}

static bool start_scripts(struct cox_daemon *daemon, struct cox_faults *faults) {
  struct cox_paths paths;
  struct cox_err err;
  if (cox_paths_find(&paths, &err) != 0) {
    cox_faults_add(faults, NULL, 0, "%s", err.text);
    return false;
  }
  json_t *const folders = cox_config_folders(daemon->config, paths.scripts);
  const json_t *const watch = get(daemon->config, "reload", "watch");
  const struct cox_script_options options = {
      .folders = folders,
      .library_dir = paths.library,
      .clock = cox_clock_system(),
      .config = daemon->config,
      .is_deferred = true, /* the store may say that others than those in the folders were chosen */
      .is_watching = watch == NULL || json_is_true(watch),
      .failures_max = (unsigned)number(daemon->config, "reload", "failures"),
  };
  daemon->script = cox_script_create(&options, faults);
  json_decref(folders);
  return daemon->script != NULL;
}

static double or_none(double value) { return value > 0 ? value : -1; /* 0 would mean the default */ }

static struct cox_lease_options lease_options(const json_t *config) {
  const json_t *const eject = get(config, "leases", "eject_s");
  return (struct cox_lease_options){
      .max = (size_t)number(config, "leases", "max"),
      .waiters_max = (size_t)number(config, "leases", "waiters_max"),
      .slow_start_s = or_none(number(config, "leases", "slow_start_s")),
      .eject_after = (unsigned)number(config, "leases", "eject_after"),
      .eject_s = {json_number_value(json_array_get(eject, 0)), json_number_value(json_array_get(eject, 1))},
      .eject_share = or_none(number(config, "leases", "eject_share")),
  };
}

static bool start_broker(struct cox_daemon *daemon, struct cox_faults *faults) {
  const json_t *const config = daemon->config;
  const json_t *const backoff = get(config, "reconcile", "backoff_s");
  const struct cox_broker_options options = {
      .clock = cox_clock_system(),
      .seed = cox_rng_system_seed(),
      .policy = cox_script_policy(daemon->script),
      .store = daemon->store,
      .participant = json_object_get(config, "participant"),
      .callback_url = text(config, "callback_url", NULL),
      .interval_s = number(config, "reconcile", "interval_s"),
      .resync_s = number(config, "reconcile", "resync_s"),
      .backoff_s = {json_number_value(json_array_get(backoff, 0)), json_number_value(json_array_get(backoff, 1))},
      .probe_interval_s = number(config, "probe", "interval_s"),
      .probe_timeout_s = number(config, "probe", "timeout_s"),
      .probe_fall = (unsigned)number(config, "probe", "fall"),
      .probe_rise = (unsigned)number(config, "probe", "rise"),
      .leases = lease_options(config),
  };
  struct cox_err err;
  daemon->broker = cox_broker_create(&options, &err);
  if (daemon->broker == NULL || cox_broker_load(daemon->broker, &err) != 0) {
    cox_faults_add(faults, NULL, 0, "%s", err.text);
    return false;
  }
  cox_script_set_broker(daemon->script, daemon->broker);
  return cox_script_load(daemon->script, faults) == 0;
}

static bool start_workers(struct cox_daemon *daemon, struct cox_faults *faults) {
  const struct cox_net_options options = {
      .workers = (unsigned)number(daemon->config, "workers", NULL),
      .clock = cox_clock_system(),
      .ops = cox_script_fiber_ops(daemon->script),
      .broker = daemon->broker,
  };
  struct cox_err err;
  daemon->net = cox_net_create(&options, &err);
  if (daemon->net == NULL) {
    cox_faults_add(faults, err.file, err.line, "%s", err.text);
    return false;
  }
  cox_broker_set_transport(daemon->broker, cox_net_transport(daemon->net));
  if (cox_broker_start(daemon->broker, &err) != 0) {
    cox_faults_add(faults, NULL, 0, "%s", err.text);
    return false;
  }
  daemon->is_broker_started = true;
  return true;
}

static json_t *list_commands(void *ctx) { return cox_script_commands(((struct cox_daemon *)ctx)->script); }

struct cox_api_options cox_daemon_access(const json_t *config) {
  return (struct cox_api_options){
      .listen = text(config, "admin", "listen"),
      .token = text(config, "admin", "token"),
      .tokens = get(config, "admin", "tokens"),
      .tls_cert = json_string_value(json_object_get(get(config, "admin", "tls"), "cert")),
      .tls_key = json_string_value(json_object_get(get(config, "admin", "tls"), "key")),
      .is_insecure = json_is_true(get(config, "admin", "insecure")),
  };
}

static bool start_api(struct cox_daemon *daemon, struct cox_faults *faults) {
  json_t *const shown = cox_config_masked(daemon->config);
  struct cox_api_options options = cox_daemon_access(daemon->config);
  options.broker = daemon->broker;
  options.config = shown;
  options.commands_json = list_commands;
  options.commands_ctx = daemon;
  options.scripts = cox_script_scripts(daemon->script);
  struct cox_err err;
  cox_outcomes_use(&options, daemon->broker);
  daemon->api = cox_api_create(&options, &err);
  json_decref(shown);
  if (daemon->api == NULL) cox_faults_add(faults, NULL, 0, "%s", err.text);
  return daemon->api != NULL;
}

/* The control socket speaks HTTP, too: so that --socket is enough for every client. */
static void adopt(void *ctx, int fd) { cox_api_adopt(((struct cox_daemon *)ctx)->api, fd); }

static bool start_control(struct cox_daemon *daemon, struct cox_faults *faults) {
  const struct cox_control_options options = {
      .path = text(daemon->config, "admin", "socket"),
      .broker = daemon->broker,
      .console = cox_script_console(daemon->script),
      .scripts = cox_script_scripts(daemon->script),
      .adopt = adopt,
      .adopt_ctx = daemon,
  };
  struct cox_err err;
  if (options.path == NULL || *options.path == '\0') return true;
  daemon->control = cox_control_create(&options, &err);
  if (daemon->control == NULL) cox_faults_add(faults, NULL, 0, "%s", err.text);
  return daemon->control != NULL;
}

static bool start_jobs(struct cox_daemon *daemon, struct cox_faults *faults) {
  json_t *const names = cox_script_jobs(daemon->script);
  bool is_good = true;
  size_t i;
  json_t *name;
  json_array_foreach(names, i, name) {
    struct cox_err err = {0};
    if (cox_net_start_job(daemon->net, json_string_value(name), &err) == 0) continue;
    cox_faults_add(faults, err.file, err.line, "starting the job %s failed: %s", json_string_value(name), err.text);
    is_good = false;
  }
  json_decref(names);
  return is_good;
}

/* On cox-reload, after an exchange of the scripts. */
static void renew_jobs(void *ctx) {
  struct cox_daemon *const daemon = ctx;
  json_t *const names = cox_script_jobs(daemon->script);
  cox_net_renew_jobs(daemon->net, names, NULL);
  json_decref(names);
}

static bool start_reloads(struct cox_daemon *daemon, struct cox_faults *faults) {
  struct cox_err err;
  if (cox_script_start(daemon->script, renew_jobs, daemon, &err) == 0) return true;
  cox_faults_add(faults, NULL, 0, "%s", err.text);
  return false;
}

/* What the file said last is kept with the nodes, so that a start is no other occasion than a SIGHUP. */
static void declare(struct cox_daemon *daemon, json_t *config, struct cox_faults *faults) {
  struct cox_declared counts;
  json_t *const before = cox_broker_kept_all(daemon->broker, "declared"), *const applied = json_copy(before);
  cox_declare_nodes(daemon->broker, applied, json_object_get(config, "nodes"), json_is_true(json_object_get(config, "prune")), &counts,
                    faults);
  cox_declare_keep(daemon->broker, before, applied, faults);
  json_decref(before);
  json_decref(applied);
  cox_log(COX_LOG_INFO, "main", "nodes declared", "added", COX_LOG_INT(counts.added), "updated", COX_LOG_INT(counts.updated), "removed",
          COX_LOG_INT(counts.removed), "kept_though_gone", COX_LOG_INT(counts.missing), NULL);
}

/* Before the nodes are declared, and after it: what the store refused is declared again when it can be written, not at the next SIGHUP. */
static bool owe_declaration(struct cox_daemon *daemon, json_t *config) {
  if (!cox_broker_is_degraded(daemon->broker, NULL)) return false;
  json_decref(daemon->owed);
  daemon->owed = json_pack("{sO*, sO*}", "nodes", json_object_get(config, "nodes"), "prune", json_object_get(config, "prune"));
  cox_log(COX_LOG_WARN, "main", "the declared nodes are taken over when the store can be written again: until then the fleet is what it was", NULL);
  return true;
}

/* While the store cannot be written the fleet is what it was: better than none. */
static bool start_nodes(struct cox_daemon *daemon, json_t *config, struct cox_faults *faults) {
  const size_t before = faults->count;
  if (owe_declaration(daemon, config)) return true;
  declare(daemon, config, faults);
  return faults->count == before;
}

static bool start_all(struct cox_daemon *daemon, json_t *config, struct cox_faults *faults) {
  if (!start_store(daemon, faults) || !start_scripts(daemon, faults) || !start_broker(daemon, faults) ||
      !start_workers(daemon, faults) || !start_api(daemon, faults) || !start_control(daemon, faults)) {
    return false;
  }
  return start_nodes(daemon, config, faults) && start_jobs(daemon, faults) && start_reloads(daemon, faults);
}

struct cox_daemon *cox_daemon_start(json_t *config, struct cox_faults *faults) {
  struct cox_daemon *const daemon = calloc(1, sizeof *daemon);
  if (daemon == NULL) {
    cox_faults_add(faults, NULL, 0, "starting failed: out of memory");
    return NULL;
  }
  daemon->config = json_copy(config);
  json_object_del(daemon->config, "nodes"); /* from their declaration on they are the registry's: thousands of them, twice */
  look_at_file_limit();
  if (start_all(daemon, config, faults)) {
    cox_api_set_ready(daemon->api, true);
    cox_log(COX_LOG_INFO, "main", "ready", "version", COX_VERSION, "port", COX_LOG_INT(cox_daemon_port(daemon)), NULL);
    return daemon;
  }
  cox_daemon_stop(daemon);
  return NULL;
}

void cox_daemon_stop(struct cox_daemon *daemon) {
  if (daemon == NULL) return;
  if (daemon->api != NULL) cox_api_set_ready(daemon->api, false);
  cox_script_stop(daemon->script); /* an exchange under way needs the broker and the workers */
  cox_control_destroy(daemon->control); /* its sessions wait for answers of the broker at most until they are cancelled */
  if (daemon->is_broker_started) cox_broker_stop(daemon->broker, STOP_MS);
  cox_api_destroy(daemon->api);
  cox_net_destroy(daemon->net); /* gives back what has not landed yet, so before the broker */
  if (daemon->store != NULL) daemon->store->close(daemon->store->ctx); /* gives the last answers, so before the broker */
  cox_broker_destroy(daemon->broker);
  cox_script_destroy(daemon->script);
  cox_store_memory_destroy(daemon->memory);
  cox_sqlite_destroy(daemon->sqlite);
  json_decref(daemon->owed);
  json_decref(daemon->config);
  free(daemon);
}

static void declare_or_owe(struct cox_daemon *daemon, json_t *config) {
  struct cox_faults faults = {0};
  if (owe_declaration(daemon, config)) return;
  declare(daemon, config, &faults);
  for (size_t i = 0; i < faults.count; i++) cox_log(COX_LOG_ERROR, "main", "a declared node was refused", "reason", faults.list[i].text, NULL);
  cox_faults_fini(&faults);
  owe_declaration(daemon, config); /* it has failed meanwhile */
}

bool cox_daemon_settle(struct cox_daemon *daemon) {
  json_t *const config = daemon->owed;
  if (config == NULL || cox_broker_is_degraded(daemon->broker, NULL)) return config != NULL;
  daemon->owed = NULL;
  declare_or_owe(daemon, config);
  json_decref(config);
  return daemon->owed != NULL;
}

void cox_daemon_declare(struct cox_daemon *daemon, json_t *config) {
  struct cox_err err;
  if (cox_api_reload_tls(daemon->api, &err) != 0) {
    cox_log(COX_LOG_ERROR, "main", "the certificate was not read again: the old one goes on", "reason", err.text, NULL);
  }
  json_decref(daemon->owed); /* these are newer */
  daemon->owed = NULL;
  declare_or_owe(daemon, config);
}

const struct cox_scripts *cox_daemon_scripts(struct cox_daemon *daemon) { return cox_script_scripts(daemon->script); }
void cox_daemon_follow(struct cox_daemon *daemon, json_t *(*folders)(void *ctx, struct cox_faults *faults), void *ctx) {
  cox_script_follow(daemon->script, folders, ctx);
}

void cox_daemon_look_at_scripts(struct cox_daemon *daemon, const char *caller) { cox_script_look(daemon->script, caller); }

struct cox_broker *cox_daemon_broker(struct cox_daemon *daemon) { return daemon->broker; }
unsigned cox_daemon_port(const struct cox_daemon *daemon) { return cox_api_port(daemon->api); }
