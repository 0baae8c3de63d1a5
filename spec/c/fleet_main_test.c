/* `coxswain sim mlnodes` as a process: what it prints, writes, and ends with. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sim/fleet_main.h"

enum { LIMIT_MS = 30000, ARGS_MAX = 16 };

static struct child {
  pid_t pid;
  int out; /* its standard output and standard error */
  char text[16384];
  size_t length;
} child;

static void run_with(const char *const *args, unsigned files_max) {
  int ends[2];
  char *argv[ARGS_MAX + 2] = {(char[]){"mlnodes"}};
  int argc = 1;
  for (; args[argc - 1] != NULL; argc++) argv[argc] = strdup(args[argc - 1]);
  assert_int_equal(pipe(ends), 0);
  fflush(NULL);
  child = (struct child){.pid = fork(), .out = ends[0]};
  assert_true(child.pid >= 0);
  if (child.pid == 0) {
    close(ends[0]);
    dup2(ends[1], STDOUT_FILENO);
    dup2(ends[1], STDERR_FILENO);
    const struct rlimit files = {files_max, files_max};
    if (files_max != 0 && setrlimit(RLIMIT_NOFILE, &files) != 0) _exit(99);
    const int code = cox_sim_fleet_main(argc, argv);
    fflush(NULL);
    _exit(code);
  }
  close(ends[1]);
  for (int i = 1; i < argc; i++) free(argv[i]);
}

static void run(const char *const *args) { run_with(args, 0); }

/* Reads until `part` was printed (true) or all is said (false). */
static bool is_printed(const char *part) {
  for (;;) {
    if (part != NULL && strstr(child.text, part) != NULL) return true;
    struct pollfd line = {.fd = child.out, .events = POLLIN};
    if (poll(&line, 1, LIMIT_MS) <= 0) fail_msg("it said only: %s", child.text);
    const ssize_t count = read(child.out, child.text + child.length, sizeof child.text - 1 - child.length);
    if (count <= 0) return part != NULL && strstr(child.text, part) != NULL;
    child.length += (size_t)count;
  }
}

static int end(void) {
  int status;
  is_printed(NULL);
  close(child.out);
  assert_int_equal(waitpid(child.pid, &status, 0), child.pid);
  child.pid = 0;
  assert_true(WIFEXITED(status));
  return WEXITSTATUS(status);
}

static int dial(json_int_t port) {
  const struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  assert_int_equal(connect(fd, (const struct sockaddr *)&at, sizeof at), 0);
  return fd;
}

/* Status of GET state, 0: no answer. */
static int ask(json_int_t port) {
  static const char request[] = "GET /api/v1/state HTTP/1.1\r\nHost: x\r\n\r\n";
  const int fd = dial(port);
  char text[13] = {0};
  int status = 0;
  if (send(fd, request, sizeof request - 1, MSG_NOSIGNAL) > 0 && recv(fd, text, 12, MSG_WAITALL) == 12) status = atoi(text + 9);
  close(fd);
  return status;
}

static int teardown(void **context) {
  (void)context;
  if (child.pid > 0) kill(child.pid, SIGKILL);
  if (child.pid > 0) waitpid(child.pid, NULL, 0);
  return 0;
}

static void it_serves_until_it_is_told_to_end(void **context) {
  (void)context;
  for (int i = 0; i < 2; i++) {
    char path[] = "/tmp/coxswain-nodes-XXXXXX";
    close(mkstemp(path));
    run((const char *const[]){"--count", "3", "--port", "0", "--split", "--release", "old", "--fault", "node2:error=503", "--control", "0",
                              "--nodes-file", path, "--load-ms", "10", NULL});
    assert_true(is_printed("\n"));
    assert_non_null(strstr(child.text, "3 ML nodes ready: management "));
    assert_non_null(strstr(child.text, ", inference "));
    assert_non_null(strstr(child.text, ", control "));
    json_t *const nodes = json_load_file(path, 0, NULL);
    assert_int_equal(json_array_size(nodes), 3);
    const json_int_t port = json_integer_value(json_object_get(json_array_get(nodes, 1), "poc_port"));
    assert_int_equal(ask(port), 503);
    kill(child.pid, i == 0 ? SIGTERM : SIGINT);
    assert_int_equal(end(), 0);
    json_decref(nodes);
    unlink(path);
  }
}

static void too_many_connections_are_turned_away_and_the_rest_is_served(void **context) {
  (void)context;
  run_with((const char *const[]){"--port", "0", NULL}, 80);
  assert_true(is_printed("\n"));
  const json_int_t port = atoi(strstr(child.text, "management ") + strlen("management "));
  int fds[120];
  for (int i = 0; i < 120; i++) fds[i] = dial(port);
  assert_true(is_printed("connections are turned away"));
  for (int i = 0; i < 120; i++) close(fds[i]);
  int status = 0;
  for (int i = 0; i < 1000 && status != 200; i++) status = ask(port); /* until it has seen that they are closed */
  assert_int_equal(status, 200);
  kill(child.pid, SIGTERM);
  assert_int_equal(end(), 0);
}

static void a_limit_of_open_files_that_is_too_low_is_told(void **context) {
  (void)context;
  run_with((const char *const[]){"--port", "0", "--count", "100", NULL}, 80);
  assert_int_equal(end(), 1);
  assert_non_null(strstr(child.text, "164 open files are needed"));
}

static void help_lists_options_and_faults(void **context) {
  (void)context;
  run((const char *const[]){"--help", NULL});
  assert_int_equal(end(), 0);
  assert_non_null(strstr(child.text, "--nodes-file"));
  assert_non_null(strstr(child.text, "half_header"));
}

static void wrong_usage_ends_with_2_and_a_reason(void **context) {
  (void)context;
  static const struct {
    const char *args[4];
    const char *part;
  } cases[] = {
      {{"--count", "many"}, "\"many\""},        {{"--count", "0"}, "give 1 to 10000"},        {{"--release", "odd"}, "old or new"},
      {{"--fault", "explode"}, "\"explode\""},  {{"--unknown"}, "unknown"},                    {{"more"}, "more is not"},
      {{"--load-ms", "-5"}, "\"-5\""},          {{"--count", "2", "--port", "65535"}, "ports"}, {{"--old", "x"}, "names no nodes"},
      {{"--seed", "99999999999999999999"}, "seed"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    const char *args[5] = {0};
    memcpy(args, cases[i].args, sizeof cases[i].args);
    run(args);
    assert_int_equal(end(), 2);
    if (strstr(child.text, cases[i].part) == NULL) fail_msg("case %zu says: %s", i, child.text);
  }
}

static void what_fails_ends_with_1(void **context) {
  (void)context;
  run((const char *const[]){"--port", "0", "--nodes-file", "/nowhere/nodes.json", NULL});
  assert_int_equal(end(), 1);
  assert_non_null(strstr(child.text, "/nowhere/nodes.json"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_teardown(it_serves_until_it_is_told_to_end, teardown),
      cmocka_unit_test_teardown(too_many_connections_are_turned_away_and_the_rest_is_served, teardown),
      cmocka_unit_test_teardown(a_limit_of_open_files_that_is_too_low_is_told, teardown),
      cmocka_unit_test_teardown(help_lists_options_and_faults, teardown),
      cmocka_unit_test_teardown(wrong_usage_ends_with_2_and_a_reason, teardown),
      cmocka_unit_test_teardown(what_fails_ends_with_1, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
