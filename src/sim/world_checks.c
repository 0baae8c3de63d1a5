/* The invariants: what must hold after every event, whatever has happened. One function each, in a list. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/txn_private.h"
#include "sim/world_private.h"

enum { QUEUE_MAX = 64, TIMERS_PER_NODE = 4096, LATE_MS = 10000 };

#define REGISTRY (&world->broker->registry)

/* ---- after every event ---- */

static void no_lock_is_held(struct cox_world *world) {
  if (cox_lock_held() != 0) cox_world_break(world, "no lock is held", NULL, "%d locks are held after an event", cox_lock_held());
}

static void no_wake_up_is_lost(struct cox_world *world) {
  const struct cox_reconciler *const reconciler = &world->broker->reconciler;
  const struct cox_node *const dirty = REGISTRY->dirty_first;
  if (dirty != NULL && !reconciler->is_triggered && !world->is_reconcile_planned) {
    cox_world_break(world, "no wake-up is lost", cox_node_id(dirty), "%s is dirty, and cox-reconcile sleeps", cox_node_id(dirty));
  }
  if (world->results != NULL && !world->broker->commands.is_woken && !world->is_command_planned) {
    cox_world_break(world, "no wake-up is lost", NULL, "results wait, and cox-command sleeps");
  }
}

static void queues_are_bounded(struct cox_world *world) {
  for (int priority = 0; priority < COX_PRIORITY_COUNT; priority++) {
    const size_t depth = world->broker->commands.queue[priority].count;
    if (depth > QUEUE_MAX) cox_world_break(world, "queues are bounded", NULL, "%zu commands wait, more than %d", depth, QUEUE_MAX);
  }
  const size_t timers = world->broker->reconciler.timers.count, most = TIMERS_PER_NODE * (REGISTRY->count + 1);
  if (timers > most) cox_world_break(world, "queues are bounded", NULL, "%zu timers for %zu nodes", timers, REGISTRY->count);
}

static void attempts_are_counted(struct cox_world *world) {
  size_t out = world->stray_results;
  for (const struct cox_world_run *run = world->runs; run != NULL; run = run->next) out += run->attempt != NULL;
  if (out != REGISTRY->in_flight) {
    cox_world_break(world, "each attempt comes back once", NULL, "%zu are out, the core counts %zu", out, REGISTRY->in_flight);
  }
}

/* An answer may wait for the disk, for nothing else. */
static void nobody_is_forgotten(struct cox_world *world) {
  const struct cox_commands *const commands = &world->broker->commands;
  const bool is_busy = commands->is_woken || world->is_command_planned || commands->queue[COX_PRIORITY_HIGH].count > 0 ||
                       commands->queue[COX_PRIORITY_LOW].count > 0;
  if (world->open_questions == 0 || is_busy || world->disk.first != NULL) return;
  cox_world_break(world, "each command is answered once", NULL, "%zu commands were served without an answer", world->open_questions);
}

static const struct {
  const char *name;
  void (*check)(struct cox_world *world);
} checks[] = {
    {"no lock is held", no_lock_is_held}, /* first: the others could wait for ever */
    {"no wake-up is lost", no_wake_up_is_lost},
    {"queues are bounded", queues_are_bounded},
    {"each attempt comes back once", attempts_are_counted},
    {"a drain is waited for", cox_world_drain_check_wake},
    {"each command is answered once", nobody_is_forgotten},
    {"leases equal their book", cox_world_check_leases},
};

const char *const *cox_world_invariants(void) {
  static const char *const names[] = {"no lock is held",
                                      "no wake-up is lost",
                                      "queues are bounded",
                                      "each attempt comes back once",
                                      "each command is answered once",
                                      "one attempt per node",
                                      "one mutating call per machine",
                                      "attempts run what is recorded",
                                      "attempts have a deadline",
                                      "backoff is kept",
                                      "a drain is waited for",
                                      "a changed intent begins anew",
                                      "an equal target changes nothing",
                                      "results are applied by their fence",
                                      "outdated attempts are cancelled",
                                      "a pass leaves no work",
                                      "the node count covers all",
                                      "numbers are distinct",
                                      "one episode, one block",
                                      "intents are explained",
                                      "handlers do not fail",
                                      "jobs do not fail",
                                      "jobs carry over what they save",
                                      "scripts load",
                                      "the fleet converges",
                                      "machines are what they are called",
                                      "no attempt before the first block",
                                      "a refused reload changes nothing",
                                      "exchanges come to what was foretold",
                                      "scripts out of use are freed",
                                      "a start runs the scripts that were chosen",
                                      "what was acknowledged is durable",
                                      "a start finds what was committed",
                                      "each line of the journal is told once",
                                      "what was refused is undone",
                                      "degraded mode ends",
                                      "leases equal their book",
                                      "leases know who serves",
                                      "leases end in time",
                                      "each waiter is answered once",
                                      "no waiter waits beside a free slot",
                                      "an admin state ends at its time",
                                      NULL};
  return names;
}

void cox_world_check(struct cox_world *world) {
  for (size_t i = 0; i < sizeof checks / sizeof *checks && !world->is_over; i++) checks[i].check(world);
}

/* ---- after commands ---- */

void cox_world_forget_seen(struct cox_world *world) {
  for (size_t i = 0; i < world->seen_count; i++) {
    cox_target_release(world->seen[i].target);
    cox_target_release(world->seen[i].older);
  }
  free(world->seen);
  world->seen = NULL;
  world->seen_count = world->drains = 0;
}

struct cox_world_node *cox_world_seen(const struct cox_world *world, uint64_t registration) {
  for (size_t i = 0; i < world->seen_count; i++) {
    if (world->seen[i].registration == registration) return &world->seen[i];
  }
  return NULL;
}

/* `commands`: so many ran since. */
static void remember(struct cox_world *world, uint64_t commands) {
  struct cox_world_node *const list = calloc(REGISTRY->count + 1, sizeof *list);
  if (list == NULL) abort();
  size_t count = 0, drains = 0;
  for (size_t i = 0; i < REGISTRY->num_count; i++) {
    const struct cox_node *const node = REGISTRY->by_num[i];
    if (node == NULL) continue;
    struct cox_world_node *const now = &list[count++];
    *now = (struct cox_world_node){.registration = node->registration, .generation = node->generation, .target = cox_target_hold(node->target)};
    cox_world_drain_follow(world, node, cox_world_seen(world, node->registration), now, commands);
    drains += now->drain.until_us != 0;
  }
  cox_world_forget_seen(world);
  world->seen = list;
  world->seen_count = count;
  world->drains = drains;
}

static void check_target(struct cox_world *world, const struct cox_node *node, uint64_t count) {
  const struct cox_world_node *const before = cox_world_seen(world, node->registration);
  if (node->target != NULL && json_string_length(node->target->reason) == 0) {
    cox_world_break(world, "intents are explained", cox_node_id(node), "%s has a target without a reason", cox_node_id(node));
  }
  if (before == NULL || before->target == node->target) return;
  if (before->generation == node->generation || node->failures != 0 || node->next_at_us != 0) {
    cox_world_break(world, "a changed intent begins anew", cox_node_id(node),
                    "%s has a new target: generation %" PRIu64 " → %" PRIu64 ", %u failures", cox_node_id(node), before->generation,
                    node->generation, node->failures);
  }
  if (count == 1 && cox_target_equal(before->target, node->target)) {
    cox_world_break(world, "an equal target changes nothing", cox_node_id(node), "%s got an equal target as a new one", cox_node_id(node));
  }
}

/* What policy says when it is asked again is what the nodes have: nothing else sets intents, and nothing was forgotten. */
void cox_world_check_intents(struct cox_world *world) {
  json_t *const now = REGISTRY->world;
  const char *const command = json_string_value(json_object_get(now, "command"));
  if (command == NULL || world->is_unsteady || !json_is_true(json_object_get(now, "synced"))) return;
  const struct cox_policy *const policy = world->scripts.policy;
  struct cox_answer answer = {0};
  struct cox_txn txn;
  json_t *const args = json_object();
  cox_txn_init(&txn, world->broker);
  policy->run(policy->ctx, command, args, &txn, &answer);
  for (const struct cox_change *change = txn.first; change != NULL && answer.outcome == COX_ANSWER_DONE; change = change->next) {
    if (change->target == NULL) continue;
    const struct cox_node *const node = REGISTRY->by_num[change->slot];
    json_t *const target = cox_target_json(change->target, true);
    char *const said = json_dumps(target, JSON_COMPACT | JSON_SORT_KEYS);
    cox_world_break(world, "intents are explained", cox_node_id(node), "%s would ask something else of %s now: %.600s", command,
                    cox_node_id(node), said);
    free(said);
    json_decref(target);
  }
  cox_txn_fini(&txn);
  cox_answer_fini(&answer);
  json_decref(args);
}

static const struct cox_world_episode *episode_of(const struct cox_world *world, int64_t height) {
  for (size_t i = 0; i < world->episode_count; i++) {
    if (world->episodes[i].height == height) return &world->episodes[i];
  }
  return NULL;
}

void cox_world_forget_episodes(struct cox_world *world) {
  free(world->episodes);
  world->episodes = NULL;
  world->episode_count = 0;
}

static struct cox_world_episode *begin_episode(struct cox_world *world, int64_t height, const char *hash, int64_t count) {
  if (world->episode_count == COX_WORLD_EPISODES) return NULL;
  if (world->episodes == NULL) world->episodes = calloc(COX_WORLD_EPISODES, sizeof *world->episodes);
  if (world->episodes == NULL) abort();
  struct cox_world_episode *const episode = &world->episodes[world->episode_count++];
  *episode = (struct cox_world_episode){.height = height, .count = count};
  snprintf(episode->hash, sizeof episode->hash, "%s", hash);
  return episode;
}

static int64_t highest_num(const struct cox_world *world) {
  int64_t highest = -1;
  for (size_t i = 0; i < REGISTRY->num_count; i++) {
    if (REGISTRY->by_num[i] != NULL) highest = (int64_t)i;
  }
  return highest;
}

void cox_world_find_episode(struct cox_world *world) {
  if (!REGISTRY->episode.is_set || episode_of(world, REGISTRY->episode.height) != NULL) return;
  begin_episode(world, REGISTRY->episode.height, REGISTRY->episode.hash, REGISTRY->episode.node_count);
}

/* The job `clock` tells its story anew in a new process: what comes after this block has not been yet. */
static void forget_later_episodes(struct cox_world *world, int64_t height) {
  for (size_t i = 0; i < world->episode_count;) {
    if (world->episodes[i].height <= height) i++;
    else world->episodes[i] = world->episodes[--world->episode_count];
  }
}

/* It is fixed with its first target, and covers whoever is registered then. */
static void check_episode(struct cox_world *world, uint64_t count) {
  if (!REGISTRY->episode.is_set || episode_of(world, REGISTRY->episode.height) != NULL) return;
  if (world->is_clock_job) forget_later_episodes(world, REGISTRY->episode.height);
  begin_episode(world, REGISTRY->episode.height, REGISTRY->episode.hash, REGISTRY->episode.node_count);
  if (count != 1 || REGISTRY->episode.node_count == highest_num(world) + 1) return;
  cox_world_break(world, "the node count covers all", NULL, "the episode of block %" PRId64 " has node_count %d, the highest number is %" PRId64,
                  REGISTRY->episode.height, REGISTRY->episode.node_count, highest_num(world));
}

/* Unless it was tried and could not be stored, or the loop was late: then it is tried again. */
static void check_admin(struct cox_world *world, const struct cox_node *node) {
  struct cox_broker *const broker = world->broker;
  const int64_t wall_ms = cox_clock_wall_ms(broker->options.clock) - LATE_MS;
  if (!cox_admin_is_over(&node->admin, wall_ms) || broker->expiry.not_before_us > world->now_us - LATE_MS * 1000) return;
  const char *const id = cox_node_id(node);
  cox_world_break(world, "an admin state ends at its time", id, "the disable of %s is over since more than %d ms", id, LATE_MS);
}

void cox_world_check_commands(struct cox_world *world, uint64_t count) {
  if (count == 0) return;
  for (size_t i = 0; i < REGISTRY->num_count; i++) {
    if (REGISTRY->by_num[i] == NULL) continue;
    check_target(world, REGISTRY->by_num[i], count);
    check_admin(world, REGISTRY->by_num[i]);
  }
  check_episode(world, count);
  remember(world, count);
  if (REGISTRY->count <= 20 || world->outcome.commands % 8 == 0) cox_world_check_intents(world);
}

/* ---- after a pass of the reconciler ---- */

static bool is_cancel_asked(const struct cox_world *world, uint64_t attempt) {
  for (const struct cox_world_run *run = world->runs; run != NULL; run = run->next) {
    if (run->attempt != NULL && run->attempt->fence.attempt == attempt) return run->is_cancel_asked;
  }
  return true; /* it is back already */
}

static bool is_departing(const struct cox_world *world, uint64_t url_hash) {
  for (const struct cox_world_run *run = world->runs; run != NULL; run = run->next) {
    if (run->attempt != NULL && run->attempt->kind == COX_ATTEMPT_REACH && cox_node_url_hash(run->attempt->node, true) == url_hash) return true;
  }
  return world->results != NULL; /* on its way */
}

static void check_left(struct cox_world *world, const struct cox_node *node) {
  const char *const id = cox_node_id(node);
  const struct cox_in_flight *const flight = &node->flight;
  if (flight->attempt != 0) {
    const bool is_outdated = flight->generation != node->generation || flight->is_unwanted;
    if (is_outdated && !is_cancel_asked(world, flight->attempt)) {
      cox_world_break(world, "outdated attempts are cancelled", id, "attempt %" PRIu64 " of %s is outdated, and its worker was not told",
                      flight->attempt, id);
    }
    return;
  }
  if (!REGISTRY->is_armed || !cox_node_needs_attempt(node)) return;
  const bool is_planned = node->next_at_us > world->now_us && node->look_at_us == node->next_at_us;
  if (is_planned || is_departing(world, node->url_hash)) return;
  if (cox_world_drains(world, node) && node->look_at_us > world->now_us && node->look_at_us <= world->now_us + COX_WORLD_S) return;
  cox_world_break(world, "a pass leaves no work", id, "%s needs an attempt, none is in flight and nothing will look at it", id);
}

void cox_world_check_pass(struct cox_world *world) {
  if (REGISTRY->dirty_first != NULL) {
    cox_world_break(world, "a pass leaves no work", cox_node_id(REGISTRY->dirty_first), "a node is dirty after a pass");
  }
  for (size_t i = 0; i < REGISTRY->num_count; i++) {
    if (REGISTRY->by_num[i] != NULL) check_left(world, REGISTRY->by_num[i]);
  }
}

/* ---- when an attempt is handed over ---- */

static void check_alone(struct cox_world *world, const struct cox_attempt *attempt, const char *id) {
  const uint64_t url_hash = cox_node_url_hash(attempt->node, true);
  for (const struct cox_world_run *run = world->runs; run != NULL; run = run->next) {
    if (run->attempt == NULL || run->attempt->kind != attempt->kind) continue;
    const bool is_same = run->attempt->fence.registration == attempt->fence.registration;
    const bool is_at_machine = attempt->kind == COX_ATTEMPT_REACH && cox_node_url_hash(run->attempt->node, true) == url_hash;
    if (!is_same && !is_at_machine) continue;
    cox_world_break(world, "one attempt per node", id, "attempt %" PRIu64 " of %s starts while %" PRIu64 " is out", attempt->fence.attempt,
                    id, run->attempt->fence.attempt);
  }
}

static void check_deadline(struct cox_world *world, const struct cox_attempt *attempt, const char *id) {
  const struct cox_policy *const policy = world->scripts.policy;
  const char *const kind = json_string_value(json_object_get(attempt->node, "kind"));
  const double limit_s = attempt->kind == COX_ATTEMPT_PROBE ? world->broker->options.probe_timeout_s
                                                            : policy->limit_s(policy->ctx, kind, attempt->target->status);
  const int64_t given_us = attempt->deadline_us - world->now_us;
  if (given_us > 0 && given_us <= (int64_t)(limit_s * 1e6)) return;
  cox_world_break(world, "attempts have a deadline", id, "attempt %" PRIu64 " of %s has %.1f s, its driver asks for %.1f",
                  attempt->fence.attempt, id, (double)given_us / 1e6, limit_s);
}

void cox_world_check_start(struct cox_world *world, const struct cox_attempt *attempt) {
  const char *const id = json_string_value(json_object_get(attempt->node, "id"));
  const struct cox_node *const node = cox_registry_find_registration(REGISTRY, attempt->fence.registration);
  check_alone(world, attempt, id);
  check_deadline(world, attempt, id);
  if (attempt->kind == COX_ATTEMPT_PROBE || node == NULL) return;
  const bool is_as_recorded = node->flight.attempt == attempt->fence.attempt && node->flight.target == attempt->target &&
                              node->target == attempt->target && node->generation == attempt->fence.generation;
  if (!world->has_block) {
    cox_world_break(world, "no attempt before the first block", id, "attempt %" PRIu64 " of %s starts, and this process has seen no synced block",
                    attempt->fence.attempt, id);
  }
  if (!is_as_recorded || !REGISTRY->is_armed) {
    cox_world_break(world, "attempts run what is recorded", id, "attempt %" PRIu64 " of %s is not the recorded one", attempt->fence.attempt, id);
  }
  cox_world_drain_check_start(world, node);
  if (node->next_at_us > world->now_us) {
    cox_world_break(world, "backoff is kept", id, "attempt %" PRIu64 " of %s starts %.3f s before the end of its backoff",
                    attempt->fence.attempt, id, (double)(node->next_at_us - world->now_us) / 1e6);
  }
}

/* ---- when a machine is told its part of an episode ---- */

static int64_t number_of(const json_t *body, const char *key) { return json_integer_value(json_object_get(body, key)); }

static void check_block(struct cox_world *world, const char *id, int64_t height, const char *hash) {
  struct cox_chain_block block;
  if (world->is_clock_job || !cox_chain_state_block(world->chain, height, &block)) return;
  const struct cox_chain_epoch epoch = cox_chain_state_epoch(world->chain, height);
  if (strcmp(block.hash, hash) == 0 && epoch.poc_start == height) return;
  cox_world_break(world, "one episode, one block", id, "%s was told of an episode of block %" PRId64 " %.16s…, which began none", id, height, hash);
}

static void check_number(struct cox_world *world, struct cox_world_episode *episode, const char *id, int64_t node_id, uint64_t registration) {
  for (size_t i = 0; i < episode->number_count; i++) {
    if (episode->numbers[i].node_id != node_id) continue;
    if (episode->numbers[i].registration == registration) return;
    cox_world_break(world, "numbers are distinct", id, "%s got number %" PRId64 " in the episode of block %" PRId64
                    ", as another registration before", id, node_id, episode->height);
    return;
  }
  if (episode->number_count == sizeof episode->numbers / sizeof *episode->numbers) return;
  episode->numbers[episode->number_count].node_id = node_id;
  episode->numbers[episode->number_count++].registration = registration;
}

void cox_world_check_init(struct cox_world *world, const struct cox_world_run *run, const char *path, const json_t *body) {
  if (strstr(path, "/pow/init/") == NULL || run->attempt == NULL) return;
  const char *const id = json_string_value(json_object_get(run->attempt->node, "id"));
  const char *const hash = json_string_value(json_object_get(body, "block_hash"));
  const int64_t height = number_of(body, "block_height"), node_id = number_of(body, "node_id"), count = number_of(body, "node_count");
  if (hash == NULL) return; /* the node itself refuses it */
  struct cox_world_episode *episode = (struct cox_world_episode *)(uintptr_t)episode_of(world, height);
  if (episode == NULL) episode = begin_episode(world, height, hash, count);
  if (episode == NULL) return;
  check_block(world, id, height, hash);
  if (strcmp(episode->hash, hash) != 0) {
    cox_world_break(world, "one episode, one block", id, "%s got hash %.16s… for block %" PRId64 ", others %.16s…", id, hash, height, episode->hash);
  }
  if (count != episode->count || node_id < 0 || node_id >= count) {
    cox_world_break(world, "the node count covers all", id, "%s got node_id %" PRId64 " of %" PRId64 "; the episode has %" PRId64, id, node_id,
                    count, episode->count);
  }
  check_number(world, episode, id, node_id, run->attempt->fence.registration);
}
