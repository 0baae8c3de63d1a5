/* The core's part of `GET /metrics`. One short look under the read lock, the rest from atomics. */
#include <stdio.h>
#include <string.h>

#include "core/engine.h"

#define LOCK broker->registry.lock

/* What the read lock is needed for. */
struct census {
  uint64_t nodes[COX_STATUS_COUNT][COX_POC_COUNT];
  uint64_t converged, dirty, adds, in_flight;
  json_t *world; /* held; may be NULL */
  int64_t world_at_us;
};

static void take(struct cox_broker *broker, struct census *census) COX_EXCLUDES(LOCK) {
  *census = (struct census){0};
  cox_rwlock_read(&LOCK);
  const struct cox_registry *const registry = &broker->registry;
  for (size_t i = 0; i < registry->num_count; i++) {
    const struct cox_node *const node = registry->by_num[i];
    if (node == NULL) continue;
    census->nodes[node->current][node->current_poc]++;
    census->converged += cox_node_is_converged(node);
  }
  census->dirty = registry->dirty_count;
  census->adds = registry->dirty_adds;
  census->in_flight = registry->in_flight;
  census->world = json_incref(registry->world);
  census->world_at_us = registry->world_at_us;
  cox_rwlock_read_unlock(&LOCK);
}

static uint64_t load(const atomic_uint_fast64_t *counter) { return atomic_load_explicit(counter, memory_order_relaxed); }

static bool single(struct cox_buf *out, const char *name, const char *type, const char *help, uint64_t value) {
  return cox_metrics_head(out, name, type, help) && cox_metrics_count(out, name, NULL, value);
}

static bool put_nodes(struct cox_buf *out, const struct census *census) {
  bool is_whole = cox_metrics_head(out, "coxswain_nodes", "gauge", "Registered nodes by what they are.");
  for (int status = 0; status < COX_STATUS_COUNT; status++) {
    for (int poc = 0; poc < COX_POC_COUNT; poc++) {
      if (poc != COX_POC_IDLE && status != COX_STATUS_POC && census->nodes[status][poc] == 0) continue; /* no such state */
      char labels[96];
      snprintf(labels, sizeof labels, "status=\"%s\",poc_status=\"%s\"", cox_status_name((enum cox_status)status),
               cox_poc_name((enum cox_poc)poc));
      is_whole = is_whole && cox_metrics_count(out, "coxswain_nodes", labels, census->nodes[status][poc]);
    }
  }
  return is_whole && single(out, "coxswain_nodes_converged", "gauge", "Nodes that are what they should be.", census->converged);
}

static const char *kind_name(int kind) { return kind == COX_STATUS_UNKNOWN ? "probe" : cox_status_name((enum cox_status)kind); }

static const char *result_name(int result) {
  if (result == COX_RESULT_SUCCEEDED) return "succeeded";
  return result == COX_RESULT_STALE ? "stale" : cox_class_name((enum cox_class)result);
}

static bool put_attempts(struct cox_buf *out, const struct cox_metrics *metrics) {
  char labels[96];
  bool is_whole = cox_metrics_head(out, "coxswain_attempts_total", "counter", "Attempts and probes that ended, by what they wanted and "
                                   "how they ended.");
  for (int kind = 0; kind < COX_STATUS_FAILED; kind++) {
    for (int result = 0; result < COX_RESULT_COUNT && is_whole; result++) {
      snprintf(labels, sizeof labels, "kind=\"%s\",result=\"%s\"", kind_name(kind), result_name(result));
      is_whole = cox_metrics_count(out, "coxswain_attempts_total", labels, load(&metrics->attempts[kind][result]));
    }
  }
  static const char name[] = "coxswain_attempt_duration_seconds";
  is_whole = is_whole && cox_metrics_head(out, name, "histogram", "From the start of an attempt to its end, however it ended.");
  for (int kind = 0; kind < COX_STATUS_FAILED && is_whole; kind++) {
    snprintf(labels, sizeof labels, "kind=\"%s\"", kind_name(kind));
    is_whole = cox_metrics_histogram(out, name, labels, &metrics->attempt_s[kind]);
  }
  return is_whole;
}

static bool put_results(struct cox_buf *out, const struct cox_broker *broker) {
  static const char latency[] = "coxswain_cancel_latency_seconds";
  return single(out, "coxswain_stale_results_total", "counter", "Results that changed nothing because their fence was not the present one.",
                load(&broker->counters.stale_results)) &&
         single(out, "coxswain_cancels_total", "counter", "Attempts and probes that a worker was asked to end.",
                load(&broker->counters.cancels)) &&
         cox_metrics_head(out, latency, "histogram", "From asking for the end of an attempt to its end.") &&
         cox_metrics_histogram(out, latency, NULL, &broker->metrics.cancel_s);
}

static bool put_commands(struct cox_buf *out, struct cox_metrics *metrics) {
  static const char name[] = "coxswain_commands_total";
  static const char *const outcomes[] = {"done", "skipped", "error", "refused"};
  const size_t names = atomic_load_explicit(&metrics->names, memory_order_acquire);
  bool is_whole = cox_metrics_head(out, name, "counter", "Commands by outcome; refused: the queue was full.");
  for (size_t i = 0; i <= names && is_whole; i++) {
    const size_t place = i < names ? i : COX_NAMES_MAX - 1;
    for (int outcome = 0; outcome < COX_COMMAND_OUTCOMES && is_whole; outcome++) {
      char labels[2 * COX_NAME_TEXT];
      snprintf(labels, sizeof labels, "name=\"%s\",outcome=\"%s\"", metrics->commands[place].name, outcomes[outcome]);
      is_whole = cox_metrics_count(out, name, labels, load(&metrics->commands[place].outcomes[outcome]));
    }
  }
  return is_whole;
}

static bool put_loop(struct cox_buf *out, struct cox_broker *broker) {
  static const char depth[] = "coxswain_command_queue_depth", stall[] = "coxswain_loop_stall_seconds",
                    busy[] = "coxswain_loop_busy_seconds";
  return cox_metrics_head(out, depth, "gauge", "Commands that wait.") &&
         cox_metrics_count(out, depth, "priority=\"high\"", cox_commands_depth(&broker->commands, COX_PRIORITY_HIGH)) &&
         cox_metrics_count(out, depth, "priority=\"low\"", cox_commands_depth(&broker->commands, COX_PRIORITY_LOW)) &&
         cox_metrics_head(out, stall, "histogram", "How long the command loop could not look at anything else, for each thing it did.") &&
         cox_metrics_histogram(out, stall, NULL, &broker->metrics.stall_s) &&
         cox_metrics_head(out, busy, "histogram", "Processor time the command loop used for each thing it did; a longer stall waited.") &&
         cox_metrics_histogram(out, busy, NULL, &broker->metrics.busy_s);
}

/* How old the facts were when they were taken over, and what has passed since. Before the first block: 0. */
static bool put_staleness(struct cox_buf *out, struct cox_broker *broker, const struct census *census) {
  static const char name[] = "coxswain_world_stale_seconds";
  double age_s = json_number_value(json_object_get(census->world, "stale_s"));
  if (census->world != NULL) age_s += (double)(cox_clock_mono_us(broker->options.clock) - census->world_at_us) / 1e6;
  return cox_metrics_head(out, name, "gauge", "Since all that the world is made of (block, epoch, sync state) was last confirmed.") &&
         cox_buf_addf(out, "%s %.3f\n", name, age_s);
}

static bool put_store(struct cox_buf *out, struct cox_broker *broker) {
  static const char commit[] = "coxswain_store_commit_seconds";
  return single(out, "coxswain_store_degraded", "gauge", "1 while the store cannot be written and what must be durable is refused.",
                cox_broker_is_degraded(broker, NULL)) &&
         single(out, "coxswain_store_unstored_records_total", "counter", "Records of the journal that the store could not take.",
                load(&broker->ledger.lost_total)) &&
         cox_metrics_head(out, commit, "histogram", "From handing a change to the store to its commit.") &&
         cox_metrics_histogram(out, commit, NULL, &broker->metrics.commit_s);
}

static bool put_world(struct cox_buf *out, const json_t *world) {
  static const char *const phases[] = {"Inference", "PoCGenerate", "PoCGenerateWindDown", "PoCValidate", "PoCValidateWindDown"};
  const char *const now = json_string_value(json_object_get(world, "phase"));
  bool is_whole = single(out, "coxswain_block_height", "gauge", "Height of the last block that was taken over; 0: none yet.",
                         (uint64_t)json_integer_value(json_object_get(world, "height"))) &&
                  cox_metrics_head(out, "coxswain_phase", "gauge", "1 for the present phase.");
  for (size_t i = 0; i < sizeof phases / sizeof *phases && is_whole; i++) {
    char labels[64];
    snprintf(labels, sizeof labels, "phase=\"%s\"", phases[i]);
    is_whole = cox_metrics_count(out, "coxswain_phase", labels, now != NULL && strcmp(now, phases[i]) == 0);
  }
  return is_whole;
}

static bool put_scripts(struct cox_buf *out, struct cox_broker *broker) {
  static const char name[] = "coxswain_script_reloads_total";
  static const char *const outcomes[] = {"done", "unchanged", "refused", "rolled_back"};
  const struct cox_policy *const policy = broker->options.policy;
  bool is_whole = single(out, "coxswain_script_generation", "gauge", "Number of the live set of scripts.", policy->generation(policy->ctx)) &&
                  single(out, "coxswain_scripts_unstored", "gauge", "1 while the store does not have the choice of scripts that is in force.",
                         atomic_load(&broker->metrics.has_unstored_scripts)) &&
                  cox_metrics_head(out, name, "counter", "Reloads of the scripts by outcome.");
  for (int i = 0; i < COX_RELOAD_OUTCOMES && is_whole; i++) {
    char labels[64];
    snprintf(labels, sizeof labels, "outcome=\"%s\"", outcomes[i]);
    is_whole = cox_metrics_count(out, name, labels, load(&broker->metrics.reloads[i]));
  }
  return is_whole;
}

static bool seconds(struct cox_buf *out, const char *name, const char *help, double value) {
  return cox_metrics_head(out, name, "gauge", help) && cox_buf_addf(out, "%s{name=\"reconcile\"} %.6f\n", name, value);
}

/* Names and meanings as in client-go: the items are nodes that something changed about, the work is one look at them. */
static bool put_workqueue(struct cox_buf *out, struct cox_broker *broker, const struct census *census) {
  static const char label[] = "name=\"reconcile\"";
  const struct cox_metrics *const metrics = &broker->metrics;
  const int64_t since_us = atomic_load(&metrics->working_since_us), now_us = cox_clock_mono_us(broker->options.clock);
  const double working_s = since_us > 0 && now_us > since_us ? (double)(now_us - since_us) / 1e6 : 0;
  return cox_metrics_head(out, "workqueue_depth", "gauge", "Nodes that wait for a look.") &&
         cox_metrics_count(out, "workqueue_depth", label, census->dirty) &&
         cox_metrics_head(out, "workqueue_adds_total", "counter", "Nodes put into the queue; one that waits already is not put again.") &&
         cox_metrics_count(out, "workqueue_adds_total", label, census->adds) &&
         cox_metrics_head(out, "workqueue_retries_total", "counter", "Nodes put back after a failed attempt, to be tried after a backoff.") &&
         cox_metrics_count(out, "workqueue_retries_total", label, load(&metrics->retries)) &&
         cox_metrics_head(out, "workqueue_queue_duration_seconds", "histogram", "How long a node waited for a look.") &&
         cox_metrics_histogram(out, "workqueue_queue_duration_seconds", label, &metrics->queued_s) &&
         cox_metrics_head(out, "workqueue_work_duration_seconds", "histogram", "How long a look at a node took.") &&
         cox_metrics_histogram(out, "workqueue_work_duration_seconds", label, &metrics->work_s) &&
         seconds(out, "workqueue_unfinished_work_seconds", "How long the looks that are under way have taken so far.", working_s) &&
         seconds(out, "workqueue_longest_running_processor_seconds", "The longest of these.", working_s);
}

/* One series per figure of the leases, from `first` to `last`, which is its label. */
static bool put_lease_counts(struct cox_buf *out, const struct cox_lease_stats *stats, const char *name, const char *help,
                             enum cox_lease_count first, enum cox_lease_count last) {
  bool is_whole = cox_metrics_head(out, name, "counter", help);
  for (int outcome = (int)first; outcome <= (int)last && is_whole; outcome++) {
    char labels[64];
    snprintf(labels, sizeof labels, "outcome=\"%s\"", cox_lease_count_name((enum cox_lease_count)outcome));
    is_whole = cox_metrics_count(out, name, labels, stats->counts[outcome]);
  }
  return is_whole;
}

static bool put_leases(struct cox_buf *out, struct cox_broker *broker) {
  struct cox_lease_stats stats;
  cox_lease_stats(broker, &stats);
  return single(out, "coxswain_leases_active", "gauge", "Leases that live.", stats.active) &&
         single(out, "coxswain_lease_waiters", "gauge", "Requests that wait for a lease.", stats.waiters) &&
         put_lease_counts(out, &stats, "coxswain_lease_acquire_total", "Requests for a lease by what became of them.", COX_LEASE_GRANTED,
                          COX_LEASE_CANCELLED) &&
         put_lease_counts(out, &stats, "coxswain_lease_events_total", "What happened to leases after that.", COX_LEASE_RENEWED,
                          COX_LEASE_EXPIRED) &&
         single(out, "coxswain_lease_nodes_ejected", "gauge", "Nodes that are not leased because requests to them failed.", stats.ejected) &&
         single(out, "coxswain_lease_ejections_total", "counter", "How often a node was ejected so.", stats.counts[COX_LEASE_EJECTED]);
}

int cox_broker_metrics_text(struct cox_broker *broker, struct cox_buf *out) {
  struct census census;
  take(broker, &census);
  const bool is_whole = put_nodes(out, &census) && put_attempts(out, &broker->metrics) && put_results(out, broker) &&
                        put_commands(out, &broker->metrics) && put_loop(out, broker) && put_world(out, census.world) &&
                        put_staleness(out, broker, &census) && put_store(out, broker) &&
                        put_scripts(out, broker) && put_workqueue(out, broker, &census) && put_leases(out, broker);
  json_decref(census.world);
  return is_whole ? 0 : COX_ENOMEM;
}

void cox_broker_know_command(struct cox_broker *broker, const char *name) { cox_metrics_know(&broker->metrics, name); }

void cox_broker_count_reload(struct cox_broker *broker, enum cox_reload_outcome outcome) {
  atomic_fetch_add_explicit(&broker->metrics.reloads[outcome], 1, memory_order_relaxed);
}

void cox_broker_show_unstored_scripts(struct cox_broker *broker, bool is_so) { atomic_store(&broker->metrics.has_unstored_scripts, is_so); }
