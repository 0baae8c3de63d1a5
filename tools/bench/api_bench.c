/* What the admin API costs, seen from a client of its own: 64 keep-alive connections on one epoll loop, beside nginx with a
 * static answer in the same run where nginx is installed; the list of a large fleet, with the commands that run meanwhile; and one client
 * beside a thousand silent ones and broken requests.
 * Usage: api_bench [NODES] [SECONDS] [ROUNDS], from the root of the source tree. Prints one JSON object per figure.           */
#include <arpa/inet.h>
#include <dirent.h>
#include <jansson.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/api.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "script/script.h"
#include "nginx.h"
#include "report.h"

enum { CONNECTIONS = 64, BUFFER = 65536, ROUNDS_MAX = 64, LISTS = 40, COMMANDS_MAX = 200000 };

static double now_us(void) { return (double)cox_clock_mono_us(cox_clock_system()); }

static void die(const char *what) {
  perror(what);
  exit(1);
}

static void print(const char *name, double *values, size_t count, const char *unit) { bench_report(name, values, count, unit); }

/* Processor time that a process (its threads, and its children one level down) has had, in microseconds: it says what work
 * costs, also on a machine that is busy with other things.                                                                  */
static double cpu_us(pid_t process) {
  char path[300], children[4096] = "";
  double sum = 0;
  snprintf(path, sizeof path, "/proc/%d/task", (int)process);
  DIR *const threads = opendir(path);
  for (const struct dirent *thread; threads != NULL && (thread = readdir(threads)) != NULL;) {
    unsigned long long ns = 0;
    snprintf(path, sizeof path, "/proc/%d/task/%.16s/schedstat", (int)process, thread->d_name);
    FILE *const file = thread->d_name[0] != '.' ? fopen(path, "r") : NULL;
    if (file != NULL && fscanf(file, "%llu", &ns) == 1) sum += (double)ns / 1000;
    if (file != NULL) fclose(file);
  }
  if (threads != NULL) closedir(threads);
  snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)process, (int)process);
  FILE *const file = fopen(path, "r");
  if (file != NULL && fgets(children, sizeof children, file) == NULL) children[0] = '\0';
  if (file != NULL) fclose(file);
  for (char *at = children, *end; strtol(at, &end, 10) > 0 && end != at; at = end) sum += cpu_us((pid_t)strtol(at, NULL, 10));
  return sum;
}

/* ---- the server: the real broker, scripts and API in a process of its own; attempts succeed at once ---- */

static struct cox_broker *broker;

static void start(void *ctx, struct cox_attempt *attempt) {
  (void)ctx;
  cox_broker_complete(broker, attempt);
}

static void cancel(void *ctx, unsigned worker, uint64_t attempt) {
  (void)ctx;
  (void)worker;
  (void)attempt;
}

static void run(const char *name, json_t *args) {
  struct cox_answer answer;
  struct cox_err err;
  if (cox_broker_call(broker, name, args, 60000, &answer, &err) != 0 || answer.outcome == COX_ANSWER_ERROR) {
    fprintf(stderr, "%s failed: %s %s\n", name, err.text, answer.err.text);
    exit(1);
  }
  cox_answer_fini(&answer);
  json_decref(args);
}

static void make_fleet(int count) {
  for (int i = 0; i < count; i++) {
    run("register_node", json_pack("{s{so, ss, si, si, si, s{s{s[ss]}}}}", "node", "id", json_sprintf("node%d", i), "host", "10.0.0.1",
                                   "inference_port", 1 + i, "poc_port", 20001 + i, "max_concurrent", 100, "models", "Qwen/QwQ-32B", "args",
                                   "--quantization", "fp8"));
  }
  run("new_block", json_pack("{si, ss, s{si, si}, s{si, si, si, si}}", "height", 199, "hash", "AB", "epoch", "index", 1,
                             "poc_start_block_height", 100, "params", "epoch_length", 100, "poc_stage_duration", 20, "poc_validation_delay", 2,
                             "poc_validation_duration", 10));
  struct cox_stats stats;
  do cox_broker_stats(broker, &stats); while (stats.converged < (size_t)count && usleep(10000) == 0);
}

/* Writes its port when the fleet stands; lives until it is killed. */
static void serve(int nodes, int out) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  cox_log_setup(COX_LOG_ERROR, false, STDERR_FILENO);
  struct cox_faults faults = {0};
  const struct cox_script_options scripts = {.scripts_dir = "scripts", .library_dir = "lua", .clock = cox_clock_system(),
                                             .command_budget_s = 30};
  struct cox_script *const script = cox_script_create(&scripts, &faults);
  if (script == NULL) {
    fprintf(stderr, "%s\n", faults.count > 0 ? faults.list[0].text : "no scripts");
    exit(1);
  }
  const struct cox_transport transport = {.workers = 2, .start = start, .cancel = cancel};
  const struct cox_broker_options options = {.clock = cox_clock_system(), .seed = 1, .policy = cox_script_policy(script),
                                             .transport = &transport, .callback_url = "http://10.0.0.5:9100", .probe_interval_s = -1};
  struct cox_err err;
  broker = cox_broker_create(&options, &err);
  if (broker == NULL || cox_broker_start(broker, &err) != 0) exit(1);
  make_fleet(nodes);
  const struct cox_api_options api = {.listen = "127.0.0.1:0", .broker = broker, .command_s = 60};
  struct cox_api *const server = cox_api_create(&api, &err);
  const unsigned port = server != NULL ? cox_api_port(server) : 0;
  if (write(out, &port, sizeof port) != sizeof port) exit(1);
  for (;;) pause();
}

static pid_t start_server(int nodes, unsigned *port) {
  int ends[2];
  if (pipe(ends) != 0) die("pipe");
  const pid_t child = fork();
  if (child == 0) serve(nodes, ends[1]);
  close(ends[1]);
  if (read(ends[0], port, sizeof *port) != sizeof *port || *port == 0) {
    fprintf(stderr, "the server did not start\n");
    exit(1);
  }
  close(ends[0]);
  return child;
}

/* ---- the client ---- */

struct connection {
  int fd;
  size_t have;
  double sent_us;
  char bytes[BUFFER];
};

static int dial(unsigned port) {
  const struct sockaddr_in where = {.sin_family = AF_INET, .sin_port = htons((in_port_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  const int on = 1;
  for (int i = 0; i < 500; i++) { /* nginx needs a moment */
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (const struct sockaddr *)&where, sizeof where) == 0) {
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      return fd;
    }
    close(fd);
    usleep(10000);
  }
  die("connect");
  return -1;
}

static void ask(struct connection *connection, const char *request) {
  connection->have = 0;
  connection->sent_us = now_us();
  if (send(connection->fd, request, strlen(request), MSG_NOSIGNAL) != (ssize_t)strlen(request)) die("send");
}

/* Is the whole of a 200 there? */
static bool is_whole(const struct connection *connection) {
  const char *const end = memmem(connection->bytes, connection->have, "\r\n\r\n", 4);
  if (end == NULL) return false;
  if (strncmp(connection->bytes, "HTTP/1.1 200", 12) != 0) {
    fprintf(stderr, "%.*s\n", (int)connection->have, connection->bytes);
    exit(1);
  }
  const char *const length = strcasestr(connection->bytes, "\r\nContent-Length: ");
  return length != NULL && connection->have >= (size_t)(end - connection->bytes) + 4 + strtoul(length + 18, NULL, 10);
}

/* Requests answered per second; `cpu` becomes the server's processor time for one of them. */
static double load(pid_t server, unsigned port, const char *request, double seconds, double *cpu) {
  static struct connection connections[CONNECTIONS];
  const int set = epoll_create1(0);
  for (int i = 0; i < CONNECTIONS; i++) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &connections[i]};
    connections[i].fd = dial(port);
    epoll_ctl(set, EPOLL_CTL_ADD, connections[i].fd, &event);
    ask(&connections[i], request);
  }
  const double began = now_us(), cpu_before = cpu_us(server);
  size_t answers = 0;
  while (now_us() - began < seconds * 1e6) {
    struct epoll_event events[CONNECTIONS];
    const int count = epoll_wait(set, events, CONNECTIONS, 1000);
    for (int i = 0; i < count; i++) {
      struct connection *const connection = events[i].data.ptr;
      const ssize_t got = recv(connection->fd, connection->bytes + connection->have, BUFFER - 1 - connection->have, 0);
      if (got <= 0) die("recv");
      connection->have += (size_t)got;
      connection->bytes[connection->have] = '\0';
      if (!is_whole(connection)) continue;
      answers++;
      ask(connection, request);
    }
  }
  const double took_us = now_us() - began;
  *cpu = (cpu_us(server) - cpu_before) / (double)answers;
  for (int i = 0; i < CONNECTIONS; i++) close(connections[i].fd);
  close(set);
  return (double)answers / took_us * 1e6;
}

/* One request on an open connection, thrown away as it comes; bytes of the body, and how long it took. */
static size_t fetch(int fd, const char *request, double *took_us) {
  static _Thread_local char bytes[1 << 20];
  size_t have = 0, length = 0, head = 0;
  const double began = now_us();
  if (send(fd, request, strlen(request), MSG_NOSIGNAL) != (ssize_t)strlen(request)) die("send");
  while (head == 0 || have < head + length) {
    const size_t from = head == 0 ? have : 0;
    const ssize_t got = recv(fd, bytes + from, sizeof bytes - 1 - from, 0);
    if (got <= 0) die("recv");
    have += (size_t)got;
    if (head > 0) continue;
    bytes[have] = '\0';
    const char *const end = strstr(bytes, "\r\n\r\n"), *const field = strcasestr(bytes, "\r\nContent-Length: ");
    if (end == NULL) continue;
    if (strncmp(bytes, "HTTP/1.1 200", 12) != 0) die("the answer is not 200");
    head = (size_t)(end - bytes) + 4;
    length = strtoul(field + 18, NULL, 10);
  }
  *took_us = now_us() - began;
  return length;
}

/* ---- the figures ---- */

static const char get_node[] = "GET /admin/v1/nodes/node0 HTTP/1.1\r\nHost: x\r\n\r\n";
static const char post_nothing[] = "POST /v1/commands/stop_training HTTP/1.1\r\nHost: x\r\nContent-Length: 16\r\n\r\n{\"task_id\":\"no\"}";

struct servers {
  pid_t ours, nginx; /* nginx -1: there is none */
  unsigned port, nginx_port;
};

static void compare(const char *name, const char *request, const struct servers *servers, double seconds, int rounds) {
  double ours[ROUNDS_MAX], theirs[ROUNDS_MAX], ratios[ROUNDS_MAX], cpu[ROUNDS_MAX], their_cpu[ROUNDS_MAX], cpu_ratios[ROUNDS_MAX];
  char text[128];
  for (int i = 0; i < rounds; i++) { /* in turns: what else the machine does hits both */
    ours[i] = load(servers->ours, servers->port, request, seconds, &cpu[i]);
    if (servers->nginx < 0) continue;
    theirs[i] = load(servers->nginx, servers->nginx_port, request, seconds, &their_cpu[i]);
    ratios[i] = ours[i] / theirs[i];
    cpu_ratios[i] = their_cpu[i] / cpu[i];
  }
  print(name, ours, (size_t)rounds, "requests/s");
  snprintf(text, sizeof text, "%s, processor time of one", name);
  print(text, cpu, (size_t)rounds, "us");
  if (servers->nginx < 0) return;
  snprintf(text, sizeof text, "%s, by nginx, a static answer", name);
  print(text, theirs, (size_t)rounds, "requests/s");
  snprintf(text, sizeof text, "%s, by nginx, processor time of one", name);
  print(text, their_cpu, (size_t)rounds, "us");
  snprintf(text, sizeof text, "%s, as a part of nginx", name);
  print(text, ratios, (size_t)rounds, "ratio");
  snprintf(text, sizeof text, "%s, as a part of nginx, by processor time", name);
  print(text, cpu_ratios, (size_t)rounds, "ratio");
}

struct commander {
  struct cox_thread thread;
  unsigned port;
  atomic_bool is_over;
  double *took_ms;
  size_t count;
};

/* A command that looks at one node, every two milliseconds. */
static void command(void *arg) {
  static const char request[] = "POST /v1/commands/reconcile HTTP/1.1\r\nHost: x\r\nContent-Length: 19\r\n\r\n{\"node_id\":\"node1\"}";
  struct commander *const commander = arg;
  const int fd = dial(commander->port);
  while (!atomic_load(&commander->is_over) && commander->count < COMMANDS_MAX) {
    double took_us;
    fetch(fd, request, &took_us);
    commander->took_ms[commander->count++] = took_us / 1000;
    usleep(2000);
  }
  close(fd);
}

static void measure_list(pid_t server, unsigned port, int nodes) {
  static const char request[] = "GET /admin/v1/nodes HTTP/1.1\r\nHost: x\r\n\r\n";
  double lists[LISTS], alone_us;
  char text[128];
  const int fd = dial(port);
  const size_t bytes = fetch(fd, request, &alone_us);
  for (int with = 0; with < 2; with++) {
    struct commander commander = {.port = port, .took_ms = calloc(COMMANDS_MAX, sizeof(double))};
    if (cox_thread_start(&commander.thread, "commander", command, &commander, NULL) != 0) die("thread");
    double cpu = cpu_us(server);
    for (int i = 0; i < LISTS; i++) {
      if (with == 0) usleep(50000);
      else fetch(fd, request, &lists[i]);
      lists[i] /= 1000;
    }
    cpu = (cpu_us(server) - cpu) / LISTS / 1000;
    atomic_store(&commander.is_over, true);
    cox_thread_join(&commander.thread);
    if (with == 1) {
      snprintf(text, sizeof text, "GET /admin/v1/nodes, %d nodes, %.1f MB", nodes, (double)bytes / 1e6);
      print(text, lists, LISTS, "ms");
      snprintf(text, sizeof text, "GET /admin/v1/nodes, %d nodes, processor time", nodes);
      print(text, &cpu, 1, "ms");
    }
    print(with == 0 ? "a command, nothing else going on" : "a command, lists read one after the other", commander.took_ms, commander.count, "ms");
    free(commander.took_ms);
  }
  close(fd);
}

/* ---- who does harm ---- */

enum { SILENT = 1000, LOOKS = 400 };

struct harm {
  struct cox_thread thread;
  unsigned port;
  atomic_bool is_over;
};

/* One broken request after the other, each on a connection of its own, read to its answer or not at all. */
static void do_harm(void *arg) {
  static const char *const requests[] = {"GET /livez\r\n\r\n", "GET /livez HTTP/9.9\r\nHost: x\r\n\r\n", "\xff\xff\xff\xff\r\n\r\n",
                                         "POST /v1/commands/probe HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n",
                                         "POST /admin/v1/nodes HTTP/1.1\r\nHost: x\r\nContent-Length: 16\r\n\r\n[[[[[[[[[[[[[[[[",
                                         "GET /no/such/route HTTP/1.1\r\nHost: x\r\n\r\n"};
  struct harm *const harm = arg;
  char bytes[4096];
  for (size_t i = 0; !atomic_load(&harm->is_over); i++) {
    const char *const request = requests[i % (sizeof requests / sizeof *requests)];
    const struct timeval patience = {.tv_usec = 100000};
    const int fd = dial(harm->port);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (send(fd, request, strlen(request), MSG_NOSIGNAL) > 0 && i % 2 == 0 && recv(fd, bytes, sizeof bytes, 0) < 0) usleep(1);
    close(fd);
  }
}

static void look(const char *figure, unsigned port) {
  static const char request[] = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";
  double took_ms[LOOKS];
  const int fd = dial(port);
  for (int i = 0; i < LOOKS; i++) {
    fetch(fd, request, &took_ms[i]);
    took_ms[i] /= 1000;
    usleep(2000);
  }
  close(fd);
  print(figure, took_ms, LOOKS, "ms");
}

/* Half of the silent ones have said the beginning of a request. */
static void measure_harm(unsigned port) {
  static int silent[SILENT];
  struct harm harm = {.port = port};
  look("GET /livez, nothing else going on", port);
  for (int i = 0; i < SILENT; i++) {
    silent[i] = dial(port);
    if (i % 2 == 0 && send(silent[i], "GET /livez HTTP/1.1\r\nHo", 23, MSG_NOSIGNAL) < 0) die("send");
  }
  if (cox_thread_start(&harm.thread, "harm", do_harm, &harm, NULL) != 0) die("thread");
  look("GET /livez, beside 1 000 silent connections and broken requests", port);
  atomic_store(&harm.is_over, true);
  cox_thread_join(&harm.thread);
  for (int i = 0; i < SILENT; i++) close(silent[i]);
}

static void end(pid_t child, int signal) {
  if (child <= 0) return;
  kill(child, signal);
  waitpid(child, NULL, 0);
}

int main(int argc, char **argv) {
  const int nodes = argc > 1 ? atoi(argv[1]) : 10000;
  const double seconds = argc > 2 ? atof(argv[2]) : 2;
  const int rounds = argc > 3 && atoi(argv[3]) < ROUNDS_MAX ? atoi(argv[3]) : 5;
  char folder[] = "/tmp/cox_bench_XXXXXX", remove[64];
  struct rlimit files;
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) { /* as the daemon does */
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }
  if (mkdtemp(folder) == NULL) die("mkdtemp");
  struct servers servers = {0};
  servers.ours = start_server(4, &servers.port);
  servers.nginx = nginx_start(folder, &servers.nginx_port);
  if (servers.nginx < 0) fprintf(stderr, "nginx is not installed: no ratios\n");
  compare("GET /admin/v1/nodes/:id", get_node, &servers, seconds, rounds);
  compare("POST of a command that changes nothing", post_nothing, &servers, seconds, rounds);
  measure_harm(servers.port);
  end(servers.nginx, SIGTERM);
  end(servers.ours, SIGKILL);
  servers.ours = start_server(nodes, &servers.port);
  measure_list(servers.ours, servers.port, nodes);
  end(servers.ours, SIGKILL);
  snprintf(remove, sizeof remove, "rm -r %s", folder);
  return system(remove);
}
