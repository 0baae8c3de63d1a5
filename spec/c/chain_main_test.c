/* `coxswain sim chain` as a process: what it prints, how it ends. */
#include "chain_client.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sim/chain_main.h"

struct process {
  pid_t pid;
  FILE *out, *err;
};

/* Runs it with these arguments (NULL-terminated, without "chain") in a child; the parent has no other threads. */
static struct process start(const char *const *arguments) {
  char *argv[32] = {(char *)(uintptr_t) "chain"};
  int argc = 1;
  while (arguments[argc - 1] != NULL) {
    argv[argc] = (char *)(uintptr_t)arguments[argc - 1];
    argc++;
  }
  int out[2], err[2];
  assert_int_equal(pipe(out), 0);
  assert_int_equal(pipe(err), 0);
  const pid_t pid = fork();
  assert_true(pid >= 0);
  if (pid == 0) {
    dup2(out[1], 1);
    dup2(err[1], 2);
    close(out[0]);
    close(err[0]);
    const int rc = cox_sim_chain_main(argc, argv);
    fflush(NULL);
    _exit(rc);
  }
  close(out[1]);
  close(err[1]);
  return (struct process){.pid = pid, .out = fdopen(out[0], "r"), .err = fdopen(err[0], "r")};
}

/* The exit code; what stood on standard error goes to `text`. */
static int end(struct process process, char text[4096]) {
  const size_t count = fread(text, 1, 4095, process.err);
  text[count] = '\0';
  int status = 0;
  assert_int_equal(waitpid(process.pid, &status, 0), process.pid);
  fclose(process.out);
  fclose(process.err);
  assert_true(WIFEXITED(status));
  return WEXITSTATUS(status);
}

static void expect(const char *const *arguments, int code, const char *reason) {
  char text[4096];
  const int got = end(start(arguments), text);
  if (got != code || strstr(text, reason) == NULL) fail_msg("exit code %d and \"%s\" instead of %d and \"%s\"", got, text, code, reason);
}
#define EXPECT(code, reason, ...) expect((const char *const[]){__VA_ARGS__, NULL}, code, reason)

static void it_says_when_it_is_ready_serves_and_ends_with_0(void **unused) {
  (void)unused;
  static const int signals[] = {SIGTERM, SIGINT};
  for (size_t i = 0; i < 2; i++) {
    const struct process process =
        start((const char *const[]){"--port", "0", "--block-ms=0", "--start-height", "49", "--poc-stage-duration", "30",
                                    "--epoch-length=60", "--fault", "models_all:502", NULL});
    char line[256], text[4096];
    assert_non_null(fgets(line, sizeof line, process.out));
    unsigned port = 0;
    assert_int_equal(sscanf(line, "chain ready: http://127.0.0.1:%u (", &port), 1);
    json_t *const info = chain_get(port, CHAIN_REST "/epoch_info");
    assert_string_equal(chain_text(info, "block_height"), "49");
    assert_string_equal(chain_text(info, "params.epoch_params.poc_stage_duration"), "30");
    json_decref(info);
    assert_int_equal(chain_http(port, "GET", CHAIN_REST "/models_all", NULL, NULL), 502);
    kill(process.pid, signals[i]);
    assert_int_equal(end(process, text), 0);
    assert_string_equal(text, "");
  }
}

static char path[] = "/tmp/chain_main_test.XXXXXX";

static void write_nodes(const char *text) {
  FILE *const file = fopen(path, "w");
  assert_non_null(file);
  fputs(text, file);
  fclose(file);
}

static int make_file(void **unused) {
  (void)unused;
  strcpy(path + strlen(path) - 6, "XXXXXX");
  const int fd = mkstemp(path);
  if (fd >= 0) close(fd);
  return fd >= 0 ? 0 : -1;
}

static int remove_file(void **unused) {
  (void)unused;
  return unlink(path);
}

#define NODE(id) \
  "{\"id\":\"" id "\",\"host\":\"h\",\"inference_port\":1,\"poc_port\":2,\"max_concurrent\":3,\"models\":{\"m\":{\"args\":[]}}}"

static void the_nodes_come_from_a_file(void **unused) {
  (void)unused;
  write_nodes("[" NODE("a") "," NODE("b") "]");
  const struct process process =
      start((const char *const[]){"--port", "0", "--nodes", path, "--preserved", "b", "--participant", "gonka1me", NULL});
  char line[256], text[4096];
  assert_non_null(fgets(line, sizeof line, process.out));
  unsigned port = 0;
  assert_int_equal(sscanf(line, "chain ready: http://127.0.0.1:%u (", &port), 1);
  json_t *const group = chain_get(port, CHAIN_REST "/epoch_group_data/0?model_id=m");
  assert_true(json_is_false(chain_at(group, "epoch_group_data.validation_weights.0.ml_nodes.0.timeslot_allocation.1")));
  assert_true(json_is_true(chain_at(group, "epoch_group_data.validation_weights.0.ml_nodes.1.timeslot_allocation.1")));
  assert_string_equal(chain_text(group, "epoch_group_data.validation_weights.0.member_address"), "gonka1me");
  json_decref(group);
  kill(process.pid, SIGTERM);
  assert_int_equal(end(process, text), 0);
}

static void a_wrong_file_of_nodes_is_reported_with_every_fault(void **unused) {
  (void)unused;
  EXPECT(1, "unable to open", "--nodes", "/nowhere/at/all");
  write_nodes("[\n{,\n]");
  EXPECT(1, ":2: ", "--nodes", path);
  write_nodes("{}");
  EXPECT(1, "must be a list", "--nodes", path);
  write_nodes("[" NODE("a") "," NODE("a") "]");
  EXPECT(1, "node a is given twice", "--nodes", path);
  write_nodes("[{\"id\":\"a\"},{\"host\":\"h\"}]");
  EXPECT(1, "nodes[0]: host is required", "--nodes", path);
  EXPECT(1, "nodes[1]: node id is required", "--nodes", path);
}

static void wrong_usage_ends_with_2_and_the_reason(void **unused) {
  (void)unused;
  EXPECT(2, "--bogus", "--bogus");
  EXPECT(2, "--port takes a whole number from 0 to 65535, not \"x\"", "--port", "x");
  EXPECT(2, "not \"65536\"", "--port", "65536");
  EXPECT(2, "needs a value: --port", "--port");
  EXPECT(2, "--epoch-length takes a whole number", "--epoch-length", "-1");
  EXPECT(2, "give it at least that", "--epoch-length", "10");
  EXPECT(2, "only options are taken: stray", "stray");
  EXPECT(2, "is not known", "--fault", "nope");
  EXPECT(2, "while the chain runs", "--fault", "cut-ws");
  EXPECT(2, "commas", "--preserved", "a,,b");
  EXPECT(2, "zz is not among", "--preserved", "zz");
  EXPECT(2, "IPv4", "--listen", "nonsense");
}

static void help_goes_to_standard_output(void **unused) {
  (void)unused;
  const struct process process = start((const char *const[]){"--help", NULL});
  char text[4096], help[8192];
  help[fread(help, 1, sizeof help - 1, process.out)] = '\0';
  assert_int_equal(end(process, text), 0);
  assert_string_equal(text, "");
  assert_non_null(strstr(help, "--set-new-validators-delay"));
  assert_non_null(strstr(help, "half-open"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_file, remove_file)
      TEST(it_says_when_it_is_ready_serves_and_ends_with_0),
      TEST(the_nodes_come_from_a_file),
      TEST(a_wrong_file_of_nodes_is_reported_with_every_fault),
      TEST(wrong_usage_ends_with_2_and_the_reason),
      TEST(help_goes_to_standard_output),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
