/* Clients that lease nodes: they acquire, wait, renew, release (twice too), die and forget, and come back after a restart. Every
 * step is written into a book (lease_book.h) that must agree: who may be given, who is next, what each late call is answered. Which
 * nodes serve is decided here a second time, from the registry and DESIGN, not from what the core tells its leases.              */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/lease_private.h"
#include "sim/world_private.h"

enum { LATE_US = 500000, WAIT_LATE_US = 100000, AGAIN_US = 50 * COX_WORLD_S };

static const char equal[] = "leases equal their book", once[] = "each waiter is answered once", known[] = "leases know who serves";

static const char *const tenants[COX_WORLD_TENANTS] = {"", "a", "b"};
static const char *const versions[] = {NULL, NULL, "1.0.0", "1.1.0"};

static uint64_t below(struct cox_world *world, uint64_t bound) { return cox_world_below(world, COX_WORLD_CLIENTS, bound); }

/* ---- who serves ---- */

static const char *target_model(const struct cox_target *target) { return json_string_value(target->params[COX_TARGET_MODEL]); }

/* DESIGN: intended and current INFERENCE, nothing under way, healthy; CONTRACT: after a start a stored intent that a probe finds fulfilled. */
static bool serves(const struct cox_registry *registry, const struct cox_node *node) {
  const struct cox_target *const target = node->target;
  if (target == NULL || target->status != COX_STATUS_INFERENCE || target_model(target) == NULL) return false;
  if (node->flight.attempt != 0 || node->failed_by != COX_FAILED_NOT) return false;
  const bool is_there = node->is_settled && node->current == COX_STATUS_INFERENCE && node->applied != NULL && cox_target_equal(node->applied, target);
  if (is_there || registry->is_armed) return is_there;
  return node->admin.is_enabled && node->is_ready && node->serves_target;
}

static int model_of(const char *name) {
  for (int i = 0; name != NULL && i < COX_WORLD_MODELS; i++) {
    if (strcmp(cox_world_model(i), name) == 0) return i;
  }
  return COX_BOOK_NONE;
}

/* `guess`: where it may well be. */
static int place_of(struct cox_book *book, uint64_t registration, size_t guess) {
  if (guess < (size_t)book->places && book->nodes[guess].is_registered && book->nodes[guess].life == registration) return (int)guess;
  int free_place = book->places;
  for (int i = 0; i < book->places; i++) {
    if (!book->nodes[i].is_registered) free_place = i;
    else if (book->nodes[i].life == registration) return i;
  }
  if (free_place == book->places) book->places++;
  return free_place;
}

static void sync_node(struct cox_world *world, const struct cox_node *node, struct cox_book_node *entry) {
  if (!entry->is_registered) {
    *entry = (struct cox_book_node){.is_registered = true, .life = node->registration};
    snprintf(entry->id, sizeof entry->id, "%s", cox_node_id(node));
  }
  const char *const version = json_string_value(json_object_get(node->config, "version"));
  if (strcmp(entry->version, version != NULL ? version : "") != 0) snprintf(entry->version, sizeof entry->version, "%s", version != NULL ? version : "");
  entry->max = (int)json_integer_value(json_object_get(node->config, "max_concurrent"));
  entry->is_serving = serves(&world->broker->registry, node);
  if (entry->is_serving) entry->model = model_of(target_model(node->target));
}

void cox_world_leases_sync(struct cox_world *world) {
  const struct cox_registry *const registry = &world->broker->registry;
  struct cox_book *const book = world->book;
  if (world->client_count == 0) return;
  for (int i = 0; i < book->places; i++) { /* first those that went: their places are free for those that came */
    const bool has_gone = book->nodes[i].is_registered && cox_registry_find_registration(registry, book->nodes[i].life) == NULL;
    if (has_gone) cox_book_remove(book, i);
  }
  for (size_t i = 0; i < registry->num_count; i++) {
    const struct cox_node *const node = registry->by_num[i];
    if (node != NULL) sync_node(world, node, &book->nodes[place_of(book, node->registration, i)]);
  }
}

/* ---- what clients are answered ---- */

static void must_fit(struct cox_world *world, const struct cox_world_client *client, const char *why) {
  if (why != NULL) cox_world_break(world, equal, NULL, "client %d: %s", (int)(client - world->clients), why);
}

static void must_be(struct cox_world *world, const struct cox_world_client *client, const char *what, int got, int expected) {
  cox_world_trace(world, "client %d %s: %d", (int)(client - world->clients), what, got);
  if (got == expected) return;
  cox_world_break(world, equal, client->node_id, "client %d: %s was answered %d, not %d", (int)(client - world->clients), what, got, expected);
}

static void hold(struct cox_world *world, struct cox_world_client *client, const struct cox_lease_grant *grant) {
  struct cox_lease_grant mine = *grant;
  client->state = COX_CLIENT_HOLDS;
  client->id = grant->id;
  client->until_us = world->now_us + client->ask.ttl_ms * 1000;
  snprintf(client->node_id, sizeof client->node_id, "%s", grant->place->node_id);
  cox_world_trace(world, "client %d holds %s", (int)(client - world->clients), client->node_id);
  if (cox_lease_id_start(grant->id) != world->disk.starts) {
    cox_world_break(world, equal, client->node_id, "a lease id carries start %u, this is start %u", cox_lease_id_start(grant->id), world->disk.starts);
  }
  cox_lease_grant_fini(&mine);
}

static void on_done(struct cox_lease_wait *wait, int rc, const struct cox_lease_grant *grant) {
  struct cox_world_client *const client = (struct cox_world_client *)(void *)wait;
  struct cox_world *const world = client->world;
  const int number = (int)(client - world->clients);
  if (client->state != COX_CLIENT_WAITS) {
    cox_world_break(world, once, NULL, "client %d is answered (%d) and does not wait", number, rc);
    return;
  }
  client->state = COX_CLIENT_IDLE;
  if (rc == 0) {
    cox_world_leases_sync(world);
    const char *const why = cox_book_serve(world->book, number, grant->id, cox_book_node(world->book, grant->place->node_id),
                                           world->now_us + client->ask.ttl_ms * 1000, world->is_loose);
    must_fit(world, client, why);
    hold(world, client, grant);
    return;
  }
  cox_book_part(world->book, number);
  cox_world_trace(world, "client %d waited in vain: %d", number, rc);
  const bool is_right = world->disk.is_dead ? rc == COX_ESTOPPED : rc == COX_ETIME && world->now_us >= client->deadline_us;
  if (!is_right) cox_world_break(world, once, NULL, "client %d waited in vain: %d, %.3f s before its deadline", number, rc,
                                 (double)(client->deadline_us - world->now_us) / 1e6);
}

/* ---- what clients do ---- */

static int draw_ask(struct cox_world *world, struct cox_world_client *client) {
  const int model = (int)below(world, COX_WORLD_MODELS);
  client->tenant = (int)below(world, COX_WORLD_TENANTS);
  client->ask = (struct cox_lease_ask){.model = cox_world_model(model), .tenant = tenants[client->tenant], .skip = client->skip};
  client->ask.ttl_ms = 500 + (int64_t)below(world, 20000);
  client->ask.version = below(world, 3) == 0 ? versions[below(world, 4)] : NULL;
  client->ask.accepts_earlier = below(world, 2) == 0;
  const uint64_t skipped = below(world, 60);
  if (skipped < (uint64_t)world->book->places && world->book->nodes[skipped].is_registered) {
    snprintf(client->skipped, sizeof client->skipped, "%s", world->book->nodes[skipped].id);
    client->skip[client->ask.skips++] = client->skipped;
  }
  return model;
}

/* Somebody names the model, or has served it. */
static bool is_known(struct cox_world *world, const char *name) {
  struct cox_leases *const leases = world->broker->leases;
  cox_mutex_lock(&leases->mutex);
  const struct cox_lease_model *const model = cox_index_model_locked(leases, name);
  const bool has_served = model != NULL && model->groups != NULL;
  cox_mutex_unlock(&leases->mutex);
  return has_served || cox_lease_is_named(world->broker, name);
}

static void acquire(struct cox_world *world, struct cox_world_client *client) {
  const int model = draw_ask(world, client), number = (int)(client - world->clients);
  const int64_t wait_ms = below(world, 3) == 0 ? 20 + (int64_t)below(world, 4000) : 0;
  const bool is_named = is_known(world, client->ask.model);
  const bool is_free = world->book->rings[model].tenants == 0 && !cox_book_is_right(world->book, COX_BOOK_NONE, &client->ask, model);
  const bool has_to_wait = is_named && !is_free && wait_ms > 0;
  struct cox_lease_grant grant;
  client->node_id[0] = '\0';
  client->wait = (struct cox_lease_wait){.done = on_done};
  if (has_to_wait) { /* written down before: it may be served before the call returns */
    client->state = COX_CLIENT_WAITS;
    client->deadline_us = world->now_us + wait_ms * 1000;
    cox_book_join(world->book, number, model, client->tenant, &client->ask);
  }
  const int rc = cox_lease_acquire(world->broker, &client->ask, wait_ms, &client->wait, &grant, NULL);
  if (rc == COX_LEASE_WAITS && !has_to_wait) { /* so that the world can end */
    cox_lease_cancel(world->broker, &client->wait);
  }
  must_be(world, client, "acquire", rc, !is_named ? COX_ENOENT : has_to_wait ? COX_LEASE_WAITS : is_free ? 0 : COX_EBUSY);
  if (rc != 0) return;
  must_fit(world, client, cox_book_grant(world->book, grant.id, cox_book_node(world->book, grant.place->node_id), &client->ask, model,
                                         world->now_us + client->ask.ttl_ms * 1000));
  hold(world, client, &grant);
}

/* What a release or renewal of the client's lease must come to: alive, ended, or of an earlier start and unknown. */
static int expected_of(struct cox_world *world, const struct cox_world_client *client, struct cox_book_lease **found) {
  *found = cox_book_find(world->book, client->id);
  if (*found != NULL && (*found)->is_live) return 0;
  const bool is_of_now = cox_lease_id_start(client->id) == world->disk.starts;
  return is_of_now || *found != NULL ? COX_EGONE : COX_ENOENT;
}

static void release(struct cox_world *world, struct cox_world_client *client) {
  static const enum cox_lease_outcome outcomes[] = {COX_LEASE_UNSAID, COX_LEASE_SUCCESS, COX_LEASE_APPLICATION_ERROR, COX_LEASE_TIMEOUT};
  struct cox_book_lease *lease;
  const int expected = expected_of(world, client, &lease);
  if (expected == 0) cox_book_end(world->book, lease);
  client->state = COX_CLIENT_IDLE;
  must_be(world, client, "release", cox_lease_release(world->broker, client->id, outcomes[below(world, 4)], NULL), expected);
  const int after = expected == 0 ? COX_EGONE : expected;
  if (below(world, 4) == 0) must_be(world, client, "second release", cox_lease_release(world->broker, client->id, COX_LEASE_UNSAID, NULL), after);
}

/* A lease of an earlier start is taken over when the client says its node, and that is still registered. */
static void renew(struct cox_world *world, struct cox_world_client *client) {
  struct cox_book_lease *lease;
  const int64_t ttl_ms = 500 + (int64_t)below(world, 20000), until_us = world->now_us + ttl_ms * 1000;
  const bool says_node = below(world, 2) == 0 || cox_lease_id_start(client->id) != world->disk.starts;
  int expected = expected_of(world, client, &lease);
  const int node = cox_book_node(world->book, client->node_id);
  const bool is_adoption = expected == COX_ENOENT && says_node && node != COX_BOOK_NONE;
  if (is_adoption) expected = 0;
  must_be(world, client, is_adoption ? "takes over" : "renew",
          cox_lease_renew(world->broker, client->id, ttl_ms, says_node ? client->node_id : NULL, NULL, NULL, NULL), expected);
  if (is_adoption) must_fit(world, client, cox_book_adopt(world->book, client->id, node, until_us));
  else if (expected == 0) lease->expires_us = until_us;
  if (expected == 0) client->until_us = until_us;
  else client->state = COX_CLIENT_IDLE;
}

static void talk_nonsense(struct cox_world *world, struct cox_world_client *client) {
  const struct cox_lease_id id = {(uint64_t)world->disk.starts << 32 | below(world, UINT32_MAX), below(world, UINT64_MAX)};
  const struct cox_lease_ask ask = {.model = "no/such"};
  struct cox_lease_grant grant;
  switch (below(world, 3)) {
    case 0: must_be(world, client, "release of a made-up id", cox_lease_release(world->broker, id, COX_LEASE_UNSAID, NULL), COX_ENOENT); break;
    case 1: must_be(world, client, "renewal for ever", cox_lease_renew(world->broker, id, -1, NULL, NULL, NULL, NULL), COX_EINVAL); break;
    default: must_be(world, client, "acquire of an unknown model", cox_lease_acquire(world->broker, &ask, 0, NULL, &grant, NULL), COX_ENOENT);
  }
}

static void stop_waiting(struct cox_world *world, struct cox_world_client *client) {
  cox_book_part(world->book, (int)(client - world->clients));
  client->state = COX_CLIENT_IDLE; /* nothing may come any more */
  must_be(world, client, "cancel", cox_lease_cancel(world->broker, &client->wait), true);
}

static void go_on_holding(struct cox_world *world, struct cox_world_client *client) {
  const uint64_t what = below(world, 10);
  if (client->until_us < world->now_us - AGAIN_US) client->state = COX_CLIENT_IDLE; /* so late nobody knows it any more */
  else if (what < 5) release(world, client);
  else if (what < 8) renew(world, client);
  else if (what == 8) client->state = COX_CLIENT_IDLE; /* it dies, and another one begins */
}

void cox_world_client_act(struct cox_world *world, uint64_t number) {
  struct cox_world_client *const client = &world->clients[number];
  const double rate = world->rate[COX_WORLD_CLIENTS] > 0 ? world->rate[COX_WORLD_CLIENTS] : 0.1;
  cox_world_plan(world, world->now_us + cox_world_span(world, COX_WORLD_CLIENTS, 0.2 / rate, 8 / rate), COX_EVENT_CLIENT, number, 0);
  world->is_touched = true;
  switch (client->state) {
    case COX_CLIENT_IDLE:
      if (below(world, 12) == 0) talk_nonsense(world, client);
      else acquire(world, client);
      break;
    case COX_CLIENT_HOLDS: go_on_holding(world, client); break;
    case COX_CLIENT_WAITS:
      if (below(world, 3) == 0) stop_waiting(world, client);
      break;
  }
}

/* ---- around a pass of the reconciler ---- */

void cox_world_leases_begin_pass(struct cox_world *world) {
  if (world->client_count == 0) return;
  world->is_touched = true;
  world->is_loose = cox_book_expire(world->book, world->now_us) > 1;
}

/* The pass has looked at leases before it started attempts: since then nodes can only have become less. */
void cox_world_leases_end_pass(struct cox_world *world) {
  if (world->client_count == 0) return;
  world->is_loose = false;
  if (world->book->waiting > 0) cox_world_leases_sync(world);
  for (int model = 0; model < COX_WORLD_MODELS; model++) {
    if (cox_book_is_served(world->book, model)) continue;
    cox_world_break(world, "no waiter waits beside a free slot", NULL, "somebody waits for %s after a pass, and it could be served",
                    cox_world_model(model));
  }
}

/* ---- the invariant, after every event ---- */

static void check_node(struct cox_world *world, const struct cox_node *node, const struct cox_book_node *entry) {
  const struct cox_lease_node *const lease = node->lease;
  const bool is_given = lease != NULL && lease->is_serving;
  if (is_given != entry->is_serving) {
    cox_world_break(world, known, entry->id, "%s is %sgiven to clients, and %s serve", entry->id, is_given ? "" : "not ",
                    entry->is_serving ? "does" : "does not");
  } else if (is_given && model_of(lease->group->model->name) != entry->model) {
    cox_world_break(world, known, entry->id, "%s is given for %s", entry->id, lease->group->model->name);
  }
  const int count = lease != NULL ? (int)lease->count : 0;
  if (count != entry->count) cox_world_break(world, equal, entry->id, "%s has %d leases, the book says %d", entry->id, count, entry->count);
}

void cox_world_check_leases(struct cox_world *world) {
  const struct cox_registry *const registry = &world->broker->registry;
  const struct cox_book *const book = world->book;
  if (world->client_count == 0 || !world->is_touched) return; /* only the loops and clients change anything here */
  world->is_touched = false;
  cox_world_leases_sync(world);
  for (size_t i = 0; i < registry->num_count; i++) {
    if (registry->by_num[i] == NULL) continue;
    const int place = place_of(world->book, registry->by_num[i]->registration, i);
    check_node(world, registry->by_num[i], &book->nodes[place]);
  }
  const struct cox_leases *const leases = world->broker->leases;
  if (leases->active != book->live || leases->waiters != book->waiting) {
    cox_world_break(world, equal, NULL, "%zu leases live and %zu wait, the book says %zu and %zu", leases->active, leases->waiters, book->live,
                    book->waiting);
  }
}

void cox_world_check_lease_times(struct cox_world *world) {
  for (int i = 0; world->client_count > 0 && i < COX_BOOK_LEASES; i++) {
    const struct cox_book_lease *const lease = &world->book->leases[i];
    if (!lease->is_live || lease->expires_us + LATE_US >= world->now_us) continue;
    cox_world_break(world, "leases end in time", world->book->nodes[lease->node].id, "a lease lives %.3f s after its time",
                    (double)(world->now_us - lease->expires_us) / 1e6);
  }
  for (unsigned i = 0; i < world->client_count; i++) {
    const struct cox_world_client *const client = &world->clients[i];
    if (client->state != COX_CLIENT_WAITS || client->deadline_us + WAIT_LATE_US >= world->now_us) continue;
    cox_world_break(world, once, NULL, "client %u waits %.3f s after its deadline", i, (double)(world->now_us - client->deadline_us) / 1e6);
  }
}

/* ---- start and end ---- */

/* Leases are soft state: a process begins with none, whatever clients believe to hold. */
void cox_world_leases_start(struct cox_world *world) {
  *world->book = (struct cox_book){0};
  cox_world_leases_sync(world);
}

void cox_world_leases_stop(struct cox_world *world) { cox_lease_stop(world->broker); }

void cox_world_clients_begin(struct cox_world *world) {
  for (unsigned i = 0; i < world->client_count; i++) {
    world->clients[i].world = world;
    cox_world_plan(world, world->now_us + cox_world_span(world, COX_WORLD_CLIENTS, 2, 20), COX_EVENT_CLIENT, i, 0);
  }
}
