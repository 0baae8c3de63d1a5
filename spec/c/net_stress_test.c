/* Thousands of random attempts from two threads, cancelled at random moments, against a machine that does everything wrong. Each
 * comes back exactly once, each fiber is finished exactly once, nothing is left open. Run under the sanitizers.
 *
 * COX_SEED=n repeats a run as far as threads can be repeated.                                                                    */
#include "evil_server.h"
#include "scripted_net.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/rng.h"

enum { POSTERS = 2, ATTEMPTS = 1500, WINDOW = 100 };

static const struct evil_route routes[] = {
    {"/hang", {{0}}},
    {"/half", {{EVIL_SEND, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc", 0, 0}}},
    {"/slow", {{EVIL_PAUSE, 0, 0, 3}, {EVIL_SEND, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 0, 0}, {EVIL_NEXT, 0, 0, 0}}},
    {"/drip", {{EVIL_SEND, "HTTP/1.1 200 OK\r\n\r\n", 0, 0}, {EVIL_DRIP, "x", 5, 1}, {EVIL_CLOSE, 0, 0, 0}}},
    {"/last", {{EVIL_SEND, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 0, 0}, {EVIL_CLOSE, 0, 0, 0}}},
    {"/close", {{EVIL_CLOSE, 0, 0, 0}}},
    {"/reset", {{EVIL_RESET, 0, 0, 0}}},
    {"/garbage", {{EVIL_SEND, "what?\r\n\r\n", 0, 0}, {EVIL_CLOSE, 0, 0, 0}}},
    {"/big",
     {{EVIL_SEND, "HTTP/1.1 200 OK\r\n\r\n", 0, 0}, {EVIL_SEND, "0123456789abcdef0123456789abcdef", 2000, 0}, {EVIL_CLOSE, 0, 0, 0}}},
    {"/fast", {{EVIL_SEND, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 0, 0}, {EVIL_NEXT, 0, 0, 0}}},
};
enum { ROUTES = sizeof routes / sizeof routes[0] };

static struct scripted net;
static struct evil_server *server;
static const char *urls[ROUTES + 2];

struct poster {
  struct cox_thread thread;
  struct cox_rng rng;
  struct script *scripts[ATTEMPTS];
};

static struct poster posters[POSTERS];

static void make_step(struct cox_rng *rng, struct script_step *step) {
  const enum script_do ways[] = {SCRIPT_GET, SCRIPT_GET, SCRIPT_MUTATE, SCRIPT_MUTATE, SCRIPT_POST, SCRIPT_SLEEP};
  step->what = ways[cox_rng_below(rng, 6)];
  step->ms = step->what == SCRIPT_SLEEP ? (int64_t)cox_rng_below(rng, 4) : 1 + (int64_t)cox_rng_below(rng, 20);
  if (step->what == SCRIPT_SLEEP) return;
  step->text = cox_rng_below(rng, 2) ? urls[ROUTES - 1] : urls[cox_rng_below(rng, ROUTES + 2)];
  step->body = cox_rng_below(rng, 2) ? "{\"model\":\"m\"}" : NULL;
  step->response_max = cox_rng_below(rng, 3) == 0 ? 20000 : 0;
}

static void post_one(struct poster *poster, int i) {
  struct script_step steps[SCRIPT_STEPS_MAX] = {{0}};
  const int count = (int)cox_rng_below(&poster->rng, 5);
  for (int k = 0; k < count; k++) make_step(&poster->rng, &steps[k]);
  struct script *const script = script_create(steps);
  poster->scripts[i] = script;
  script->worker = (unsigned)cox_rng_below(&poster->rng, 2);
  const int64_t deadline_us = cox_rng_below(&poster->rng, 4) ? 0 : 1 + (int64_t)cox_rng_below(&poster->rng, 20000);
  scripted_post(&net, script, deadline_us);
}

/* Not an assertion of the test's own thread: that one would look elsewhere. */
static void await(struct script *script) {
  const int64_t end_us = cox_clock_mono_us(cox_clock_system()) + 5000000;
  while (atomic_load(&script->completions) == 0) {
    nanosleep(&(const struct timespec){.tv_nsec = 200000}, NULL);
    if (cox_clock_mono_us(cox_clock_system()) < end_us) continue;
    const struct script_step *const step = &script->steps[script->at];
    fprintf(stderr, "attempt %llu did not come back: %u starts, %u resumes, step %zu: %d %s, %lld ms\n", (unsigned long long)script->number,
            atomic_load(&script->starts), atomic_load(&script->resumes), script->at, (int)step->what, step->text != NULL ? step->text : "",
            (long long)step->ms);
    abort();
  }
}

static void post_and_cancel(void *arg) {
  struct poster *const poster = arg;
  for (int i = 0; i < ATTEMPTS; i++) {
    post_one(poster, i);
    if (cox_rng_below(&poster->rng, 2)) {
      const int ago = (int)cox_rng_below(&poster->rng, 30);
      scripted_cancel(&net, poster->scripts[i >= ago ? i - ago : i]);
    }
    if (i >= WINDOW) await(poster->scripts[i - WINDOW]);
  }
}

static void random_attempts_come_back_exactly_once_whatever_happens(void **state) {
  (void)state;
  const char *const given = getenv("COX_SEED");
  const uint64_t seed = given != NULL ? strtoull(given, NULL, 10) : cox_rng_system_seed();
  printf("seed %llu (COX_SEED repeats it)\n", (unsigned long long)seed);
  const size_t files_before = open_files();
  server = evil_server_create(&(const struct evil_options){.routes = routes, .route_count = ROUTES});
  char refused[64], tls[64];
  snprintf(refused, sizeof refused, "http://127.0.0.1:%d/x", evil_closed_port());
  snprintf(tls, sizeof tls, "https://127.0.0.1:%d/x", evil_server_port(server));
  for (size_t i = 0; i < ROUTES; i++) urls[i] = evil_url(server, routes[i].path);
  urls[ROUTES] = refused;
  urls[ROUTES + 1] = tls;
  scripted_start(&net, 2);
  for (int i = 0; i < POSTERS; i++) {
    cox_rng_init(&posters[i].rng, seed + (uint64_t)i);
    assert_int_equal(cox_thread_start(&posters[i].thread, "poster", post_and_cancel, &posters[i], NULL), 0);
  }
  for (int i = 0; i < POSTERS; i++) cox_thread_join(&posters[i].thread);
  scripted_wait_completions(&net, POSTERS * ATTEMPTS);
  scripted_stop(&net);
  evil_server_wait_open(server, 0);
  size_t by_class[COX_CLASS_COUNT] = {0};
  for (int i = 0; i < POSTERS * ATTEMPTS; i++) {
    struct script *const script = posters[i / ATTEMPTS].scripts[i % ATTEMPTS];
    assert_int_equal(atomic_load(&script->completions), 1);
    assert_in_range(atomic_load(&script->starts), 0, 1);
    assert_int_equal(atomic_load(&script->finishes), atomic_load(&script->starts));
    by_class[script->class_]++;
    script_destroy(script);
  }
  for (int i = 0; i < COX_CLASS_COUNT; i++) {
    if (by_class[i] > 0) printf("  %s %zu", cox_class_name((enum cox_class)i), by_class[i]);
  }
  printf("\n");
  assert_true(by_class[COX_CLASS_NONE] > 0 && by_class[COX_CLASS_CANCELLED] > 0);
  assert_int_equal(by_class[COX_CLASS_SCRIPT], 0);
  evil_server_destroy(server);
  wait_open_files(files_before);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(random_attempts_come_back_exactly_once_whatever_happens),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
