/* A life of the daemon, from its start to its end, in which one call of the system or of a library fails: each in its turn. A start that
 * fails says why; one that does not goes on serving; nothing crashes, hangs, or leaves files or threads behind. The same with what a life
 * before it has left, and within exchanges of scripts and copies of the store while it serves.
 *
 * Of names that are called often the first and the last call. COX_EXHAUST=all: every one; COX_ONLY=write: of that name only.                */
#include "fake_core.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "daemon.h"
#include "failing.h"
#include "hostile.h"
#include "scripted_net.h"
#include "script/script.h"

enum { ANSWER_MS = 20000, PATIENCE_S = 20, OFTEN = 4, NAMES_MAX = 128 };

static char folder[64], store[96], control[96], scripts[96] = "scripts";
static const char *failing_name = "";
static long failing_at;

static void must(bool is_true, const char *what) {
  if (!is_true) fail_msg("%s, when call %ld of %s fails", what, failing_at, failing_name);
}

static size_t threads(void) {
  DIR *const tasks = opendir("/proc/self/task");
  size_t count = 0;
  while (tasks != NULL && readdir(tasks) != NULL) count++;
  closedir(tasks);
  return count;
}

/* ---- one life ---- */

static struct cox_daemon *start(void) {
  char store_key[128], socket_key[128], scripts_key[128];
  snprintf(store_key, sizeof store_key, "store=%s", store);
  snprintf(socket_key, sizeof socket_key, "admin.socket=%s", control);
  snprintf(scripts_key, sizeof scripts_key, "scripts=%s", scripts);
  const char *const overrides[] = {"nodes=[{\"id\":\"node1\",\"host\":\"127.0.0.1\",\"inference_port\":1,\"poc_port\":1,\"max_concurrent\":1,\"models\":{\"m\":{}}}]",
                                   store_key, socket_key, "admin.listen=127.0.0.1:0", "workers=1", scripts_key, NULL};
  struct cox_faults faults = {0};
  json_t *const config = cox_config_load(NULL, overrides, "scripts", &faults);
  struct cox_daemon *const daemon = config != NULL ? cox_daemon_start(config, &faults) : NULL;
  must(daemon != NULL || (faults.count > 0 && faults.list[0].text[0] != '\0'), "a start that fails without words");
  cox_faults_fini(&faults);
  json_decref(config);
  return daemon;
}

/* False: it was refused, or not answered; both may be. */
static bool command(struct cox_daemon *daemon, const char *name, json_t *args) {
  struct cox_answer answer = {0};
  struct cox_err err = {0};
  const int rc = cox_broker_call(cox_daemon_broker(daemon), name, args, ANSWER_MS, &answer, &err);
  json_decref(args);
  must(rc == 0 || err.text[0] != '\0', "a command refused without words");
  must(rc != COX_ETIME, "a command that is not answered");
  const bool is_done = rc == 0 && answer.outcome == COX_ANSWER_DONE;
  must(rc != 0 || is_done || answer.outcome == COX_ANSWER_SKIPPED || answer.err.text[0] != '\0', "an error without words");
  if (rc == 0) cox_answer_fini(&answer);
  return is_done;
}

/* Somebody asks over that socket; whether an answer comes is not asked when it is this call that fails. */
static void ask(int fd, const struct sockaddr *address, socklen_t size, const char *text) {
  char bytes[4096];
  const struct timeval patience = {.tv_sec = PATIENCE_S};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  const bool is_sent = fd >= 0 && connect(fd, address, size) == 0 && send(fd, text, strlen(text), MSG_NOSIGNAL) > 0;
  const ssize_t count = is_sent ? recv(fd, bytes, sizeof bytes, 0) : -1;
  if (fd >= 0) close(fd);
  must(count > 0 || failing_call_was_hit(), "a question that is not answered");
}

static void ask_all(struct cox_daemon *daemon) {
  const struct sockaddr_in api = {.sin_family = AF_INET, .sin_port = htons((uint16_t)cox_daemon_port(daemon)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  struct sockaddr_un local = {.sun_family = AF_UNIX};
  snprintf(local.sun_path, sizeof local.sun_path, "%s", control);
  ask(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), (const void *)&api, sizeof api, "GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  ask(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), (const void *)&local, sizeof local, "nodes\n");
}

static json_t *block(void) {
  return json_pack("{si, ss, sb, s{si, si, ss}, s{si, si, si, si}}", "height", 150, "hash", "ABCDEF", "synced", 1, "epoch", "index", 1,
                   "poc_start_block_height", 100, "poc_start_block_hash", "ABCD", "params", "epoch_length", 100, "poc_stage_duration", 20,
                   "poc_validation_delay", 2, "poc_validation_duration", 10);
}

/* Nobody listens where its node should be: its attempt comes back with that. */
static void wait_for_attempt(struct cox_daemon *daemon) {
  struct cox_stats stats = {0};
  for (int waited = 0; stats.attempts_failed == 0 && waited < PATIENCE_S * 1000; waited += 2) {
    nanosleep(&(const struct timespec){.tv_nsec = 2000000}, NULL);
    cox_broker_stats(cox_daemon_broker(daemon), &stats);
  }
  must(stats.attempts_failed > 0, "an attempt that does not come back");
}

static void live(void) {
  struct cox_daemon *const daemon = start();
  if (daemon == NULL) return;
  const bool is_told = command(daemon, "new_block", block());
  command(daemon, "set_admin_state", json_pack("{ss, sb}", "node_id", "node1", "enabled", 1));
  if (is_told && cox_broker_has_node(cox_daemon_broker(daemon), "node1")) wait_for_attempt(daemon);
  ask_all(daemon);
  cox_daemon_stop(daemon);
}

/* ---- all of them ---- */

static void remove_folder(void) {
  char text[96];
  snprintf(text, sizeof text, "rm -rf %s", folder);
  if (system(text) != 0) print_error("%s could not be removed\n", folder);
}

static void make_folder(void) {
  snprintf(folder, sizeof folder, "/tmp/coxswain-calls-XXXXXX");
  assert_non_null(mkdtemp(folder));
  snprintf(store, sizeof store, "%s/coxswain.db", folder);
  snprintf(control, sizeof control, "%s/coxswain.sock", folder);
}

/* `with_past`: another life has been before, and left its store. */
static void live_once(const char *name, long k, bool with_past) {
  failing_name = name != NULL ? name : "nothing";
  failing_at = k;
  make_folder();
  failing_call(NULL, 0);
  if (with_past) live();
  const size_t files = open_files(), tasks = threads();
  failing_call(name, k);
  live();
  const bool was_hit = failing_call_was_hit();
  long counts[NAMES_MAX];
  const char *const *const names = failing_call_names();
  for (size_t i = 0; names[i] != NULL; i++) counts[i] = failing_call_count(names[i]);
  failing_call(NULL, 0);
  wait_open_files(files);
  must(name == NULL || threads() == tasks, "a thread that is left over"); /* the first time a sanitizer may begin one of its own */
  remove_folder();
  if (getenv("COX_TIMES") != NULL) print_message("%s %ld%s\n", failing_name, k, was_hit ? "" : " (not reached)");
  if (name != NULL) return;
  for (size_t i = 0; names[i] != NULL; i++) print_message("%s %ld, ", names[i], counts[i]);
  print_message("\n");
}

/* How often each is called in such a life. */
static void count_calls(long counts[NAMES_MAX], bool with_past) {
  const char *const *const names = failing_call_names();
  make_folder();
  if (with_past) live();
  failing_call(NULL, 0);
  live();
  for (size_t i = 0; names[i] != NULL; i++) counts[i] = failing_call_count(names[i]);
  remove_folder();
}

static bool is_left_out(const char *name) {
  const char *const only = getenv("COX_ONLY");
  return only != NULL && strcmp(only, name) != 0;
}

/* Of so many calls. */
static long step_of(long count) { return getenv("COX_EXHAUST") != NULL || count <= OFTEN ? 1 : count - 1; }

static void the_daemon_survives_each_call_that_fails(void **state) {
  (void)state;
  live_once(NULL, 0, false); /* what is made once is made */
  long counts[NAMES_MAX], lives = 0;
  const char *const *const names = failing_call_names();
  count_calls(counts, false);
  for (size_t i = 0; names[i] != NULL; i++) {
    if (is_left_out(names[i])) continue;
    for (long k = 1; k <= counts[i]; k += step_of(counts[i]), lives++) live_once(names[i], k, false);
  }
  print_message("%ld lives\n", lives);
}

/* Only what has to do with the store is called otherwise. */
static void so_it_does_with_what_an_earlier_life_has_left(void **state) {
  (void)state;
  static const char *const names[] = {"flock", "fopen", "open", "stat", "unlink", "sqlite3_bind_int64", "sqlite3_exec", "sqlite3_open_v2",
                                      "sqlite3_prepare_v2", "sqlite3_prepare_v3", "sqlite3_step", "sqlite3_wal_checkpoint_v2", NULL};
  long counts[NAMES_MAX];
  const char *const *const all = failing_call_names();
  count_calls(counts, true);
  for (size_t i = 0; all[i] != NULL; i++) {
    bool is_meant = false;
    for (size_t n = 0; names[n] != NULL; n++) is_meant = is_meant || strcmp(names[n], all[i]) == 0;
    if (!is_meant || is_left_out(all[i])) continue;
    for (long k = 1; k <= counts[i]; k += step_of(counts[i])) live_once(all[i], k, true);
  }
}

/* ---- exchanges of scripts, and copies of the store, while one daemon serves ---- */

struct exchange {
  struct cox_scripts_request request; /* first: it is handed back by this */
  atomic_int answers;
  bool is_done; /* written before the answer is counted, as are the words */
  char words[256];
};

static void tell(struct exchange *exchange, bool is_done, const char *words) {
  exchange->is_done = is_done;
  snprintf(exchange->words, sizeof exchange->words, "%.255s", words);
  atomic_fetch_add(&exchange->answers, 1);
}

static void exchanged(struct cox_scripts_request *request, const struct cox_scripts_outcome *outcome) {
  tell((struct exchange *)(void *)request, outcome->status == COX_SCRIPTS_DONE || outcome->status == COX_SCRIPTS_UNCHANGED, outcome->err.text);
}

static void copied(void *arg, const struct cox_err *err) { tell(arg, err == NULL, err != NULL ? err->text : ""); }

/* New contents for a script that nobody needs. */
static void edit_scripts(void) {
  static int number;
  hostile_put(scripts, "policy/edited.lua", "return { number = %d }\n", ++number);
}

enum work { RELOAD, ROLLBACK, PLAN, COPY, WORKS };

/* False: it was refused or failed, with words. */
static bool work(struct cox_daemon *daemon, enum work what) {
  struct exchange exchange = {.request = {.caller = "a spec", .done = exchanged}};
  const struct cox_scripts *const engine = cox_daemon_scripts(daemon);
  struct cox_err err = {0};
  char path[96];
  snprintf(path, sizeof path, "%s/copy.db", folder);
  switch (what) {
    case RELOAD: engine->reload(engine->ctx, &exchange.request); break;
    case ROLLBACK: engine->rollback(engine->ctx, &exchange.request); break;
    case PLAN: engine->plan(engine->ctx, &exchange.request); break;
    default:
      if (cox_broker_backup(cox_daemon_broker(daemon), path, copied, &exchange, &err) != 0) copied(&exchange, &err);
  }
  for (int waited = 0; atomic_load(&exchange.answers) == 0 && waited < PATIENCE_S * 1000; waited++) nanosleep(&(const struct timespec){.tv_nsec = 1000000}, NULL);
  must(atomic_load(&exchange.answers) == 1, "a request that is not answered once");
  must(exchange.is_done || exchange.words[0] != '\0', "a request that fails without words");
  remove(path);
  return exchange.is_done;
}

static bool prepare(struct cox_daemon *daemon, enum work what) {
  if (what == COPY) return true;
  edit_scripts();
  return what != ROLLBACK || work(daemon, RELOAD);
}

static void wait_until_admitted(struct cox_daemon *daemon) {
  struct cox_err err;
  for (int waited = 0; cox_broker_is_degraded(cox_daemon_broker(daemon), &err) && waited < PATIENCE_S * 1000; waited += 10) {
    nanosleep(&(const struct timespec){.tv_nsec = 10000000}, NULL);
  }
  must(!cox_broker_is_degraded(cox_daemon_broker(daemon), &err), "a store that does not come back");
}

/* The k-th call of that name fails in it; afterwards all goes on, and the next one is done. */
static void work_once(struct cox_daemon *daemon, enum work what, const char *name, long k) {
  failing_name = name;
  failing_at = k;
  failing_call(NULL, 0);
  must(prepare(daemon, what), "a reload that is not done though nothing fails");
  const size_t files = open_files();
  failing_call(name, k);
  work(daemon, what);
  failing_call(NULL, 0);
  must(command(daemon, "set_admin_state", json_pack("{ss, sb}", "node_id", "node1", "enabled", 1)) || (wait_until_admitted(daemon), true),
       "a command that is not carried out");
  wait_open_files(files);
  must(prepare(daemon, what) && work(daemon, what), "a request that is not done though nothing fails any more");
}

static void each_work_fails_alone(struct cox_daemon *daemon, enum work what) {
  static const char *const words[WORKS] = {"reload", "rollback", "plan", "copy of the store"};
  const char *const *const names = failing_call_names();
  long counts[NAMES_MAX], kinds = 0, times = 0;
  must(prepare(daemon, what) && work(daemon, what), "a request that is not done though nothing fails");
  must(prepare(daemon, what), "a reload that is not done though nothing fails");
  failing_call(NULL, 0);
  work(daemon, what);
  for (size_t i = 0; names[i] != NULL; i++) counts[i] = failing_call_count(names[i]);
  for (size_t i = 0; names[i] != NULL; i++) {
    if (counts[i] == 0 || is_left_out(names[i])) continue;
    kinds++;
    for (long k = 1; k <= counts[i]; k += step_of(counts[i]), times++) work_once(daemon, what, names[i], k);
  }
  print_message("%ld times a %s, with %ld kinds of calls in it\n", times, words[what], kinds);
}

static void scripts_are_exchanged_and_stores_copied_or_not_whatever_call_fails(void **state) {
  (void)state;
  char text[256];
  make_folder();
  snprintf(scripts, sizeof scripts, "%s/scripts", folder);
  snprintf(text, sizeof text, "cp -r scripts %s", scripts);
  assert_int_equal(system(text), 0);
  failing_call(NULL, 0);
  struct cox_daemon *const daemon = start();
  assert_non_null(daemon);
  command(daemon, "new_block", block());
  wait_for_attempt(daemon);
  for (enum work what = RELOAD; what < WORKS; what++) each_work_fails_alone(daemon, what);
  cox_daemon_stop(daemon);
  remove_folder();
  snprintf(scripts, sizeof scripts, "scripts");
}

int main(void) {
  cox_log_setup(COX_LOG_ERROR, false, open("/dev/null", O_WRONLY | O_CLOEXEC));
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_daemon_survives_each_call_that_fails),
      cmocka_unit_test(so_it_does_with_what_an_earlier_life_has_left),
      cmocka_unit_test(scripts_are_exchanged_and_stores_copied_or_not_whatever_call_fails),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
