/* Leases over HTTP: 64 kept connections that acquire and release, against an API with its broker in the same process, so that client
 * and server share the processors. Usage: lease_http_bench [NODES] [SECONDS per run]. Prints one JSON object per figure.           */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "api_rig.h"
#include "base/log.h"
#include "nginx.h"
#include "report.h"

enum { CONNECTIONS = 64, RUNS = 5, WAITS_MAX = 1 << 20 };

struct client {
  int fd;
  bool holds;
  char lease[33];
  double sent_us;
  char bytes[4096];
  size_t len;
};

static struct client clients[CONNECTIONS];
static double waits[WAITS_MAX];
static size_t wait_count, pairs;

static void send_next(struct client *client) {
  static const char body[] = "{\"model\":\"m\"}";
  char request[256];
  const int len = client->holds
                      ? snprintf(request, sizeof request, "DELETE /v1/leases/%s HTTP/1.1\r\nHost: x\r\n\r\n", client->lease)
                      : snprintf(request, sizeof request, "POST /v1/leases HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n%s",
                                 sizeof body - 1, body);
  client->sent_us = bench_now_us();
  client->len = 0;
  if (send(client->fd, request, (size_t)len, MSG_NOSIGNAL) != len) abort();
}

/* The answers here end with a line end after their one JSON object. */
static void take_answer(struct client *client) {
  if (wait_count < WAITS_MAX) waits[wait_count++] = bench_now_us() - client->sent_us;
  const char *const id = strstr(client->bytes, "\"lease_id\":\"");
  const bool is_good = strncmp(client->bytes, client->holds ? "HTTP/1.1 200" : "HTTP/1.1 201", 12) == 0;
  if (!is_good || id == NULL) {
    fprintf(stderr, "%s\n", client->bytes);
    exit(1);
  }
  memcpy(client->lease, id + strlen("\"lease_id\":\""), 32);
  pairs += client->holds;
  client->holds = !client->holds;
  send_next(client);
}

static void receive(struct client *client) {
  const ssize_t count = recv(client->fd, client->bytes + client->len, sizeof client->bytes - 1 - client->len, 0);
  if (count <= 0) abort();
  client->len += (size_t)count;
  client->bytes[client->len] = '\0';
  if (client->len > 2 && strcmp(client->bytes + client->len - 2, "}\n") == 0) take_answer(client);
}

static void serve_for(int epoll, double seconds) {
  const double end_us = bench_now_us() + seconds * 1e6;
  struct epoll_event events[CONNECTIONS];
  while (bench_now_us() < end_us) {
    const int count = epoll_wait(epoll, events, CONNECTIONS, 100);
    for (int i = 0; i < count; i++) receive(events[i].data.ptr);
  }
}

static double cpu_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

/* nginx's answers with the same client, as many at a time: requests a second; 0: there is no nginx. */
static double measure_nginx(double seconds) {
  static const char request[] = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 13\r\n\r\n{\"model\":\"m\"}";
  char folder[] = "/tmp/coxswain-nginx-XXXXXX", command[64];
  unsigned port = 0;
  const pid_t nginx = mkdtemp(folder) != NULL ? nginx_start(folder, &port) : -1;
  if (nginx < 0) return 0;
  const struct sockaddr_in where = {.sin_family = AF_INET, .sin_port = htons((in_port_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  for (int i = 0; i < CONNECTIONS; i++) {
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    for (int tries = 0; connect(fd, (const struct sockaddr *)&where, sizeof where) != 0 && tries < 500; tries++) usleep(10000);
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
    if (send(fd, request, sizeof request - 1, MSG_NOSIGNAL) < 0) abort();
    clients[i].fd = fd;
  }
  size_t count = 0;
  const double began_us = bench_now_us();
  while (bench_now_us() < began_us + seconds * 1e6) {
    struct epoll_event events[CONNECTIONS];
    static char bytes[8192];
    const int ready = epoll_wait(epoll, events, CONNECTIONS, 100);
    for (int i = 0; i < ready; i++) { /* an answer is small, and comes as a whole */
      if (recv(events[i].data.fd, bytes, sizeof bytes, 0) <= 0 || send(events[i].data.fd, request, sizeof request - 1, MSG_NOSIGNAL) < 0) abort();
      count++;
    }
  }
  const double per_s = (double)count * 1e6 / (bench_now_us() - began_us);
  for (int i = 0; i < CONNECTIONS; i++) close(clients[i].fd);
  close(epoll);
  kill(nginx, SIGTERM);
  waitpid(nginx, NULL, 0);
  snprintf(command, sizeof command, "rm -r %s", folder);
  if (system(command) != 0) fprintf(stderr, "%s could not be removed\n", folder);
  return per_s;
}

int main(int argc, char **argv) {
  const int nodes = argc > 1 ? atoi(argv[1]) : 1000;
  const double seconds = argc > 2 ? atof(argv[2]) : 1;
  cox_log_setup(COX_LOG_ERROR, false, STDERR_FILENO);
  struct rig *const rig = rig_create(NULL, 0);
  for (int i = 0; i < nodes; i++) {
    char id[16];
    snprintf(id, sizeof id, "n%d", i);
    rig_serve(rig, id, 1 + i, 100);
  }
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  for (int i = 0; i < CONNECTIONS; i++) {
    clients[i].fd = rig_connect(rig);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &clients[i]};
    epoll_ctl(epoll, EPOLL_CTL_ADD, clients[i].fd, &event);
    send_next(&clients[i]);
  }
  double per_s[RUNS], cost_us[RUNS];
  for (int i = 0; i < RUNS; i++) {
    const size_t before = pairs;
    const double began_us = bench_now_us(), began_cpu_us = cpu_us();
    serve_for(epoll, seconds);
    per_s[i] = (double)(pairs - before) * 1e6 / (bench_now_us() - began_us);
    cost_us[i] = (cpu_us() - began_cpu_us) / (double)(pairs - before);
  }
  bench_report("acquire and release over HTTP, 64 connections", per_s, RUNS, "pairs/s");
  bench_report("processor time of such a pair, client and server", cost_us, RUNS, "us");
  bench_report("one of these requests", waits, wait_count, "us");
  for (int i = 0; i < CONNECTIONS; i++) close(clients[i].fd);
  close(epoll);
  rig_destroy(rig);
  const double nginx_per_s = measure_nginx(seconds);
  if (nginx_per_s <= 0) fprintf(stderr, "nginx is not installed: no ratio\n");
  else bench_report_one("nginx, as large a request, a static answer", nginx_per_s, "requests/s");
  if (nginx_per_s > 0) bench_report_one("requests for leases, as a part of nginx", 2 * per_s[RUNS / 2] / nginx_per_s, "times");
  return 0;
}
