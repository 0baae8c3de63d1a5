/* What a service manager hears from the real program on its notification socket: ready, reloading, stopping, and the watchdog's pings,
 * which end when a loop does not turn. A single thread is stopped as a debugger does it.                                            */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

enum { LIMIT_MS = 30000, WATCHDOG_MS = 1000, QUIET_MS = 2500 };

static char folder[64], config[96], place[96];
static int notes = -1;
static pid_t daemon_pid;

static int setup(void **state) {
  (void)state;
  snprintf(folder, sizeof folder, "/tmp/coxswain-watchdog-XXXXXX");
  if (mkdtemp(folder) == NULL) return -1;
  snprintf(config, sizeof config, "%s/c.lua", folder);
  snprintf(place, sizeof place, "%s/notify", folder);
  FILE *const file = fopen(config, "w");
  fputs("return { participant = { address = 'gonka1spec', pubkey = 'A' }, callback_url = 'http://127.0.0.1:9100', nodes = {}, store = ':memory:',\n"
        "  feed = { kind = 'none' }, admin = { listen = '127.0.0.1:0', socket = 'c.sock' }, log = { level = 'error' } }\n",
        file);
  fclose(file);
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path, sizeof address.sun_path, "%s", place);
  notes = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  return bind(notes, (const struct sockaddr *)&address, sizeof address);
}

static int teardown(void **state) {
  (void)state;
  if (daemon_pid > 0) {
    kill(daemon_pid, SIGKILL);
    waitpid(daemon_pid, NULL, 0);
    daemon_pid = 0;
  }
  close(notes);
  const char *const names[] = {"c.lua", "notify", "c.sock"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, names[i]);
    unlink(path);
  }
  return rmdir(folder);
}

static void start(void) {
  const char *const program = getenv("COXSWAIN_BIN");
  char watchdog[32];
  snprintf(watchdog, sizeof watchdog, "%d", WATCHDOG_MS * 1000);
  daemon_pid = fork();
  if (daemon_pid != 0) return;
  setenv("NOTIFY_SOCKET", place, 1);
  setenv("WATCHDOG_USEC", watchdog, 1);
  execl(program, program, "run", "-c", config, (char *)NULL);
  _exit(127);
}

/* The next message within `timeout_ms`; false: none came. */
static bool hear(int timeout_ms, char *out, size_t size) {
  struct pollfd ready = {.fd = notes, .events = POLLIN};
  if (poll(&ready, 1, timeout_ms) != 1) return false;
  const ssize_t len = recv(notes, out, size - 1, 0);
  out[len > 0 ? len : 0] = '\0';
  return len > 0;
}

static void expect(const char *beginning, char *message, size_t size) {
  const int64_t end_us = cox_clock_mono_us(cox_clock_system()) + LIMIT_MS * 1000;
  while (cox_clock_mono_us(cox_clock_system()) < end_us) {
    if (hear(1000, message, size) && strncmp(message, beginning, strlen(beginning)) == 0) return;
  }
  fail_msg("%s was not heard", beginning);
}

static pid_t look_for_thread(const char *wanted) {
  char path[64], name[32];
  snprintf(path, sizeof path, "/proc/%ld/task", (long)daemon_pid);
  DIR *const tasks = opendir(path);
  pid_t found = 0;
  for (struct dirent *entry; tasks != NULL && found == 0 && (entry = readdir(tasks)) != NULL;) {
    char comm[384];
    snprintf(comm, sizeof comm, "%s/%s/comm", path, entry->d_name);
    FILE *const file = fopen(comm, "r");
    if (file == NULL) continue;
    if (fgets(name, sizeof name, file) != NULL && strncmp(name, wanted, strlen(wanted)) == 0) found = (pid_t)strtol(entry->d_name, NULL, 10);
    fclose(file);
  }
  if (tasks != NULL) closedir(tasks);
  return found;
}

/* Threads that begin and end meanwhile make the list of them skip others, and a thread names itself a little after its start. */
static pid_t thread_of(const char *wanted) {
  const int64_t end_us = cox_clock_mono_us(cox_clock_system()) + LIMIT_MS * 1000;
  pid_t found = 0;
  while (found == 0 && cox_clock_mono_us(cox_clock_system()) < end_us) {
    found = look_for_thread(wanted);
    if (found == 0) poll(NULL, 0, 10);
  }
  return found;
}

/* Pings that were on their way are taken; then there must be silence. */
static void expect_silence(void) {
  char message[256];
  const int64_t end_us = cox_clock_mono_us(cox_clock_system()) + LIMIT_MS * 1000;
  while (hear(QUIET_MS, message, sizeof message)) assert_true(cox_clock_mono_us(cox_clock_system()) < end_us);
}

static void the_manager_hears_of_each_step(void **state) {
  (void)state;
  char message[256];
  if (getenv("COXSWAIN_BIN") == NULL) skip();
  start();
  expect("READY=1", message, sizeof message);
  expect("WATCHDOG=1", message, sizeof message);
  kill(daemon_pid, SIGHUP);
  expect("RELOADING=1\nMONOTONIC_USEC=", message, sizeof message);
  const long long us = strtoll(strstr(message, "USEC=") + 5, NULL, 10);
  assert_true(us > 0 && us <= cox_clock_mono_us(cox_clock_system()));
  expect("READY=1", message, sizeof message);
  kill(daemon_pid, SIGTERM);
  expect("STOPPING=1", message, sizeof message);
  int status;
  assert_int_equal(waitpid(daemon_pid, &status, 0), daemon_pid);
  daemon_pid = 0;
  assert_true(WIFEXITED(status));
  assert_int_equal(WEXITSTATUS(status), 0);
}

static void a_loop_that_does_not_turn_stops_the_pings(const char *name) {
  char message[256];
  if (getenv("COXSWAIN_BIN") == NULL) skip();
  start();
  expect("READY=1", message, sizeof message); /* a ping may still be the one before's */
  expect("WATCHDOG=1", message, sizeof message);
  const pid_t thread = thread_of(name);
  assert_true(thread > 0);
  if (ptrace(PTRACE_SEIZE, thread, NULL, NULL) != 0) skip(); /* not allowed here */
  assert_int_equal(ptrace(PTRACE_INTERRUPT, thread, NULL, NULL), 0);
  assert_int_equal(waitpid(thread, NULL, __WALL), thread);
  expect_silence();
  assert_int_equal(ptrace(PTRACE_DETACH, thread, NULL, NULL), 0);
  expect("WATCHDOG=1", message, sizeof message); /* it turns again */
}

static void a_stopped_command_loop_stops_the_pings(void **state) {
  (void)state;
  a_loop_that_does_not_turn_stops_the_pings("cox-command");
}

static void a_stopped_reconciler_stops_the_pings(void **state) {
  (void)state;
  a_loop_that_does_not_turn_stops_the_pings("cox-reconcile");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(the_manager_hears_of_each_step),
      TEST(a_stopped_command_loop_stops_the_pings),
      TEST(a_stopped_reconciler_stops_the_pings),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
