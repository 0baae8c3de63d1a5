/* A million random operations on leases against a model of them (sim/lease_book.h). They are equal after every step: who is given,
 * who waits, who is served next, what every late or second release is answered. The seed is printed; SPEC_SEED and SPEC_OPS
 * override.                                                                                                                  */
#include "lease_rig.h"

#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "core/engine.h"
#include "sim/lease_book.h"

enum { NODES = 12, MODELS = 2, TENANTS = 5, WAITERS = COX_BOOK_WAITERS, CAP = 5, NONE = COX_BOOK_NONE, LIVE_MAX = COX_BOOK_LEASES / 2 };

enum { OPERATIONS = 1000000 }; /* under the sanitizers, too */

struct waiter {
  struct cox_lease_wait wait;
  struct cox_lease_ask ask;
  const char *skip[2];
};

static struct fake *f;
static struct cox_rng rng;
static struct cox_book book; /* node i of the spec is node i of the book */
static struct waiter waiters[WAITERS];
static const char *const model_names[MODELS] = {"m", "n"};
static const char *const tenant_names[TENANTS] = {"", "a", "b", "c", "d"};

static int draw(int bound) { return (int)cox_rng_below(&rng, (uint64_t)bound); }

static void must_fit(const char *why) {
  if (why != NULL) fail_msg("%s", why);
}

static bool is_named(int model) {
  for (int i = 0; i < NODES; i++) {
    if (book.nodes[i].is_registered && book.nodes[i].model == model) return true;
  }
  return false;
}

static void granted(struct cox_lease_wait *wait, int rc, const struct cox_lease_grant *grant) {
  assert_int_equal(rc, 0);
  struct waiter *const waiter = (struct waiter *)(void *)wait;
  struct cox_lease_grant mine = *grant;
  must_fit(cox_book_serve(&book, (int)(waiter - waiters), grant->id, cox_book_node(&book, grant->place->node_id),
                          f->now_us + waiter->ask.ttl_ms * 1000, false));
  cox_lease_grant_fini(&mine);
}

static void must_be_served(void) {
  for (int model = 0; model < MODELS; model++) assert_true(cox_book_is_served(&book, model));
}

static void take(const struct cox_lease_ask *ask, int model, struct cox_lease_grant *grant) {
  must_fit(cox_book_grant(&book, grant->id, cox_book_node(&book, grant->place->node_id), ask, model, f->now_us + ask->ttl_ms * 1000));
  cox_lease_grant_fini(grant);
}

/* ---- the operations ---- */

static struct cox_lease_ask some_ask(int model, const char **skip) {
  static const char *const versions[] = {NULL, NULL, NULL, "1.0.0", "1.1.0"};
  struct cox_lease_ask ask = {.model = model_names[model], .ttl_ms = 500 + draw(20000)};
  ask.version = versions[draw(5)];
  ask.accepts_earlier = draw(2) == 0;
  ask.skip = skip;
  for (; draw(4) == 0 && ask.skips < 2; ask.skips++) skip[ask.skips] = book.nodes[draw(NODES)].id;
  return ask;
}

static void acquire(void) {
  const char *skip[2];
  const int model = draw(MODELS);
  const struct cox_lease_ask ask = some_ask(model, skip);
  struct cox_lease_grant grant;
  if (book.live > LIVE_MAX) return;
  const int rc = cox_lease_acquire(f->broker, &ask, 0, NULL, &grant, NULL);
  if (!is_named(model)) {
    assert_int_equal(rc, COX_ENOENT);
  } else if (book.rings[model].tenants > 0 || cox_book_is_right(&book, NONE, &ask, model)) {
    assert_int_equal(rc, COX_EBUSY);
  } else {
    assert_int_equal(rc, 0);
    take(&ask, model, &grant);
  }
}

static void wait_for_one(void) {
  const int place = draw(WAITERS), model = draw(MODELS), tenant = draw(TENANTS);
  struct waiter *const waiter = &waiters[place];
  if (book.waiters[place].is_waiting || book.live > LIVE_MAX) return;
  *waiter = (struct waiter){.wait.done = granted};
  waiter->ask = some_ask(model, waiter->skip);
  waiter->ask.tenant = tenant == 0 && draw(2) == 0 ? NULL : tenant_names[tenant];
  const bool is_free = book.rings[model].tenants == 0 && !cox_book_is_right(&book, NONE, &waiter->ask, model);
  const bool has_to_wait = is_named(model) && !is_free;
  if (has_to_wait) cox_book_join(&book, place, model, tenant, &waiter->ask); /* it may be served before the call returns */
  struct cox_lease_grant grant;
  const int rc = cox_lease_acquire(f->broker, &waiter->ask, 600000, &waiter->wait, &grant, NULL);
  assert_int_equal(rc, !is_named(model) ? COX_ENOENT : has_to_wait ? COX_LEASE_WAITS : 0);
  if (rc == 0) take(&waiter->ask, model, &grant);
  must_be_served();
}

static void stop_waiting(int place) {
  struct waiter *const waiter = &waiters[place];
  if (waiter->wait.done == NULL) return;
  const bool was_waiting = book.waiters[place].is_waiting;
  cox_book_part(&book, place);
  assert_int_equal(cox_lease_cancel(f->broker, &waiter->wait), was_waiting);
  if (!was_waiting) return;
  fake_run(f);
  must_be_served();
}

static void release(void) {
  static const enum cox_lease_outcome outcomes[] = {COX_LEASE_UNSAID, COX_LEASE_SUCCESS, COX_LEASE_APPLICATION_ERROR, COX_LEASE_TIMEOUT};
  struct cox_book_lease *const lease = &book.leases[draw(COX_BOOK_LEASES)];
  if (!lease->is_used) return;
  const int expected = lease->is_live ? 0 : COX_EGONE;
  cox_book_end(&book, lease);
  const struct cox_lease_id id = lease->id; /* its place may be taken by whoever is served now */
  assert_int_equal(cox_lease_release(f->broker, id, outcomes[draw(4)], NULL), expected);
  must_be_served();
}

/* One of eight clients is gone: what it held ends without a word, as cox_holding_end does it for its connection. */
static void disconnect(void) {
  const int client = draw(8);
  for (int i = client; i < COX_BOOK_LEASES; i += 8) {
    struct cox_book_lease *const lease = &book.leases[i];
    if (!lease->is_used || !lease->is_live) continue;
    const struct cox_lease_id id = lease->id;
    cox_book_end(&book, lease);
    assert_int_equal(cox_lease_release(f->broker, id, COX_LEASE_UNSAID, NULL), 0);
    must_be_served();
  }
}

static void renew(void) {
  struct cox_book_lease *const lease = &book.leases[draw(COX_BOOK_LEASES)];
  const int ttl_ms = 500 + draw(20000);
  if (!lease->is_used) return;
  const char *const node_id = draw(3) == 0 ? book.nodes[draw(NODES)].id : NULL;
  const int rc = cox_lease_renew(f->broker, lease->id, ttl_ms, node_id, NULL, NULL, NULL);
  if (!lease->is_live) {
    assert_int_equal(rc, COX_EGONE);
  } else if (node_id != NULL && strcmp(node_id, book.nodes[lease->node].id) != 0) {
    assert_int_equal(rc, COX_EBUSY);
  } else {
    assert_int_equal(rc, 0);
    lease->expires_us = f->now_us + ttl_ms * 1000;
  }
}

static void make_up(void) {
  const struct cox_lease_id id = {(uint64_t)7 << 32 | (uint32_t)cox_rng_next(&rng), cox_rng_next(&rng)};
  const int rc = draw(2) == 0 ? cox_lease_release(f->broker, id, COX_LEASE_UNSAID, NULL)
                              : cox_lease_renew(f->broker, id, 1000, "n0", NULL, NULL, NULL);
  assert_int_equal(rc, COX_ENOENT);
}

/* Leases that expire together free their slots in any order, so nobody waits then. */
static void pass_time(void) {
  for (int i = 0; i < WAITERS; i++) stop_waiting(i);
  fake_pass_time(f, (double)draw(3000) / 1000);
  cox_book_expire(&book, f->now_us);
}

static json_t *config_of(int i) {
  const struct cox_book_node *const node = &book.nodes[i];
  return lease_node(node->id, 5000 + i, node->max, model_names[node->model], node->version);
}

static void bring_to_inference(int i) {
  const struct cox_book_node *const node = &book.nodes[i];
  book.nodes[i].is_serving = true;
  fake_intend(f, node->id, json_pack("{ss, ss}", "status", "INFERENCE", "model", model_names[node->model]));
  if (fake_open(f, node->id) != NULL) fake_finish(f, node->id, COX_CLASS_NONE, NULL);
  must_be_served();
}

static void add_node(int i) {
  static const char *const versions[] = {"1.0.0", "1.1.0", "2.0.0"};
  struct cox_book_node *const node = &book.nodes[i];
  node->model = draw(MODELS);
  node->max = 1 + draw(CAP);
  snprintf(node->version, sizeof node->version, "%s", versions[draw(3)]);
  node->is_registered = true;
  assert_int_equal(fake_send(f, "register", json_pack("{so}", "node", config_of(i))), COX_ANSWER_DONE);
  bring_to_inference(i);
}

static void change_node(void) {
  const int i = draw(NODES);
  struct cox_book_node *const node = &book.nodes[i];
  if (!node->is_registered) {
    add_node(i);
    return;
  }
  switch (draw(4)) {
  case 0:
    cox_book_remove(&book, i);
    fake_send(f, "remove", json_pack("{ss}", "node_id", node->id));
    break;
  case 1:
    node->max = 1 + draw(CAP);
    fake_send(f, "update", json_pack("{so}", "node", config_of(i)));
    must_be_served();
    break;
  case 2:
    node->is_serving = false;
    fake_intend(f, node->id, json_pack("{ss}", "status", "STOPPED"));
    if (fake_open(f, node->id) != NULL) fake_finish(f, node->id, COX_CLASS_NONE, NULL);
    break;
  case 3: bring_to_inference(i); break;
  }
}

static void compare(void) {
  for (int i = 0; i < NODES; i++) {
    const struct cox_node *const node = cox_registry_find(&f->broker->registry, book.nodes[i].id);
    assert_int_equal(node != NULL, book.nodes[i].is_registered);
    if (node != NULL) assert_int_equal(cox_lease_load(f->broker, node->lease), book.nodes[i].count);
  }
  assert_int_equal(lease_active(f), book.live);
  assert_int_equal(lease_waiters(f), book.waiting);
}

static void step(void) {
  const int what = draw(1000);
  if (what < 330) acquire();
  else if (what < 480) wait_for_one();
  else if (what < 520) stop_waiting(draw(WAITERS));
  else if (what < 910) release();
  else if (what < 970) renew();
  else if (what < 984) make_up();
  else if (what < 985) disconnect();
  else if (what < 992) pass_time();
  else change_node();
  compare();
}

static void random_operations_equal_a_simple_model(void **state) {
  (void)state;
  const char *const seed_text = getenv("SPEC_SEED"), *const count_text = getenv("SPEC_OPS");
  const uint64_t seed = seed_text != NULL ? strtoull(seed_text, NULL, 10) : 20261124;
  const int count = count_text != NULL ? atoi(count_text) : OPERATIONS;
  print_message("seed %llu, %d operations\n", (unsigned long long)seed, count);
  cox_rng_init(&rng, seed);
  f = lease_fake(&(struct cox_lease_options){.eject_share = -1});
  fake_arm(f);
  book.places = NODES;
  for (int i = 0; i < NODES; i++) snprintf(book.nodes[i].id, sizeof book.nodes[i].id, "n%d", i);
  for (int i = 0; i < count; i++) {
    step();
    if (i % 1000 == 0) json_array_clear(f->records), json_array_clear(f->served);
  }
  for (int i = 0; i < WAITERS; i++) stop_waiting(i);
  fake_pass_time(f, 100);
  assert_int_equal(lease_active(f), 0);
  fake_destroy(f);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(random_operations_equal_a_simple_model)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
