#include "core/broker.h"

#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/engine.h"
#include "core/serve.h"

enum { QUEUE_MAX = 4096, STORE_MS = 500 /* for the store to commit the last changes */ };

static double seconds_or(double value, double fallback) { return value == 0 ? fallback : value; }

static void fill_defaults(struct cox_broker_options *options) {
  if (options->queue_max == 0) options->queue_max = QUEUE_MAX;
  options->interval_s = seconds_or(options->interval_s, 30);
  options->resync_s = seconds_or(options->resync_s, 300);
  options->backoff_s[0] = seconds_or(options->backoff_s[0], 1);
  options->backoff_s[1] = seconds_or(options->backoff_s[1], 60);
  options->probe_interval_s = seconds_or(options->probe_interval_s, 15);
  options->probe_timeout_s = seconds_or(options->probe_timeout_s, 5);
  if (options->probe_fall == 0) options->probe_fall = 3;
  if (options->probe_rise == 0) options->probe_rise = 1;
}

struct cox_broker *cox_broker_create(const struct cox_broker_options *options, struct cox_err *err) {
  struct cox_broker *const broker = calloc(1, sizeof *broker);
  if (broker == NULL || cox_registry_init(&broker->registry, options->seed) != 0) {
    free(broker);
    cox_err_set(err, COX_ENOMEM, "making the broker failed: out of memory");
    return NULL;
  }
  broker->options = *options;
  fill_defaults(&broker->options);
  broker->leases = cox_leases_create(&options->leases, options->clock, options->seed);
  if (broker->leases == NULL) {
    cox_registry_fini(&broker->registry);
    free(broker);
    cox_err_set(err, COX_ENOMEM, "making the broker failed: out of memory");
    return NULL;
  }
  broker->options.participant = json_incref(options->participant);
  broker->callback_url = options->callback_url != NULL ? json_string(options->callback_url) : NULL;
  broker->registry.clock = broker->options.clock;
  cox_metrics_init(&broker->metrics);
  cox_commands_init(&broker->commands, broker->options.queue_max);
  cox_queue_init(&broker->results, false, NULL);
  cox_queue_init(&broker->extensions, false, NULL);
  cox_reconciler_init(&broker->reconciler);
  cox_expiry_init(&broker->expiry);
  atomic_init(&broker->alarm_us, INT64_MAX);
  const bool is_whole = cox_ledger_init(&broker->ledger) == 0 && (options->callback_url == NULL || broker->callback_url != NULL);
  if (is_whole) return broker;
  cox_broker_destroy(broker);
  cox_err_set(err, COX_ENOMEM, "making the broker failed: out of memory");
  return NULL;
}

void cox_broker_set_transport(struct cox_broker *broker, const struct cox_transport *transport) {
  assert(transport->workers > 0);
  broker->options.transport = transport;
}

void cox_broker_destroy(struct cox_broker *broker) {
  if (broker == NULL) return;
  for (struct cox_queue_link *link = cox_queue_take(&broker->extensions); link != NULL;) {
    struct cox_extension *const extension = COX_CONTAINER(link, struct cox_extension, link);
    link = link->next;
    free(extension);
  }
  cox_ledger_fini(broker);
  cox_expiry_fini(&broker->expiry);
  cox_queue_fini(&broker->extensions);
  cox_queue_fini(&broker->results);
  cox_reconciler_fini(&broker->reconciler);
  cox_commands_fini(&broker->commands);
  cox_registry_fini(&broker->registry);
  cox_leases_destroy(broker->leases);
  cox_metrics_fini(&broker->metrics);
  json_decref(broker->options.participant);
  json_decref(broker->callback_url);
  free(broker);
}

struct moment {
  int64_t at_us, busy_us; /* of the clock; of this thread's processor time */
};

static struct moment moment_now(const struct cox_broker *broker) {
  return (struct moment){cox_clock_mono_us(broker->options.clock), cox_clock_busy_us()};
}

/* Whatever took the loop until now: the next thing had to wait so long. What it computed itself is told apart: on a machine with too
 * much to do, or behind somebody else's lock, the rest is longer.                                                                  */
static void note_stall(struct cox_broker *broker, struct moment *since, bool did_something) {
  if (!did_something) return;
  const struct moment now = moment_now(broker);
  cox_histogram_add(&broker->metrics.stall_s, now.at_us - since->at_us, 1);
  cox_histogram_add(&broker->metrics.busy_s, now.busy_us - since->busy_us, 1);
  *since = now;
}

/* Between two commands the scripts may be exchanged. */
static bool turn_policy(struct cox_broker *broker) {
  const struct cox_policy *const policy = broker->options.policy;
  if (policy->turn == NULL || !policy->turn(policy->ctx)) return false;
  cox_serve_due(broker);
  return true;
}

/* This loop sleeps on its queue; what it must do at some moment, cox-reconcile wakes it for: that one has timers. */
static void set_alarm(struct cox_broker *broker) {
  const int64_t expiry_us = cox_expiry_next_us(broker), retry_us = cox_ledger_next_us(broker);
  const int64_t at_us = expiry_us < retry_us ? expiry_us : retry_us;
  if (at_us < atomic_exchange(&broker->alarm_us, at_us)) cox_broker_trigger(broker);
}

/* Results before commands: a command must see what has come back. */
size_t cox_broker_step_commands(struct cox_broker *broker) {
  size_t total = 0;
  struct moment since = moment_now(broker);
  for (;;) {
    atomic_store_explicit(&broker->heart.command_us, cox_clock_mono_us(broker->options.clock), memory_order_relaxed);
    const size_t results = cox_ledger_handle(broker) + cox_results_handle(broker) + cox_lease_journal(broker) + cox_expiry_handle(broker);
    const bool has_turned = turn_policy(broker);
    note_stall(broker, &since, results > 0 || has_turned);
    struct cox_command *const command = cox_commands_take(&broker->commands);
    if (command != NULL) cox_serve(broker, command);
    note_stall(broker, &since, command != NULL);
    if (results == 0 && command == NULL && !has_turned) break;
    total += results + (command != NULL) + has_turned;
  }
  set_alarm(broker);
  return total;
}

static void run_commands(void *arg) {
  struct cox_broker *const broker = arg;
  while (cox_commands_wait(&broker->commands)) cox_broker_step_commands(broker);
  cox_broker_step_commands(broker);
  cox_ledger_drain(broker, STORE_MS);
}

int cox_broker_start(struct cox_broker *broker, struct cox_err *err) {
  assert(broker->options.transport != NULL && broker->options.transport->workers > 0);
  const int64_t now_us = cox_clock_mono_us(broker->options.clock);
  atomic_store(&broker->heart.command_us, now_us); /* they are alive until they had time to turn */
  atomic_store(&broker->heart.reconcile_us, now_us);
  int rc = cox_thread_start(&broker->command_thread, "cox-command", run_commands, broker, err);
  if (rc == 0) rc = cox_thread_start(&broker->reconcile_thread, "cox-reconcile", cox_reconciler_run, broker, err);
  if (rc == 0) return 0;
  cox_commands_end(&broker->commands); /* one without the other is nothing */
  cox_thread_join(&broker->command_thread);
  return rc;
}

static size_t in_flight(struct cox_broker *broker) {
  cox_rwlock_read(&broker->registry.lock);
  const size_t count = broker->registry.in_flight;
  cox_rwlock_read_unlock(&broker->registry.lock);
  return count;
}

/* The end is rare and not urgent: asking every few milliseconds is simpler than one more condition. */
static void wait_until_landed(struct cox_broker *broker, int64_t timeout_ms) {
  const int64_t end_us = cox_clock_mono_us(broker->options.clock) + timeout_ms * 1000;
  struct cox_mutex mutex;
  struct cox_cond never;
  cox_mutex_init(&mutex);
  cox_cond_init(&never);
  cox_mutex_lock(&mutex);
  while (in_flight(broker) > 0 && cox_clock_mono_us(broker->options.clock) < end_us) cox_cond_wait_us(&never, &mutex, 2000);
  cox_mutex_unlock(&mutex);
  cox_cond_fini(&never);
  cox_mutex_fini(&mutex);
}

void cox_broker_stop(struct cox_broker *broker, int64_t timeout_ms) {
  cox_lease_stop(broker);
  cox_commands_close(&broker->commands);
  cox_commands_wake(&broker->commands);
  atomic_store(&broker->is_stopping, true);
  cox_rwlock_write(&broker->registry.lock);
  cox_registry_mark_all_locked(&broker->registry);
  cox_rwlock_write_unlock(&broker->registry.lock);
  cox_broker_trigger(broker);
  wait_until_landed(broker, timeout_ms);
  cox_reconciler_end(&broker->reconciler);
  cox_thread_join(&broker->reconcile_thread);
  cox_commands_end(&broker->commands);
  cox_thread_join(&broker->command_thread);
}

int cox_broker_submit(struct cox_broker *broker, const char *name, json_t *args, cox_reply_fn *reply, void *arg,
                      struct cox_err *err) {
  return cox_broker_submit_as(broker, cox_thread_name(), name, args, NULL, reply, arg, err);
}

int cox_broker_submit_as(struct cox_broker *broker, const char *caller, const char *name, json_t *args,
                         const struct cox_condition *condition, cox_reply_fn *reply, void *arg, struct cox_err *err) {
  enum cox_priority priority;
  const struct cox_policy *const policy = broker->options.policy;
  if (policy->lookup(policy->ctx, name, &priority) != 0) {
    return cox_err_set(err, COX_ENOENT, "unknown command %s: see GET /v1/commands or scripts/commands for those there are", name);
  }
  if (policy->waits != NULL && policy->waits(policy->ctx, name)) return cox_chore_submit(broker, caller, name, args, reply, arg, err);
  struct cox_command *const command = cox_command_create(name, caller, args, reply, arg);
  if (command != NULL) command->pending = cox_pending_create(broker, command);
  const bool is_whole = command != NULL && command->pending != NULL;
  if (!is_whole || (condition != NULL && cox_condition_copy(&command->condition, condition) != 0)) {
    cox_command_destroy(command);
    return cox_err_set(err, COX_ENOMEM, "command %s was not accepted: out of memory", name);
  }
  const int rc = cox_commands_push(&broker->commands, priority, command, err);
  if (rc == COX_EFULL) cox_metrics_command(&broker->metrics, name, COX_COMMAND_REFUSED);
  if (rc != 0) cox_command_destroy(command);
  return rc;
}

/* Shared by a waiting caller and the command loop; the last one frees it. */
struct ticket {
  atomic_uint references;
  struct cox_mutex mutex; /* guards the rest */
  struct cox_cond cond;
  bool is_answered;
  struct cox_answer answer;
};

static void release_ticket(struct ticket *ticket) {
  if (atomic_fetch_sub(&ticket->references, 1) != 1) return;
  cox_answer_fini(&ticket->answer);
  cox_cond_fini(&ticket->cond);
  cox_mutex_fini(&ticket->mutex);
  free(ticket);
}

static void answer_ticket(void *arg, const struct cox_answer *answer) {
  struct ticket *const ticket = arg;
  cox_mutex_lock(&ticket->mutex);
  cox_answer_copy(&ticket->answer, answer);
  ticket->is_answered = true;
  cox_mutex_unlock(&ticket->mutex);
  cox_cond_signal(&ticket->cond);
  release_ticket(ticket);
}

int cox_broker_call(struct cox_broker *broker, const char *name, json_t *args, int64_t timeout_ms, struct cox_answer *answer,
                    struct cox_err *err) {
  memset(answer, 0, sizeof *answer);
  struct ticket *const ticket = calloc(1, sizeof *ticket);
  if (ticket == NULL) return cox_err_set(err, COX_ENOMEM, "command %s was not sent: out of memory", name);
  atomic_init(&ticket->references, 2);
  cox_mutex_init(&ticket->mutex);
  cox_cond_init(&ticket->cond);
  int rc = cox_broker_submit(broker, name, args, answer_ticket, ticket, err);
  if (rc != 0) {
    release_ticket(ticket);
    release_ticket(ticket);
    return rc;
  }
  const int64_t end_us = cox_clock_mono_us(cox_clock_system()) + timeout_ms * 1000;
  cox_mutex_lock(&ticket->mutex);
  for (int64_t left_us = timeout_ms * 1000; !ticket->is_answered && left_us > 0;
       left_us = end_us - cox_clock_mono_us(cox_clock_system())) {
    cox_cond_wait_us(&ticket->cond, &ticket->mutex, left_us);
  }
  if (ticket->is_answered) {
    *answer = ticket->answer;
    memset(&ticket->answer, 0, sizeof ticket->answer);
  } else {
    rc = cox_err_set(err, COX_ETIME, "command %s was not answered within %lld ms; it may still be carried out", name,
                     (long long)timeout_ms);
  }
  cox_mutex_unlock(&ticket->mutex);
  release_ticket(ticket);
  return rc;
}

void cox_broker_complete(struct cox_broker *broker, struct cox_attempt *attempt) {
  if (cox_queue_push(&broker->results, &attempt->link)) cox_commands_wake(&broker->commands);
}

void cox_broker_turn(struct cox_broker *broker) { cox_commands_wake(&broker->commands); }

void cox_broker_extended(struct cox_broker *broker, const struct cox_fence *fence, int64_t deadline_us, const char *reason) {
  struct cox_extension *const extension = calloc(1, sizeof *extension);
  if (extension == NULL) return; /* only what people see is late; the attempt itself carries the deadline */
  extension->fence = *fence;
  extension->deadline_us = deadline_us;
  snprintf(extension->reason, sizeof extension->reason, "%s", reason != NULL ? reason : "");
  if (cox_queue_push(&broker->extensions, &extension->link)) cox_commands_wake(&broker->commands);
}
