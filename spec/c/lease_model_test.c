/* A million random operations on leases against a model that is too simple to be wrong: arrays and loops. They are equal after
 * every step: who is given, who waits, who is served next, what every late or second release is answered. A tie may be broken
 * either way; which way it was is taken over from the leases. The seed is printed; SPEC_SEED and SPEC_OPS override.             */
#include "lease_rig.h"

#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "core/engine.h"
#include "core/version.h"

enum { NODES = 12, MODELS = 2, TENANTS = 5, RECORDS = 512, WAITERS = 64, CAP = 5, NONE = -1 };

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { OPERATIONS = 1000000 / 4 };
#else
enum { OPERATIONS = 1000000 };
#endif

struct node {
  char id[16];
  bool is_registered, is_serving;
  int model, count, max, life; /* life: number of its registration */
  const char *version;
};

struct record {
  bool is_used, is_live;
  struct cox_lease_id id;
  int node, life;
  int64_t expires_us;
};

struct waiter {
  struct cox_lease_wait wait;
  struct cox_lease_ask ask;
  bool is_waiting;
  int model, tenant;
  const char *skip[2];
};

struct ring {
  int tenant[TENANTS], tenants, turn; /* whose turn: index into tenant */
  int queue[TENANTS][WAITERS], length[TENANTS];
};

static struct fake *f;
static struct cox_rng rng;
static struct node nodes[NODES];
static struct record records[RECORDS];
static struct waiter waiters[WAITERS];
static struct ring rings[MODELS];
static struct {
  struct waiter *waiter;
  int node;
  struct cox_lease_id id;
} served[WAITERS];
static int serves;
static const char *const model_names[MODELS] = {"m", "n"};
static const char *const tenant_names[TENANTS] = {"", "a", "b", "c", "d"};

static int draw(int bound) { return (int)cox_rng_below(&rng, (uint64_t)bound); }

static int node_of(const char *id) {
  for (int i = 0; i < NODES; i++) {
    if (strcmp(nodes[i].id, id) == 0) return i;
  }
  return NONE;
}

/* ---- the model's pick ---- */

static bool may_use(const struct node *node, const struct cox_lease_ask *ask, int model) {
  if (!node->is_registered || !node->is_serving || node->model != model || node->count >= node->max) return false;
  for (size_t i = 0; i < ask->skips; i++) {
    if (strcmp(ask->skip[i], node->id) == 0) return false;
  }
  return cox_version_serves(node->version, ask->version, ask->accepts_earlier);
}

static bool is_less(const struct node *left, const struct node *right) { return left->count * right->max < right->count * left->max; }

/* May the pick give that node? NONE: may it give none? */
static bool is_right(int chosen, const struct cox_lease_ask *ask, int model) {
  bool has_any = false;
  for (int i = 0; i < NODES; i++) {
    if (!may_use(&nodes[i], ask, model)) continue;
    has_any = true;
    if (chosen != NONE && is_less(&nodes[i], &nodes[chosen])) return false;
  }
  return chosen == NONE ? !has_any : may_use(&nodes[chosen], ask, model);
}

static bool has_free(int model) {
  const struct cox_lease_ask any = {0};
  return !is_right(NONE, &any, model);
}

static bool is_named(int model) {
  for (int i = 0; i < NODES; i++) {
    if (nodes[i].is_registered && nodes[i].model == model) return true;
  }
  return false;
}

/* ---- what it knows of leases ---- */

static void keep(struct cox_lease_id id, int node, int64_t ttl_ms) {
  int place = draw(RECORDS);
  for (int i = 0; records[place].is_live && i < RECORDS; i++) place = (place + 1) % RECORDS;
  assert_false(records[place].is_live);
  records[place] = (struct record){.is_used = true, .is_live = true, .id = id, .node = node, .life = nodes[node].life,
                                   .expires_us = f->now_us + ttl_ms * 1000};
  nodes[node].count++;
  assert_true(nodes[node].count <= nodes[node].max);
}

static int live(void) {
  int count = 0;
  for (int i = 0; i < RECORDS; i++) count += records[i].is_live;
  return count;
}

/* ---- who waits ---- */

static void granted(struct cox_lease_wait *wait, int rc, const struct cox_lease_grant *grant) {
  assert_int_equal(rc, 0);
  struct waiter *const waiter = (struct waiter *)(void *)wait;
  struct cox_lease_grant mine = *grant;
  served[serves].waiter = waiter;
  served[serves].id = grant->id;
  served[serves++].node = node_of(grant->place->node_id);
  cox_lease_grant_fini(&mine);
}

static void join(int model, int tenant, int waiter) {
  struct ring *const ring = &rings[model];
  if (ring->length[tenant] == 0) { /* at the end of the round: before the one whose turn it is */
    for (int i = ring->tenants; i > ring->turn; i--) ring->tenant[i] = ring->tenant[i - 1];
    ring->tenant[ring->turn] = tenant;
    ring->tenants++;
    if (ring->tenants > 1) ring->turn = (ring->turn + 1) % ring->tenants;
  }
  ring->queue[tenant][ring->length[tenant]++] = waiter;
  waiters[waiter].is_waiting = true;
}

static void part(int model, int tenant, int waiter) {
  struct ring *const ring = &rings[model];
  int at = 0;
  while (ring->queue[tenant][at] != waiter) at++;
  ring->length[tenant]--;
  for (; at < ring->length[tenant]; at++) ring->queue[tenant][at] = ring->queue[tenant][at + 1];
  waiters[waiter].is_waiting = false;
  if (ring->length[tenant] > 0) return;
  int place = 0;
  while (ring->tenant[place] != tenant) place++;
  ring->tenants--;
  for (int i = place; i < ring->tenants; i++) ring->tenant[i] = ring->tenant[i + 1];
  if (place < ring->turn) ring->turn--;
  if (ring->turn >= ring->tenants) ring->turn = 0;
}

/* The leases have served some waiters: those that the model says, in its order. */
static void follow(int model, int *followed) {
  struct ring *const ring = &rings[model];
  for (bool goes_on = true; goes_on && has_free(model);) {
    goes_on = false;
    for (int tries = ring->tenants; tries > 0 && !goes_on; tries--) {
      const int tenant = ring->tenant[ring->turn], waiter = ring->queue[tenant][0];
      ring->turn = (ring->turn + 1) % ring->tenants;
      if (is_right(NONE, &waiters[waiter].ask, model)) continue;
      goes_on = true;
      assert_true(*followed < serves);
      assert_ptr_equal(served[*followed].waiter, &waiters[waiter]);
      assert_true(is_right(served[*followed].node, &waiters[waiter].ask, model));
      part(model, tenant, waiter);
      keep(served[*followed].id, served[*followed].node, waiters[waiter].ask.ttl_ms);
      ++*followed;
    }
  }
}

static void follow_all(void) {
  for (int model = 0, followed = 0; model < MODELS; model++) {
    /* Two models are served in either order. */
    const int first = serves > followed && served[followed].waiter->model != model ? MODELS - 1 - model : model;
    follow(first, &followed);
    if (model == MODELS - 1) {
      for (int i = 0; i < MODELS; i++) follow(i, &followed);
      assert_int_equal(followed, serves);
    }
  }
  serves = 0;
}

/* ---- the operations ---- */

static struct cox_lease_ask some_ask(int model, const char **skip) {
  static const char *const versions[] = {NULL, NULL, NULL, "1.0.0", "1.1.0"};
  struct cox_lease_ask ask = {.model = model_names[model], .ttl_ms = 500 + draw(20000)};
  ask.version = versions[draw(5)];
  ask.accepts_earlier = draw(2) == 0;
  ask.skip = skip;
  for (; draw(4) == 0 && ask.skips < 2; ask.skips++) skip[ask.skips] = nodes[draw(NODES)].id;
  return ask;
}

static void acquire(void) {
  const char *skip[2];
  const int model = draw(MODELS);
  const struct cox_lease_ask ask = some_ask(model, skip);
  struct cox_lease_grant grant;
  if (live() > RECORDS / 2) return;
  const int rc = cox_lease_acquire(f->broker, &ask, 0, NULL, &grant, NULL);
  if (!is_named(model)) {
    assert_int_equal(rc, COX_ENOENT);
  } else if (rings[model].tenants > 0 || is_right(NONE, &ask, model)) {
    assert_int_equal(rc, COX_EBUSY);
  } else {
    assert_int_equal(rc, 0);
    const int node = node_of(grant.place->node_id);
    assert_true(is_right(node, &ask, model));
    keep(grant.id, node, ask.ttl_ms);
    cox_lease_grant_fini(&grant);
  }
}

static void wait_for_one(void) {
  const int place = draw(WAITERS), model = draw(MODELS), tenant = draw(TENANTS);
  struct waiter *const waiter = &waiters[place];
  if (waiter->is_waiting || live() > RECORDS / 2) return;
  *waiter = (struct waiter){.wait.done = granted, .model = model, .tenant = tenant};
  waiter->ask = some_ask(model, waiter->skip);
  waiter->ask.tenant = tenant == 0 && draw(2) == 0 ? NULL : tenant_names[tenant];
  struct cox_lease_grant grant;
  const int rc = cox_lease_acquire(f->broker, &waiter->ask, 600000, &waiter->wait, &grant, NULL);
  if (!is_named(model)) {
    assert_int_equal(rc, COX_ENOENT);
  } else if (rings[model].tenants == 0 && !is_right(NONE, &waiter->ask, model)) {
    assert_int_equal(rc, 0);
    const int node = node_of(grant.place->node_id);
    assert_true(is_right(node, &waiter->ask, model));
    keep(grant.id, node, waiter->ask.ttl_ms);
    cox_lease_grant_fini(&grant);
  } else {
    assert_int_equal(rc, COX_LEASE_WAITS);
    join(model, tenant, place);
    follow_all();
  }
}

static void stop_waiting(int place) {
  struct waiter *const waiter = &waiters[place];
  const bool was_waiting = waiter->is_waiting;
  if (waiter->wait.done == NULL) return;
  assert_int_equal(cox_lease_cancel(f->broker, &waiter->wait), was_waiting);
  if (!was_waiting) return;
  part(waiter->model, waiter->tenant, place);
  fake_run(f);
  follow_all();
}

static bool is_alive(const struct record *record) {
  return record->is_live && nodes[record->node].is_registered && nodes[record->node].life == record->life;
}

static void release(void) {
  static const enum cox_lease_outcome outcomes[] = {COX_LEASE_UNSAID, COX_LEASE_SUCCESS, COX_LEASE_APPLICATION_ERROR, COX_LEASE_TIMEOUT};
  struct record *const record = &records[draw(RECORDS)];
  if (!record->is_used) return;
  const int rc = cox_lease_release(f->broker, record->id, outcomes[draw(4)], NULL);
  assert_int_equal(rc, is_alive(record) ? 0 : COX_EGONE);
  if (is_alive(record)) nodes[record->node].count--;
  record->is_live = false;
  follow_all();
}

static void renew(void) {
  struct record *const record = &records[draw(RECORDS)];
  const int ttl_ms = 500 + draw(20000);
  if (!record->is_used) return;
  const char *const node_id = draw(3) == 0 ? nodes[draw(NODES)].id : NULL;
  const int rc = cox_lease_renew(f->broker, record->id, ttl_ms, node_id, NULL, NULL, NULL);
  if (!is_alive(record)) {
    assert_int_equal(rc, COX_EGONE);
  } else if (node_id != NULL && strcmp(node_id, nodes[record->node].id) != 0) {
    assert_int_equal(rc, COX_EBUSY);
  } else {
    assert_int_equal(rc, 0);
    record->expires_us = f->now_us + ttl_ms * 1000;
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
  for (int i = 0; i < RECORDS; i++) {
    struct record *const record = &records[i];
    if (!record->is_live || f->now_us / 100000 <= record->expires_us / 100000) continue;
    if (is_alive(record)) nodes[record->node].count--;
    record->is_live = false;
  }
}

static json_t *config_of(int i) { return lease_node(nodes[i].id, 5000 + i, nodes[i].max, model_names[nodes[i].model], nodes[i].version); }

static void bring_to_inference(int i) {
  fake_intend(f, nodes[i].id, json_pack("{ss, ss}", "status", "INFERENCE", "model", model_names[nodes[i].model]));
  if (fake_open(f, nodes[i].id) != NULL) fake_finish(f, nodes[i].id, COX_CLASS_NONE, NULL);
  nodes[i].is_serving = true;
  follow_all();
}

static void change_node(void) {
  static const char *const versions[] = {"1.0.0", "1.1.0", "2.0.0"};
  const int i = draw(NODES);
  struct node *const node = &nodes[i];
  if (!node->is_registered) {
    node->model = draw(MODELS);
    node->max = 1 + draw(CAP);
    node->version = versions[draw(3)];
    node->count = 0;
    node->life++;
    node->is_registered = true;
    assert_int_equal(fake_send(f, "register", json_pack("{so}", "node", config_of(i))), COX_ANSWER_DONE);
    bring_to_inference(i);
    return;
  }
  switch (draw(4)) {
  case 0:
    fake_send(f, "remove", json_pack("{ss}", "node_id", node->id));
    node->is_registered = node->is_serving = false;
    for (int k = 0; k < RECORDS; k++) {
      if (records[k].node == i) records[k].is_live = false;
    }
    break;
  case 1:
    node->max = 1 + draw(CAP);
    fake_send(f, "update", json_pack("{so}", "node", config_of(i)));
    follow_all();
    break;
  case 2:
    fake_intend(f, node->id, json_pack("{ss}", "status", "STOPPED"));
    if (fake_open(f, node->id) != NULL) fake_finish(f, node->id, COX_CLASS_NONE, NULL);
    node->is_serving = false;
    break;
  case 3: bring_to_inference(i); break;
  }
}

static void compare(void) {
  size_t active = 0;
  for (int i = 0; i < NODES; i++) {
    const struct cox_node *const node = cox_registry_find(&f->broker->registry, nodes[i].id);
    assert_int_equal(node != NULL, nodes[i].is_registered);
    if (node == NULL) continue;
    assert_int_equal(cox_lease_load(f->broker, node->lease), nodes[i].count);
    active += (size_t)nodes[i].count;
  }
  assert_int_equal(lease_active(f), active);
  size_t waiting = 0;
  for (int i = 0; i < WAITERS; i++) waiting += waiters[i].is_waiting;
  assert_int_equal(lease_waiters(f), waiting);
}

static void step(void) {
  const int what = draw(1000);
  if (what < 330) acquire();
  else if (what < 480) wait_for_one();
  else if (what < 520) stop_waiting(draw(WAITERS));
  else if (what < 910) release();
  else if (what < 970) renew();
  else if (what < 985) make_up();
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
  for (int i = 0; i < NODES; i++) snprintf(nodes[i].id, sizeof nodes[i].id, "n%d", i);
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
