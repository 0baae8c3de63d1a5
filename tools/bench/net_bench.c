/* How fast the workers cancel, and how fast they carry attempts through, on loopback. Prints one line per figure.
 *
 *   net_bench [workers]        default 1                                                                                        */
#include "evil_server.h"
#include "scripted_net.h"

#include <stdlib.h>
#include <string.h>

enum { HANGING = 200, ROUNDS = 20, ATTEMPTS = 1000 };

#define ANSWER "HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{\"status\":\"OK\"}"

static const struct evil_route routes[] = {
    {"/hang", {{0}}},
    {"/0", {{EVIL_SEND, ANSWER, 0, 0}, {EVIL_NEXT, 0, 0, 0}}},
    {"/50", {{EVIL_PAUSE, 0, 0, 50}, {EVIL_SEND, ANSWER, 0, 0}, {EVIL_NEXT, 0, 0, 0}}},
};

static struct scripted net;
static struct evil_server *server;
static int64_t left_us[HANGING], begun_us[HANGING]; /* written by the server's thread, read when it is known to be done */

static int64_t now_us(void) { return cox_clock_mono_us(cox_clock_system()); }

static void note(void *ctx, enum evil_event event, const char *path) {
  (void)ctx;
  const char *const number = strchr(path, '?');
  if (number == NULL) return;
  const int i = atoi(number + 1);
  if (event == EVIL_LEFT && strncmp(path, "/hang", 5) == 0) left_us[i] = now_us();
  if (event == EVIL_REQUEST && strncmp(path, "/0", 2) == 0) begun_us[i] = now_us();
}

static int compare(const void *left, const void *right) {
  const int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
  return (a > b) - (a < b);
}

static void report(const char *what, int64_t *samples, size_t count) {
  qsort(samples, count, sizeof samples[0], compare);
  printf("%-38s p50 %7.2f ms   p99 %7.2f ms   max %7.2f ms\n", what, (double)samples[count / 2] / 1e3,
         (double)samples[count * 99 / 100] / 1e3, (double)samples[count - 1] / 1e3);
}

static struct script *ask(enum script_do what, const char *path, int number) {
  char text[64];
  snprintf(text, sizeof text, "%s?%d", path, number);
  return script_create((struct script_step[]){{.what = what, .text = evil_url(server, text)}, {0}});
}

/* 200 hang; all are cancelled and followed by another at once, as when a phase of the network begins. */
static void bench_cancel(unsigned workers) {
  static int64_t closes[HANGING * ROUNDS], starts[HANGING * ROUNDS], from_first[HANGING * ROUNDS], returns[HANGING * ROUNDS];
  struct script *hanging[HANGING], *next[HANGING];
  for (int round = 0; round < ROUNDS; round++) {
    const size_t requests = evil_server_counts(server).requests;
    for (int i = 0; i < HANGING; i++) {
      hanging[i] = ask(SCRIPT_MUTATE, "/hang", i);
      hanging[i]->worker = (unsigned)i % workers;
      next[i] = ask(SCRIPT_GET, "/0", i);
      next[i]->worker = (unsigned)i % workers;
      hanging[i]->next = next[i];
      scripted_post(&net, hanging[i], 0);
    }
    evil_server_wait_requests(server, requests + HANGING);
    int64_t cancelled_us[HANGING];
    const int64_t first_us = now_us();
    for (int i = 0; i < HANGING; i++) {
      cancelled_us[i] = now_us();
      scripted_cancel(&net, hanging[i]);
    }
    for (int i = 0; i < HANGING; i++) scripted_wait(&net, next[i]);
    for (int i = 0; i < HANGING; i++) {
      const int k = round * HANGING + i;
      closes[k] = left_us[i] - cancelled_us[i];
      starts[k] = begun_us[i] - cancelled_us[i];
      returns[k] = hanging[i]->completed_us - cancelled_us[i];
      from_first[k] = left_us[i] - first_us;
      script_destroy(hanging[i]);
      script_destroy(next[i]);
    }
  }
  report("cancel to close, seen by the server", closes, HANGING * ROUNDS);
  report("cancel to completion", returns, HANGING * ROUNDS);
  report("first cancel to close", from_first, HANGING * ROUNDS);
  report("cancel to the next request", starts, HANGING * ROUNDS);
}

static void bench_throughput(unsigned workers, const char *path) {
  static struct script *scripts[ATTEMPTS];
  const char *const url = evil_url(server, path);
  const struct script_step steps[] = {{.what = SCRIPT_GET, .text = url},
                                      {.what = SCRIPT_MUTATE, .text = url},
                                      {.what = SCRIPT_MUTATE, .text = url, .body = "{\"model\":\"m\"}"},
                                      {0}};
  const int64_t begin_us = now_us();
  for (int i = 0; i < ATTEMPTS; i++) {
    scripts[i] = script_create(steps);
    scripts[i]->worker = (unsigned)i % workers;
    scripted_post(&net, scripts[i], 0);
  }
  size_t failures = 0;
  for (int i = 0; i < ATTEMPTS; i++) {
    scripted_wait(&net, scripts[i]);
    failures += scripts[i]->class_ != COX_CLASS_NONE;
  }
  const int64_t spent_us = now_us() - begin_us;
  printf("%d attempts of GET, POST, POST at %s ms     %7.1f ms, %zu failed\n", ATTEMPTS, path + 1, (double)spent_us / 1e3, failures);
  for (int i = 0; i < ATTEMPTS; i++) script_destroy(scripts[i]);
}

int main(int argc, char **argv) {
  const unsigned workers = argc > 1 ? (unsigned)atoi(argv[1]) : 1;
  server = evil_server_create(&(const struct evil_options){.routes = routes, .route_count = 3, .on_event = note});
  scripted_start(&net, workers);
  bench_cancel(workers);
  for (int i = 0; i < 3; i++) bench_throughput(workers, "/0");
  for (int i = 0; i < 3; i++) bench_throughput(workers, "/50");
  scripted_stop(&net);
  evil_server_destroy(server);
  return 0;
}
