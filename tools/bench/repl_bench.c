/* The console at a terminal: from the start of `coxswain repl` to its prompt, and from Tab to what it completes, beside a daemon with
 * many nodes. Usage: repl_bench [NODES] [ROUNDS], from the root of the source tree, after a build. Prints one JSON object per figure. */
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "report.h"

enum { ROUNDS_MAX = 200, SCREEN = 65536, PATIENCE_MS = 10000 };

static char folder[] = "/tmp/coxswain-repl-bench.XXXXXX";
static char config_path[64], nodes_path[64], socket_path[64];

static void give_up(const char *what) {
  perror(what);
  exit(1);
}

static void write_files(int nodes) {
  if (mkdtemp(folder) == NULL) give_up(folder);
  snprintf(config_path, sizeof config_path, "%s/coxswain.lua", folder);
  snprintf(nodes_path, sizeof nodes_path, "%s/nodes.json", folder);
  snprintf(socket_path, sizeof socket_path, "%s/control", folder);
  FILE *const list = fopen(nodes_path, "w"), *const config = fopen(config_path, "w");
  if (list == NULL || config == NULL) give_up(folder);
  for (int i = 0; i < nodes; i++) {
    fprintf(list, "%s{\"id\":\"node%d\",\"host\":\"127.0.0.1\",\"inference_port\":%d,\"poc_port\":%d,\"max_concurrent\":5,\"models\":{\"m\":{\"args\":[]}}}\n",
            i == 0 ? "[" : ",", i, 1 + i, 20001 + i);
  }
  fprintf(list, "]\n");
  fprintf(config, "return { nodes = 'nodes.json', store = ':memory:', feed = { kind = 'none' }, probe = { interval_s = 3600 },\n"
                  "  admin = { listen = '127.0.0.1:0', socket = 'control' } }\n");
  fclose(list);
  fclose(config);
}

static void remove_files(void) {
  unlink(config_path);
  unlink(nodes_path);
  unlink(socket_path);
  rmdir(folder);
}

static pid_t start_daemon(const char *program) {
  const pid_t daemon = fork();
  if (daemon < 0) give_up("fork");
  if (daemon == 0) {
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (freopen("/dev/null", "w", stderr) == NULL) _exit(1);
    execl(program, program, "run", "-c", config_path, (char *)NULL);
    _exit(127);
  }
  struct stat about;
  for (int waited_ms = 0; stat(socket_path, &about) != 0; waited_ms += 10) {
    if (waited_ms >= PATIENCE_MS || waitpid(daemon, NULL, WNOHANG) != 0) {
      fprintf(stderr, "repl_bench: %s run -c %s does not get ready\n", program, config_path);
      exit(1);
    }
    usleep(10000);
  }
  return daemon;
}

/* Until the terminal has shown `text`; what was shown before does not count. */
static void await(int terminal, const char *text) {
  static char screen[SCREEN];
  size_t len = 0;
  struct pollfd waiting = {.fd = terminal, .events = POLLIN};
  while (len + 1 < sizeof screen && poll(&waiting, 1, PATIENCE_MS) > 0) {
    const ssize_t count = read(terminal, screen + len, sizeof screen - 1 - len);
    if (count <= 0) break;
    len += (size_t)count;
    screen[len] = '\0';
    if (strstr(screen, text) != NULL) return;
  }
  screen[len] = '\0';
  fprintf(stderr, "repl_bench: no %s at the terminal, but:\n%s\n", text, screen);
  exit(1);
}

static void press(int terminal, const char *keys) {
  if (write(terminal, keys, strlen(keys)) != (ssize_t)strlen(keys)) give_up("write");
}

static double tab(int terminal, const char *begun, const char *completed) {
  press(terminal, begun);
  await(terminal, begun);
  const double began = bench_now_us();
  press(terminal, "\t");
  await(terminal, completed);
  const double took_ms = (bench_now_us() - began) / 1000;
  press(terminal, "\x03"); /* the line goes, and the prompt comes again */
  await(terminal, "coxswain>");
  return took_ms;
}

static void measure(const char *program, int rounds) {
  double prompts[ROUNDS_MAX], fields[ROUNDS_MAX], ids[ROUNDS_MAX];
  for (int i = 0; i < rounds; i++) {
    int terminal;
    struct winsize size = {.ws_row = 40, .ws_col = 120};
    const double began = bench_now_us();
    const pid_t console = forkpty(&terminal, NULL, NULL, &size);
    if (console < 0) give_up("forkpty");
    if (console == 0) {
      setenv("XDG_STATE_HOME", folder, 1);
      setenv("TERM", "xterm", 1);
      execl(program, program, "repl", "--socket", socket_path, (char *)NULL);
      _exit(127);
    }
    await(terminal, "coxswain>");
    prompts[i] = (bench_now_us() - began) / 1000;
    fields[i] = tab(terminal, "nodes.node7.curr", "ent_status");
    ids[i] = tab(terminal, "probe nod", "e");
    press(terminal, "\x04");
    waitpid(console, NULL, 0);
    close(terminal);
  }
  bench_report("console: from its start to the prompt", prompts, (size_t)rounds, "ms");
  bench_report("console: a field completed at Tab", fields, (size_t)rounds, "ms");
  bench_report("console: node ids completed at Tab", ids, (size_t)rounds, "ms");
}

int main(int argc, char **argv) {
  const int nodes = argc > 1 ? atoi(argv[1]) : 1000, asked = argc > 2 ? atoi(argv[2]) : 25;
  const char *const named = getenv("COXSWAIN_BIN"), *const program = named != NULL ? named : "build/coxswain";
  write_files(nodes);
  const pid_t daemon = start_daemon(program);
  measure(program, asked < ROUNDS_MAX ? asked : ROUNDS_MAX);
  kill(daemon, SIGTERM);
  waitpid(daemon, NULL, 0);
  char command[80];
  snprintf(command, sizeof command, "rm -rf %s/coxswain", folder); /* the console's history */
  if (system(command) != 0) fprintf(stderr, "repl_bench: %s stays\n", folder);
  remove_files();
  return 0;
}
