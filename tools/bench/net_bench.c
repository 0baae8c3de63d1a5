/* How fast the workers cancel, and how fast they carry attempts through, on loopback. Prints one JSON object per figure.
 *
 *   net_bench [workers]        default 1                                                                                        */
#include "evil_server.h"
#include "scripted_net.h"

#include <stdlib.h>
#include <string.h>

#include "report.h"

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

static struct script *ask(enum script_do what, const char *path, int number) {
  char text[64];
  snprintf(text, sizeof text, "%s?%d", path, number);
  return script_create((struct script_step[]){{.what = what, .text = evil_url(server, text)}, {0}});
}

/* 200 hang; all are cancelled and followed by another at once, as when a phase of the network begins. */
static void bench_cancel(unsigned workers) {
  static double closes[HANGING * ROUNDS], starts[HANGING * ROUNDS], from_first[HANGING * ROUNDS], returns[HANGING * ROUNDS]; /* ms */
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
      closes[k] = (double)(left_us[i] - cancelled_us[i]) / 1e3;
      starts[k] = (double)(begun_us[i] - cancelled_us[i]) / 1e3;
      returns[k] = (double)(hanging[i]->completed_us - cancelled_us[i]) / 1e3;
      from_first[k] = (double)(left_us[i] - first_us) / 1e3;
      script_destroy(hanging[i]);
      script_destroy(next[i]);
    }
  }
  bench_report("200 hanging: cancel to close, seen by the server", closes, HANGING * ROUNDS, "ms");
  bench_report("200 hanging: cancel to completion", returns, HANGING * ROUNDS, "ms");
  bench_report("200 hanging: first cancel to close", from_first, HANGING * ROUNDS, "ms");
  bench_report("200 hanging: cancel to the next request", starts, HANGING * ROUNDS, "ms");
}

/* Milliseconds for all of them. */
static double bench_throughput(unsigned workers, const char *path) {
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
  if (failures > 0) fprintf(stderr, "net_bench: %zu attempts failed\n", failures);
  for (int i = 0; i < ATTEMPTS; i++) script_destroy(scripts[i]);
  return (double)spent_us / 1e3;
}

int main(int argc, char **argv) {
  const unsigned workers = argc > 1 ? (unsigned)atoi(argv[1]) : 1;
  server = evil_server_create(&(const struct evil_options){.routes = routes, .route_count = 3, .on_event = note});
  scripted_start(&net, workers);
  bench_cancel(workers);
  double quick[5], slow[5];
  for (int i = 0; i < 5; i++) {
    quick[i] = bench_throughput(workers, "/0");
    slow[i] = bench_throughput(workers, "/50");
  }
  bench_report("1000 attempts of GET, POST, POST at 0 ms", quick, 5, "ms");
  bench_report("1000 attempts of GET, POST, POST at 50 ms", slow, 5, "ms");
  scripted_stop(&net);
  evil_server_destroy(server);
  return 0;
}
