/* Leases from many threads at once, while nodes come, go, change and stop: no slot is lost, none is given twice. For the sanitizers. */
#include "lease_rig.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/rng.h"
#include "base/thread.h"

enum { THREADS = 4, NODES = 2, CAP = 2 };
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { CHANGES = 400 };
#else
enum { CHANGES = 2000 };
#endif

static struct fake *f;
static atomic_bool is_over;
static atomic_int asked, granted, refused, released, ended;

struct taker {
  struct cox_thread thread;
  struct cox_rng rng;
};

static void use(struct taker *taker, struct cox_lease_grant *grant) {
  atomic_fetch_add(&granted, 1);
  if (cox_rng_below(&taker->rng, 8) == 0) cox_lease_renew(f->broker, grant->id, 60000, NULL, NULL, NULL, NULL);
  const int rc = cox_lease_release(f->broker, grant->id, (enum cox_lease_outcome)cox_rng_below(&taker->rng, 3), NULL);
  if (rc == 0) atomic_fetch_add(&released, 1);
  else atomic_fetch_add(&ended, 1); /* its node was removed meanwhile */
  if (cox_lease_release(f->broker, grant->id, COX_LEASE_UNSAID, NULL) != COX_EGONE) abort();
  cox_lease_grant_fini(grant);
}

static void take(void *arg) {
  struct taker *const taker = arg;
  static const char *const tenants[] = {"a", "b", "c"};
  while (!atomic_load(&is_over)) {
    atomic_fetch_add(&asked, 1);
    const struct cox_lease_ask ask = {.model = "m", .tenant = tenants[cox_rng_below(&taker->rng, 3)], .ttl_ms = 60000,
                                      .affinity = cox_rng_below(&taker->rng, 2) == 0 ? "k" : NULL};
    struct cox_lease_grant grant;
    const int rc = cox_lease_acquire_blocking(f->broker, &ask, (int64_t)cox_rng_below(&taker->rng, 3), &grant, NULL);
    if (rc == 0) use(taker, &grant);
    else if (rc == COX_EBUSY || rc == COX_ETIME || rc == COX_ENOENT) atomic_fetch_add(&refused, 1);
    else abort();
  }
}

static void change(struct cox_rng *rng) {
  char id[4];
  const int i = (int)cox_rng_below(rng, NODES);
  snprintf(id, sizeof id, "n%d", i);
  if (lease_count(f, id) < 0) {
    lease_serve(f, id, 5000 + i, CAP, "m", "");
    return;
  }
  switch (cox_rng_below(rng, 3)) {
  case 0: fake_send(f, "remove", json_pack("{ss}", "node_id", id)); break;
  case 1:
    fake_send(f, "update", json_pack("{so}", "node", lease_node(id, 5000 + i, 1 + (int)cox_rng_below(rng, CAP), "m", "")));
    break;
  case 2:
    fake_intend(f, id, json_pack("{ss}", "status", "STOPPED"));
    fake_finish(f, id, COX_CLASS_NONE, NULL);
    fake_intend(f, id, json_pack("{ss, ss}", "status", "INFERENCE", "model", "m"));
    fake_finish(f, id, COX_CLASS_NONE, NULL);
    break;
  }
}

static void nothing_is_lost_among_threads(void **state) {
  (void)state;
  static struct taker takers[THREADS];
  struct cox_rng rng;
  cox_rng_init(&rng, 99);
  f = lease_fake(&(struct cox_lease_options){.eject_share = -1});
  for (int i = 0; i < NODES; i++) change(&rng);
  for (int i = 0; i < THREADS; i++) {
    cox_rng_init(&takers[i].rng, (uint64_t)i);
    assert_int_equal(cox_thread_start(&takers[i].thread, "taker", take, &takers[i], NULL), 0);
  }
  for (int i = 0; i < CHANGES; i++) change(&rng);
  atomic_store(&is_over, true);
  for (int i = 0; i < THREADS; i++) cox_thread_join(&takers[i].thread);
  fake_pass_time(f, 1); /* leases of removed nodes are swept */
  print_message("%d granted, %d released, %d ended with their node, %d refused\n", granted, released, ended, refused);
  assert_int_equal(granted, released + ended);
  assert_int_equal(granted + refused, asked);
  assert_int_equal(lease_active(f), 0);
  assert_int_equal(lease_waiters(f), 0);
  fake_destroy(f);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(nothing_is_lost_among_threads)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
