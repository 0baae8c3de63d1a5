/* Leases are linearizable: what clients of the HTTP server saw, killed and paused at any moment, could have happened one after the
 * other. First the judge is judged: histories that are right by their making, and planted bad ones. SPEC_SEED overrides the seed.  */
#include "api_rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/rng.h"
#include "lease_history.h"

enum { MS = 1000, S = 1000000, OPS_MAX = 4096 };

static const struct lease_rules small = {.nodes = 2, .capacity = {1, 2}, .late_us = 500 * MS};

/* ---- histories that are right by their making ---- */

struct made {
  struct lease_op ops[OPS_MAX];
  size_t count;
  unsigned leases;
};

struct maker {
  struct lease_op next; /* of the client */
  int64_t effect_us;
  int holds;            /* number of its lease, LEASE_NONE */
};

struct truth {
  int node[OPS_MAX];
  int64_t ends_us[OPS_MAX];
  int load[LEASE_NODES_MAX];
};

static int64_t draw(struct cox_rng *rng, int64_t most) { return (int64_t)cox_rng_below(rng, (uint64_t)most); }

static void end_overdue(struct truth *truth, unsigned leases, int64_t now_us) {
  for (unsigned i = 0; i < leases; i++) {
    if (truth->node[i] == LEASE_NONE || truth->ends_us[i] > now_us) continue;
    truth->load[truth->node[i]]--;
    truth->node[i] = LEASE_NONE;
  }
}

static void take_effect(struct truth *truth, struct lease_op *op, int64_t now_us, struct cox_rng *rng) {
  int *const node = &truth->node[op->lease];
  const int64_t ends_us = now_us + op->ttl_us + draw(rng, small.late_us / 2);
  if (op->call == LEASE_ACQUIRE) {
    const int first = (int)draw(rng, small.nodes);
    op->answer = LEASE_BUSY;
    for (int i = 0; i < small.nodes && op->answer == LEASE_BUSY; i++) {
      const int chosen = (first + i) % small.nodes;
      if (truth->load[chosen] >= small.capacity[chosen]) continue;
      truth->load[chosen]++;
      op->node = *node = chosen;
      truth->ends_us[op->lease] = ends_us;
      op->answer = LEASE_OK;
    }
    return;
  }
  op->answer = *node == LEASE_NONE ? LEASE_GONE : LEASE_OK;
  if (op->answer == LEASE_GONE) return;
  if (op->call == LEASE_RENEW) {
    truth->ends_us[op->lease] = ends_us;
  } else {
    truth->load[*node]--;
    *node = LEASE_NONE;
  }
}

static void plan(struct made *made, struct maker *maker, int64_t from_us, struct cox_rng *rng) {
  maker->next = (struct lease_op){.call = LEASE_ACQUIRE, .from_us = from_us + draw(rng, 20 * MS), .ttl_us = 10 * MS + draw(rng, 400 * MS)};
  if (maker->holds != LEASE_NONE && draw(rng, 8) > 0) {
    maker->next.call = draw(rng, 3) == 0 ? LEASE_RENEW : LEASE_RELEASE;
    maker->next.lease = (unsigned)maker->holds;
  } else {
    maker->next.lease = made->leases++;
  }
  maker->effect_us = maker->next.from_us + draw(rng, 30 * MS);
  maker->next.to_us = maker->effect_us + draw(rng, 30 * MS);
}

/* Returns when all that was leased has ended. `has_deaths`: some clients die before they hear their answer. */
static int64_t make(struct made *made, size_t count, int64_t begin_us, bool has_deaths, struct cox_rng *rng) {
  enum { CLIENTS = 5 };
  static struct truth truth;
  struct maker makers[CLIENTS];
  int64_t last_us = begin_us;
  memset(&truth, 0, sizeof truth);
  for (int i = 0; i < OPS_MAX; i++) truth.node[i] = LEASE_NONE;
  for (int i = 0; i < CLIENTS; i++) {
    makers[i].holds = LEASE_NONE;
    plan(made, &makers[i], begin_us, rng);
  }
  for (size_t n = 0; n < count; n++) {
    struct maker *maker = makers;
    for (int i = 1; i < CLIENTS; i++) maker = makers[i].effect_us < maker->effect_us ? &makers[i] : maker;
    struct lease_op *const op = &made->ops[made->count++];
    *op = maker->next;
    end_overdue(&truth, made->leases, maker->effect_us);
    take_effect(&truth, op, maker->effect_us, rng);
    if (op->call == LEASE_ACQUIRE) maker->holds = op->answer == LEASE_OK ? (int)op->lease : LEASE_NONE;
    if (op->to_us > last_us) last_us = op->to_us;
    const int64_t free_us = op->to_us;
    if (draw(rng, 12) == 0 && has_deaths) {
      op->answer = LEASE_OPEN;
      op->node = LEASE_NONE;
      maker->holds = LEASE_NONE;
    }
    plan(made, maker, free_us, rng);
  }
  return last_us + 2 * S;
}

static uint64_t seed(void) {
  const char *const text = getenv("SPEC_SEED");
  return text != NULL ? strtoull(text, NULL, 10) : 20261125;
}

static void a_history_that_really_was_is_possible(void **state) {
  (void)state;
  static struct made made;
  struct cox_rng rng;
  cox_rng_init(&rng, seed());
  for (int i = 0; i < 60; i++) {
    made.count = made.leases = 0;
    make(&made, 20 + (size_t)i * 5, 1 * S, true, &rng);
    if (!lease_history_is_possible(&small, made.ops, made.count)) fail_msg("history %d of seed %llu", i, (unsigned long long)seed());
  }
}

/* ---- planted bad histories ---- */

struct story {
  struct made *made;
  int64_t now_us;
  unsigned first; /* number of its first lease */
};

static void tell(struct story *story, enum lease_call call, unsigned lease, enum lease_answer answer, int node) {
  story->made->ops[story->made->count++] = (struct lease_op){.call = call, .answer = answer, .from_us = story->now_us, .to_us = story->now_us + 10 * MS,
                                                             .lease = story->first + lease, .node = node, .ttl_us = 1 * S};
  if (story->first + lease >= story->made->leases) story->made->leases = story->first + lease + 1;
  story->now_us += 20 * MS;
}

static void take(struct story *story, unsigned lease, int node) { tell(story, LEASE_ACQUIRE, lease, LEASE_OK, node); }

static void fill(struct story *story) {
  take(story, 0, 0);
  take(story, 1, 1);
  take(story, 2, 1);
}

/* They overlap with the one told last. */
static void overlap(struct story *story) { story->now_us -= 20 * MS; }

static void given_twice(struct story *story) { take(story, 0, 0), take(story, 1, 0); }
static void given_above_its_limit(struct story *story) { take(story, 0, 1), take(story, 1, 1), take(story, 2, 1); }
static void given_twice_at_the_same_time(struct story *story) { take(story, 0, 0), overlap(story), take(story, 1, 0); }
static void busy_though_all_is_free(struct story *story) { tell(story, LEASE_ACQUIRE, 0, LEASE_BUSY, 0); }
static void busy_though_one_is_free(struct story *story) { take(story, 0, 0), take(story, 1, 1), tell(story, LEASE_ACQUIRE, 2, LEASE_BUSY, 0); }
static void busy_after_a_release(struct story *story) {
  fill(story);
  tell(story, LEASE_RELEASE, 1, LEASE_OK, 0);
  tell(story, LEASE_ACQUIRE, 3, LEASE_BUSY, 0);
}
static void released_twice(struct story *story) { take(story, 0, 0), tell(story, LEASE_RELEASE, 0, LEASE_OK, 0), tell(story, LEASE_RELEASE, 0, LEASE_OK, 0); }
static void gone_though_it_lives(struct story *story) { take(story, 0, 0), tell(story, LEASE_RELEASE, 0, LEASE_GONE, 0); }
static void renewed_after_its_release(struct story *story) {
  take(story, 0, 0);
  tell(story, LEASE_RELEASE, 0, LEASE_OK, 0);
  tell(story, LEASE_RENEW, 0, LEASE_OK, 0);
}
static void given_before_the_time_is_over(struct story *story) { take(story, 0, 0), story->now_us += 500 * MS, take(story, 1, 0); }
static void gone_before_the_time_is_over(struct story *story) { take(story, 0, 0), story->now_us += 500 * MS, tell(story, LEASE_RENEW, 0, LEASE_GONE, 0); }
static void busy_after_the_time_is_over(struct story *story) {
  fill(story);
  story->now_us += 1 * S + small.late_us;
  tell(story, LEASE_ACQUIRE, 3, LEASE_BUSY, 0);
}
static void given_though_it_was_renewed(struct story *story) {
  take(story, 0, 0);
  story->now_us += 800 * MS;
  tell(story, LEASE_RENEW, 0, LEASE_OK, 0);
  story->now_us += 500 * MS;
  take(story, 1, 0);
}
static void a_node_that_is_not_there(struct story *story) { take(story, 0, 2); }
static void released_without_being_given(struct story *story) { tell(story, LEASE_RELEASE, 0, LEASE_OK, 0); }
static void the_dead_hold_too_little(struct story *story) {
  take(story, 0, 0);
  tell(story, LEASE_ACQUIRE, 1, LEASE_OPEN, LEASE_NONE);
  tell(story, LEASE_ACQUIRE, 2, LEASE_BUSY, 0);
}
static void busy_and_then_free_in_the_wrong_order(struct story *story) {
  fill(story);
  tell(story, LEASE_RELEASE, 0, LEASE_OK, 0);
  tell(story, LEASE_ACQUIRE, 3, LEASE_BUSY, 0);
  overlap(story);
  tell(story, LEASE_RELEASE, 1, LEASE_OK, 0);
}

typedef void story_fn(struct story *story);

static story_fn *const bad[] = {given_twice, given_above_its_limit, given_twice_at_the_same_time, busy_though_all_is_free,
                                busy_though_one_is_free, busy_after_a_release, released_twice, gone_though_it_lives,
                                renewed_after_its_release, given_before_the_time_is_over, gone_before_the_time_is_over,
                                busy_after_the_time_is_over, given_though_it_was_renewed, a_node_that_is_not_there,
                                released_without_being_given, the_dead_hold_too_little, busy_and_then_free_in_the_wrong_order};

enum { BAD = sizeof bad / sizeof *bad, EACH = 3 };

/* Each stands alone, behind a good history, or before one. */
static void planted_bad_histories_are_impossible(void **state) {
  (void)state;
  static struct made made;
  struct cox_rng rng;
  int refused = 0;
  cox_rng_init(&rng, seed() + 1);
  for (int kind = 0; kind < BAD; kind++) {
    for (int place = 0; place < EACH; place++) {
      made.count = made.leases = 0;
      struct story story = {.made = &made, .now_us = 1 * S};
      if (place == 1) story.now_us = make(&made, 80, 1 * S, false, &rng); /* the dead could hold what the story is about */
      story.first = made.leases;
      bad[kind](&story);
      if (place == 2) make(&made, 80, story.now_us + 5 * S, true, &rng);
      if (lease_history_is_possible(&small, made.ops, made.count)) fail_msg("bad history %d at place %d was believed", kind, place);
      refused++;
    }
  }
  assert_true(refused >= 50);
}

/* ---- what looks bad and is not ---- */

static void given_while_it_is_released(struct story *story) {
  take(story, 0, 0);
  tell(story, LEASE_RELEASE, 0, LEASE_OK, 0);
  overlap(story);
  take(story, 1, 0);
}
static void the_dead_hold_the_rest(struct story *story) {
  take(story, 0, 0);
  take(story, 1, 1);
  tell(story, LEASE_ACQUIRE, 2, LEASE_OPEN, LEASE_NONE);
  tell(story, LEASE_ACQUIRE, 3, LEASE_BUSY, 0);
  story->now_us += 2 * S;
  tell(story, LEASE_ACQUIRE, 4, LEASE_OK, 1);
}
static void the_dead_released_it(struct story *story) { take(story, 0, 0), tell(story, LEASE_RELEASE, 0, LEASE_OPEN, 0), take(story, 1, 0); }
static void it_lives_a_little_longer(struct story *story) {
  fill(story);
  story->now_us += 1 * S;
  tell(story, LEASE_RENEW, 0, LEASE_OK, 0);
}
static void given_when_the_time_is_over(struct story *story) { take(story, 0, 0), story->now_us += 1 * S, take(story, 1, 0); }

static void a_surprising_history_may_be_possible(void **state) {
  (void)state;
  static story_fn *const good[] = {given_while_it_is_released, the_dead_hold_the_rest, the_dead_released_it, it_lives_a_little_longer,
                                   given_when_the_time_is_over};
  static struct made made;
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    made.count = made.leases = 0;
    struct story story = {.made = &made, .now_us = 1 * S};
    good[i](&story);
    if (!lease_history_is_possible(&small, made.ops, made.count)) fail_msg("good history %zu was not believed", i);
  }
}

/* ---- clients over HTTP, each a process ---- */

enum { CLIENTS = 10, AT_ONCE = 4, EACH_DOES = 120, LIMIT_S = 120 };

static const struct lease_rules served = {.nodes = 3, .capacity = {2, 1, 3}, .late_us = 20 * S /* a machine may be slow */};

/* Shared with the clients. */
struct shared {
  struct lease_op ops[CLIENTS][EACH_DOES];
  char ids[CLIENTS][EACH_DOES][40];
  atomic_int done[CLIENTS];
  atomic_int odd; /* answers that nobody expects */
};

static struct shared *shared;
static struct {
  pid_t pid;
  int begin[2]; /* the port goes through it */
} clients[CLIENTS];

static int64_t now_us(void) { return cox_clock_mono_us(cox_clock_system()); }

/* Status, 0: no answer. In a child: no assertion may be used. */
static int http(unsigned port, const char *method, const char *path, const char *body, char *answer, size_t size) {
  const struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  char request[512];
  size_t length = 0;
  int status = 0;
  answer[0] = '\0';
  const int len = snprintf(request, sizeof request, "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s", method, path,
                           strlen(body), body);
  if (connect(fd, (const struct sockaddr *)(const void *)&address, sizeof address) == 0 && write(fd, request, (size_t)len) == len) {
    ssize_t got;
    while ((got = read(fd, answer + length, size - 1 - length)) > 0) answer[length += (size_t)got] = '\0';
  }
  close(fd);
  return sscanf(answer, "HTTP/1.1 %d", &status) == 1 ? status : 0;
}

static bool take_text(const char *answer, const char *key, char *out, size_t size) {
  char mark[32];
  snprintf(mark, sizeof mark, "\"%s\":\"", key);
  const char *const at = strstr(answer, mark);
  const size_t length = at != NULL ? strcspn(at + strlen(mark), "\"") : size;
  if (length >= size) return false;
  memcpy(out, at + strlen(mark), length);
  out[length] = '\0';
  return true;
}

static enum lease_answer read_answer(const struct lease_op *op, int status) {
  if (op->call == LEASE_ACQUIRE) return status == 201 ? LEASE_OK : status == 503 ? LEASE_BUSY : LEASE_OPEN;
  return status == 200 ? LEASE_OK : status == 410 ? LEASE_GONE : LEASE_OPEN;
}

/* Written so that a kill leaves a call that was begun and not answered. */
static bool call(unsigned port, int client, int number, struct lease_op op) {
  struct lease_op *const place = &shared->ops[client][number];
  char path[96] = "/v1/leases", body[96], answer[4096];
  if (op.call != LEASE_ACQUIRE) snprintf(path, sizeof path, "/v1/leases/%s", shared->ids[client][op.lease % EACH_DOES]);
  snprintf(body, sizeof body, op.call == LEASE_ACQUIRE ? "{\"model\":\"m\",\"ttl_ms\":%lld}" : op.call == LEASE_RENEW ? "{\"ttl_ms\":%lld}" : "", (long long)op.ttl_us / MS);
  op.from_us = now_us();
  *place = op;
  const int status = http(port, op.call == LEASE_ACQUIRE ? "POST" : op.call == LEASE_RENEW ? "PUT" : "DELETE", path, body, answer, sizeof answer);
  const int64_t to_us = now_us();
  const enum lease_answer got = read_answer(&op, status);
  char node[16] = "";
  if (got == LEASE_OPEN) atomic_fetch_add(&shared->odd, 1);
  if (op.call == LEASE_ACQUIRE && got == LEASE_OK) {
    if (!take_text(answer, "lease_id", shared->ids[client][number], 40) || !take_text(answer, "node_id", node, sizeof node)) return false;
    place->node = node[4] - '0'; /* node0, … */
  }
  place->to_us = to_us;
  atomic_signal_fence(memory_order_seq_cst);
  place->answer = got;
  return got == LEASE_OK;
}

static void live(unsigned port, int client) {
  struct cox_rng rng;
  int held = LEASE_NONE;
  cox_rng_init(&rng, seed() + 100 + (uint64_t)client);
  for (int i = 0; i < EACH_DOES; i++) {
    const unsigned own = (unsigned)(client * EACH_DOES + i);
    const int64_t ttl_us = (draw(&rng, 3) == 0 ? 50 + draw(&rng, 300) : 60000) * MS;
    if (held == LEASE_NONE) {
      if (call(port, client, i, (struct lease_op){.call = LEASE_ACQUIRE, .lease = own, .node = LEASE_NONE, .ttl_us = ttl_us})) held = i;
    } else {
      const bool renews = draw(&rng, 4) == 0;
      const struct lease_op op = {.call = renews ? LEASE_RENEW : LEASE_RELEASE, .lease = (unsigned)(client * EACH_DOES + held), .ttl_us = ttl_us};
      const bool is_good = call(port, client, i, op);
      if (!renews || !is_good) held = LEASE_NONE;
    }
    poll(NULL, 0, (int)draw(&rng, 4));
  }
  atomic_store(&shared->done[client], 1);
  _exit(0);
}

/* Before there are threads. */
static void fork_clients(void) {
  shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  assert_true(shared != MAP_FAILED);
  for (int i = 0; i < CLIENTS; i++) {
    assert_int_equal(pipe(clients[i].begin), 0);
    clients[i].pid = fork();
    assert_true(clients[i].pid >= 0);
    if (clients[i].pid > 0) {
      close(clients[i].begin[0]);
      continue;
    }
    unsigned port;
    for (int k = 0; k <= i; k++) close(clients[k].begin[1]);
    if (read(clients[i].begin[0], &port, sizeof port) != sizeof port) _exit(0);
    live(port, i);
  }
}

static void end_client(int i) {
  if (clients[i].pid <= 0) return;
  kill(clients[i].pid, SIGKILL);
  waitpid(clients[i].pid, NULL, 0);
  clients[i].pid = 0;
}

static struct rig *rig;

static int setup(void **state) {
  (void)state;
  signal(SIGPIPE, SIG_IGN);
  fork_clients();
  return 0;
}

static int teardown(void **state) {
  (void)state;
  for (int i = 0; i < CLIENTS; i++) {
    end_client(i);
    close(clients[i].begin[1]);
  }
  rig_destroy(rig);
  munmap(shared, sizeof *shared);
  return 0;
}

static void begin(int i) {
  const unsigned port = cox_api_port(rig->api);
  assert_int_equal(write(clients[i].begin[1], &port, sizeof port), sizeof port);
}

static int running(int begun) {
  int count = 0;
  for (int i = 0; i < begun; i++) count += clients[i].pid > 0 && atomic_load(&shared->done[i]) == 0;
  return count;
}

/* Somebody is killed, or stands still for a while. */
static void disturb(struct cox_rng *rng, int begun, int *killed) {
  const int who = (int)draw(rng, begun);
  if (clients[who].pid <= 0 || atomic_load(&shared->done[who]) != 0) return;
  if (draw(rng, 6) == 0 && *killed < CLIENTS - AT_ONCE) {
    end_client(who);
    ++*killed;
    return;
  }
  kill(clients[who].pid, SIGSTOP);
  poll(NULL, 0, 5 + (int)draw(rng, 60));
  kill(clients[who].pid, SIGCONT);
}

static size_t collect(struct lease_op *out) {
  size_t count = 0;
  for (int i = 0; i < CLIENTS; i++) {
    for (int k = 0; k < EACH_DOES; k++) {
      if (shared->ops[i][k].call != LEASE_UNUSED) out[count++] = shared->ops[i][k];
    }
  }
  return count;
}

static void what_clients_saw_is_possible_though_some_are_killed_and_paused(void **state) {
  (void)state;
  static struct lease_op ops[CLIENTS * EACH_DOES];
  struct cox_rng rng;
  int begun = 0, killed = 0;
  cox_rng_init(&rng, seed() + 2);
  rig = rig_create(NULL, 0);
  for (int i = 0; i < served.nodes; i++) {
    char id[16];
    snprintf(id, sizeof id, "node%d", i);
    rig_serve(rig, id, 5000 + i, served.capacity[i]);
  }
  for (const int64_t end_us = now_us() + LIMIT_S * S; now_us() < end_us && (begun < CLIENTS || running(begun) > 0);) {
    while (begun < CLIENTS && running(begun) < AT_ONCE) begin(begun++);
    disturb(&rng, begun, &killed);
    poll(NULL, 0, 5);
  }
  for (int i = 0; i < CLIENTS; i++) end_client(i); /* on a machine that is too slow the history is shorter */
  const size_t count = collect(ops);
  print_message("seed %llu: %zu calls, %d clients killed\n", (unsigned long long)seed(), count, killed);
  assert_int_equal(atomic_load(&shared->odd), 0);
  assert_true(count > 50);
  assert_true(lease_history_is_possible(&served, ops, count));
  int kept = 0;
  for (size_t i = 0; i < count; i++) { /* and it is judged: when nothing was given back, it is not possible */
    if (ops[i].call != LEASE_RELEASE || ops[i].answer != LEASE_OK) continue;
    ops[i].call = LEASE_RENEW;
    ops[i].answer = LEASE_OK;
    ops[i].ttl_us = 3600 * (int64_t)S;
    kept++;
  }
  if (kept > 6) assert_false(lease_history_is_possible(&served, ops, count));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_history_that_really_was_is_possible),
      cmocka_unit_test(planted_bad_histories_are_impossible),
      cmocka_unit_test(a_surprising_history_may_be_possible),
      cmocka_unit_test_setup_teardown(what_clients_saw_is_possible_though_some_are_killed_and_paused, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
