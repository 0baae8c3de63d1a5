/* The durable store in virtual time: one commit after the other, each of all that waits, each taking its time; fsync that fails, a
 * disk that is full for a while, batches torn by the end of the process. And what it promises: with every change that goes by, a
 * picture of the broker's memory is taken, straight from the registry. A start must find exactly the picture of the last commit, and
 * that commit must not be older than the last change that was acknowledged.                                                   */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/durable.h"
#include "core/record.h"
#include "sim/world_private.h"

enum { RECORDS_MAX = 400 };

static const char invariant_durable[] = "what was acknowledged is durable", invariant_found[] = "a start finds what was committed";

/* ---- pictures ---- */

struct picture_node {
  int num;
  uint64_t registration;
  json_t *config; /* held */
  struct cox_admin admin;
  struct cox_target *target, *applied; /* held, may be NULL */
};

struct cox_world_picture {
  size_t count;
  uint64_t registrations;
  bool has_episode;
  int64_t height;
  int node_count;
  char hash[COX_HASH_TEXT_MAX];
  struct picture_node nodes[];
};

static struct cox_world_picture *take_picture(struct cox_world *world) {
  const struct cox_registry *const registry = &world->broker->registry;
  struct cox_world_picture *const picture = calloc(1, sizeof *picture + registry->count * sizeof *picture->nodes);
  if (picture == NULL) abort();
  picture->registrations = registry->registrations;
  picture->has_episode = registry->episode.is_set;
  picture->height = registry->episode.height;
  picture->node_count = registry->episode.node_count;
  memcpy(picture->hash, registry->episode.hash, sizeof picture->hash);
  for (size_t i = 0; i < registry->num_count; i++) {
    const struct cox_node *const node = registry->by_num[i];
    if (node == NULL) continue;
    picture->nodes[picture->count++] = (struct picture_node){
        .num = node->num, .registration = node->registration, .config = json_incref(node->config), .admin = node->admin,
        .target = cox_target_hold(node->target), .applied = cox_target_hold(node->applied)};
    cox_admin_hold(&picture->nodes[picture->count - 1].admin);
  }
  return picture;
}

static void free_picture(struct cox_world_picture *picture) {
  for (size_t i = 0; picture != NULL && i < picture->count; i++) {
    struct picture_node *const node = &picture->nodes[i];
    json_decref(node->config);
    cox_admin_fini(&node->admin);
    cox_target_release(node->target);
    cox_target_release(node->applied);
  }
  free(picture);
}

static bool is_same_target(const struct cox_target *left, const struct cox_target *right) {
  return left == NULL || right == NULL ? left == right : cox_target_equal(left, right);
}

static bool is_same_json(const json_t *left, const json_t *right) { return left == NULL || right == NULL ? left == right : json_equal(left, right); }

/* What of the operators' part of the node is not as in the picture, or NULL. */
static const char *what_was_changed(const struct cox_node *node, const struct picture_node *was) {
  if (node == NULL) return "it is not registered any more";
  if (node->registration != was->registration) return "its registration number is another one";
  if (!json_equal(node->config, was->config)) return "its configuration is another one";
  const struct cox_admin *const admin = &node->admin;
  if (admin->is_enabled != was->admin.is_enabled || admin->epoch != was->admin.epoch) return "its admin state is another one";
  if (admin->expires_ms != was->admin.expires_ms) return "its admin state ends at another time";
  if (!is_same_json(admin->reason, was->admin.reason)) return "the reason of its admin state is another one";
  if (!is_same_json(admin->actor, was->admin.actor)) return "the actor of its admin state is another one";
  return NULL;
}

static const char *what_differs(const struct cox_node *node, const struct picture_node *was) {
  const char *const why = what_was_changed(node, was);
  if (why != NULL) return why;
  if (!is_same_target(node->target, was->target)) return "its target is another one";
  if (!is_same_target(node->applied, was->applied)) return "another target counts as reached";
  return NULL;
}

static void compare_nodes(struct cox_world *world, const struct cox_world_picture *picture, const char *invariant,
                          const char *(*differs)(const struct cox_node *node, const struct picture_node *was)) {
  const struct cox_registry *const registry = &world->broker->registry;
  for (size_t i = 0; i < picture->count; i++) {
    const struct picture_node *const was = &picture->nodes[i];
    const char *const id = json_string_value(json_object_get(was->config, "id"));
    const struct cox_node *const node = (size_t)was->num < registry->num_count ? registry->by_num[was->num] : NULL;
    const char *const why = differs(node, was);
    if (why != NULL) cox_world_break(world, invariant, id, "%s (number %d) is not as it was committed: %s", id, was->num, why);
  }
  if (registry->count == picture->count) return;
  cox_world_break(world, invariant, NULL, "%zu nodes are there, %zu were committed", registry->count, picture->count);
}

static void compare(struct cox_world *world, const struct cox_world_picture *picture) {
  const struct cox_registry *const registry = &world->broker->registry;
  compare_nodes(world, picture, invariant_found, what_differs);
  const bool is_same_episode = registry->episode.is_set == picture->has_episode &&
                               (!picture->has_episode || (registry->episode.height == picture->height &&
                                                          registry->episode.node_count == picture->node_count &&
                                                          strcmp(registry->episode.hash, picture->hash) == 0));
  if (!is_same_episode) {
    cox_world_break(world, invariant_found, NULL, "the episode after the start is that of block %" PRId64 " with %d nodes, committed was %" PRId64
                    " with %d", registry->episode.height, registry->episode.node_count, picture->height, picture->node_count);
  }
  if (registry->registrations != picture->registrations) {
    cox_world_break(world, invariant_found, NULL, "%" PRIu64 " registrations are counted after the start, %" PRIu64 " were committed",
                    registry->registrations, picture->registrations);
  }
}

/* People see what the nodes are to be, before anything is known about what they are. */
static void check_shown(struct cox_world *world) {
  const struct cox_registry *const registry = &world->broker->registry;
  for (size_t i = 0; i < registry->num_count; i++) {
    const struct cox_node *const node = registry->by_num[i];
    if (node == NULL || node->target == NULL) continue;
    json_t *const seen = cox_broker_node_json(world->broker, cox_node_id(node));
    const char *const shown = json_string_value(json_object_get(json_object_get(seen, "state"), "intended_status"));
    if (shown == NULL || strcmp(shown, cox_status_name(node->target->status)) != 0) {
      cox_world_break(world, invariant_found, cox_node_id(node), "%s is to be %s, and %s is shown", cox_node_id(node),
                      cox_status_name(node->target->status), shown != NULL ? shown : "nothing");
    }
    json_decref(seen);
  }
}

/* ---- the process's side ---- */

struct cox_world_entry {
  struct cox_world_entry *next;
  struct cox_batch *batch;
  uint64_t number; /* of the change; 0: it changes no state */
  struct cox_world_picture *picture; /* NULL: no state, or one that is not memory's */
};

static bool has_state(const struct cox_batch *batch) {
  for (size_t i = 0; i < batch->count; i++) {
    if (cox_record_is_state(batch->records[i])) return true;
  }
  return false;
}

static int64_t commit_us(struct cox_world *world) {
  const int64_t usual_us = cox_world_span(world, COX_WORLD_DISK, 0.0002, 0.003), slow_us = cox_world_span(world, COX_WORLD_DISK, 0.02, 0.8);
  const int64_t stuck_us = cox_world_span(world, COX_WORLD_DISK, 1, 8);
  const bool is_slow = cox_world_roll(world, COX_WORLD_DISK, 0.05), is_stuck = cox_world_roll(world, COX_WORLD_DISK, 0.002);
  return is_stuck ? stuck_us : is_slow ? slow_us : usual_us;
}

static void plan(struct cox_world *world, int64_t at_us) {
  cox_world_plan(world, at_us, COX_EVENT_STORE, world->lives, ++world->disk.token);
}

static void begin_commit(struct cox_world *world) {
  struct cox_world_store *const store = &world->disk;
  if (store->first == NULL || store->in_commit > 0) return;
  for (const struct cox_world_entry *entry = store->first; entry != NULL; entry = entry->next) store->in_commit++;
  const int64_t takes_us = commit_us(world);
  plan(world, world->now_us + takes_us);
  if (!store->is_doomed) return;
  store->is_doomed = false;
  cox_world_plan(world, world->now_us + (int64_t)cox_world_below(world, COX_WORLD_DISK, (uint64_t)takes_us), COX_EVENT_RESTART, 0, 1);
}

static bool is_rewrite(const struct cox_batch *batch) { return batch->count > 0 && batch->records[0]->kind == COX_RECORD_RESET; }

/* State that goes by while the store's is not memory's, because it could not be written: only a rewrite makes them equal. */
static bool is_partial(const struct cox_world *world, const struct cox_batch *batch) {
  return !is_rewrite(batch) && (world->broker->ledger.owes || world->broker->ledger.is_degraded);
}

static int append(void *ctx, struct cox_batch *batch, struct cox_err *err) {
  struct cox_world *const world = ctx;
  struct cox_world_store *const store = &world->disk;
  const bool is_owed = store->is_owed;
  store->is_owed = false;
  if (store->is_dead) return cox_err_set(err, COX_ESTOPPED, "the process has ended");
  cox_world_leases_sync(world); /* what is undone below was so for a moment */
  if (store->is_shut) return cox_err_set(err, COX_EDEGRADED, "%s", store->why);
  if (store->waiting + batch->count > RECORDS_MAX) {
    world->is_unsteady = true;
    world->exchange.sure_us = world->now_us;
    store->refused++;
    cox_world_trace(world, "the disk is given too much");
    return cox_err_set(err, COX_EFULL, "%zu records wait for the disk", store->waiting);
  }
  struct cox_world_entry *const entry = calloc(1, sizeof *entry);
  if (entry == NULL) abort();
  entry->batch = batch;
  if (has_state(batch)) {
    entry->number = ++store->appended;
    entry->picture = is_partial(world, batch) ? NULL : take_picture(world);
    if (is_owed) store->promised = entry->number;
  }
  *store->end = entry;
  store->end = &entry->next;
  store->waiting += batch->count;
  begin_commit(world);
  return 0;
}

static void watch(void *ctx, void (*is_back)(void *arg), void *arg) {
  struct cox_world_store *const store = &((struct cox_world *)ctx)->disk;
  store->is_back = is_back;
  store->is_back_arg = arg;
}

static int64_t retry_us(struct cox_world *world) { return cox_world_span(world, COX_WORLD_DISK, 0.05, 0.5); }

static void settle(void *ctx) {
  struct cox_world *const world = ctx;
  if (world->disk.is_dead || world->disk.is_settled) return;
  if (world->disk.picture != NULL) compare_nodes(world, world->disk.picture, "what was refused is undone", what_was_changed);
  world->disk.is_settled = true;
  plan(world, world->now_us + retry_us(world));
}

static int load(void *ctx, struct cox_stored *out, struct cox_err *err) {
  struct cox_world *const world = ctx;
  struct cox_world_store *const store = &world->disk;
  (void)err;
  *out = (struct cox_stored){.tables = json_deep_copy(store->tables), .seq = store->seq, .start = ++store->starts};
  if (store->full_until_us <= world->now_us) return 0;
  store->is_shut = out->is_shut = true;
  cox_err_set(&out->why, COX_ESYS, "the disk is full");
  snprintf(store->why, sizeof store->why, "the disk is full");
  return 0;
}

/* ---- the disk's side ---- */

/* Not what is kept: scripts are long, and name folders that differ from one machine to the other. */
static void trace_record(struct cox_world *world, const struct cox_record *record, const json_t *json) {
  if (record->kind != COX_RECORD_KEEP) cox_world_trace_json(world, "record", json);
  else cox_world_trace(world, "keeps %s", json_string_value(json_object_get(json, "name")));
}

/* The first `count` that wait are written: all of them, or none. */
static void write_first(struct cox_world *world, size_t count) {
  struct cox_world_store *const store = &world->disk;
  struct cox_world_entry *entry = store->first;
  for (size_t n = 0; n < count; n++, entry = entry->next) {
    cox_world_journal_write(world, entry->batch);
    for (size_t i = 0; i < entry->batch->count; i++) {
      const struct cox_record *const record = entry->batch->records[i];
      if (!cox_record_is_state(record)) continue;
      json_t *const json = cox_record_json(record);
      cox_durable_fold_into(store->tables, json);
      trace_record(world, record, json);
      json_decref(json);
    }
    if (entry->number == 0) continue;
    free_picture(store->picture);
    store->picture = entry->picture;
    entry->picture = NULL;
    store->committed = entry->number;
  }
}

static struct cox_world_entry *take_first(struct cox_world_store *store) {
  struct cox_world_entry *const entry = store->first;
  store->first = entry->next;
  if (store->first == NULL) store->end = &store->first;
  store->waiting -= entry->batch->count;
  return entry;
}

static void acknowledge(struct cox_world *world, size_t count) {
  struct cox_world_store *const store = &world->disk;
  for (; count > 0; count--) {
    struct cox_world_entry *const entry = take_first(store);
    store->answering = entry->number;
    entry->batch->done(entry->batch, NULL);
    store->answering = 0;
    free(entry);
  }
}

static void fail(struct cox_world *world, const char *why) {
  struct cox_world_store *const store = &world->disk;
  struct cox_err err = {0};
  cox_err_set(&err, COX_ESYS, "%s", why);
  snprintf(store->why, sizeof store->why, "%s", why);
  store->is_shut = true;
  store->is_settled = false;
  store->in_commit = 0;
  world->is_unsteady = true;
  if (!store->is_dead) world->exchange.sure_us = world->now_us;
  world->undos++;
  while (store->first != NULL) {
    struct cox_world_entry *const entry = take_first(store);
    if (entry->number != 0 && entry->number <= store->promised && !store->is_dead) {
      cox_world_break(world, invariant_durable, NULL, "change %" PRIu64 " was acknowledged, and then its commit failed", entry->number);
    }
    entry->batch->done(entry->batch, &err);
    free_picture(entry->picture);
    free(entry);
  }
}

static void test_write(struct cox_world *world) {
  struct cox_world_store *const store = &world->disk;
  if (store->full_until_us > world->now_us) {
    plan(world, world->now_us + retry_us(world));
    return;
  }
  cox_world_trace(world, "the disk can be written again");
  store->is_shut = store->is_settled = false;
  store->is_back(store->is_back_arg);
}

void cox_world_store_go_on(struct cox_world *world, uint64_t token) {
  struct cox_world_store *const store = &world->disk;
  if (token != store->token) return;
  if (store->is_shut) {
    test_write(world);
    return;
  }
  const size_t count = store->in_commit;
  const bool has_failed = cox_world_roll(world, COX_WORLD_DISK, 0.004), is_full = store->full_until_us > world->now_us;
  cox_world_trace(world, "commits %zu%s", count, is_full ? ": the disk is full" : has_failed ? ": fsync fails" : "");
  if (has_failed || is_full) {
    fail(world, is_full ? "the disk is full" : "fsync failed");
    return;
  }
  store->in_commit = 0;
  write_first(world, count);
  acknowledge(world, count);
  begin_commit(world);
}

void cox_world_fill_disk(struct cox_world *world) {
  const double rate = world->rate[COX_WORLD_DISK] > 0 ? world->rate[COX_WORLD_DISK] : 0.05;
  world->disk.full_until_us = world->now_us + cox_world_span(world, COX_WORLD_DISK, 0.2, 8);
  cox_world_trace(world, "the disk is full for a while");
  cox_world_plan(world, world->now_us + cox_world_span(world, COX_WORLD_DISK, 20 / rate, 120 / rate), COX_EVENT_DISK, 0, 0);
}

/* ---- promises ---- */

void cox_world_store_answered(struct cox_world *world, const char *command) {
  static const char *const names[] = {"register_node", "update_node", "remove_node", "set_admin_state", NULL};
  struct cox_world_store *const store = &world->disk;
  for (size_t i = 0; names[i] != NULL; i++) {
    if (strcmp(names[i], command) != 0 || store->is_dead) continue;
    if (store->answering > store->promised) store->promised = store->answering;
    store->is_owed = store->answering == 0; /* what comes next is what was answered */
  }
}

static void on_kept(void *arg, const struct cox_err *err) {
  struct cox_world_keep *const keep = arg;
  if (*keep->is_dead) return; /* nobody has heard it */
  if (err == NULL) keep->known = keep->open;
  keep->open = 0;
}

void cox_world_keep(struct cox_world *world, unsigned which) {
  struct cox_world_keep *const keep = &world->disk.keeps[which % COX_WORLD_KEEPS];
  struct cox_err err = {0};
  char name[16];
  if (keep->open != 0) return;
  snprintf(name, sizeof name, "k%u", which % COX_WORLD_KEEPS);
  keep->is_dead = &world->disk.is_dead;
  keep->open = ++world->disk.kept;
  if (cox_broker_keep(world->broker, "sim", name, json_integer(keep->open), on_kept, keep, &err) != 0) keep->open = 0;
}

static void check_keeps(struct cox_world *world) {
  for (unsigned i = 0; i < COX_WORLD_KEEPS; i++) {
    struct cox_world_keep *const keep = &world->disk.keeps[i];
    char name[16];
    snprintf(name, sizeof name, "k%u", i);
    json_t *const value = cox_broker_kept(world->broker, "sim", name);
    const int64_t found = json_integer_value(value);
    json_decref(value);
    if (found != keep->known && (found != keep->open || found == 0)) {
      cox_world_break(world, invariant_durable, NULL, "%s is %" PRId64 " after the start, kept was %" PRId64, name, found, keep->known);
    }
    keep->known = found;
    keep->open = 0;
  }
}

/* ---- start and end ---- */

void cox_world_store_begin(struct cox_world *world) {
  struct cox_world_store *const store = &world->disk;
  if (store->tables == NULL) store->tables = json_object();
  store->store = (struct cox_store){.ctx = world, .load = load, .watch = watch, .append = append, .settle = settle, .read = cox_world_journal_read};
  store->end = &store->first;
  store->is_dead = store->is_shut = store->is_settled = store->is_owed = false;
  store->in_commit = 0;
}

void cox_world_store_found(struct cox_world *world) {
  struct cox_world_store *const store = &world->disk;
  if (store->committed < store->promised) {
    cox_world_break(world, invariant_durable, NULL, "change %" PRIu64 " was acknowledged, the last one found after the start is %" PRIu64,
                    store->promised, store->committed);
  }
  if (store->picture != NULL) compare(world, store->picture);
  check_shown(world);
  check_keeps(world);
  /* What was not committed has never been: its numbers are given out again. */
  store->appended = store->committed;
}

bool cox_world_store_is_idle(const struct cox_world *world) { return world->disk.first == NULL && !world->disk.is_shut; }

void cox_world_store_flush(struct cox_world *world) {
  struct cox_world_store *const store = &world->disk;
  if (store->is_shut || store->full_until_us > world->now_us) return;
  while (store->first != NULL) {
    size_t count = 0;
    for (const struct cox_world_entry *entry = store->first; entry != NULL; entry = entry->next) count++;
    store->in_commit = 0;
    write_first(world, count);
    acknowledge(world, count);
  }
}

void cox_world_store_die(struct cox_world *world) {
  struct cox_world_store *const store = &world->disk;
  const bool is_through = cox_world_below(world, COX_WORLD_DISK, 2) == 0;
  if (store->in_commit > 0) cox_world_trace(world, "a commit of %zu is torn: %s", store->in_commit, is_through ? "all of it is there" : "nothing of it is");
  if (is_through) write_first(world, store->in_commit);
  const bool is_behind = store->is_shut || world->broker->ledger.is_degraded; /* blocks were followed in memory alone */
  store->is_whole = store->picture != NULL && store->committed == store->appended && !is_behind;
  store->is_dead = true;
  fail(world, "the process has ended");
}

void cox_world_store_fini(struct cox_world *world) {
  free_picture(world->disk.picture);
  json_decref(world->disk.tables);
}
