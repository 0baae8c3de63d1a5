#include "core/serve.h"

#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/log.h"
#include "core/txn_private.h"

/* A command whose effects are applied and whose records are on their way to the store. */
struct pending {
  struct cox_command *command;
  struct cox_answer answer;
};

static void give_answer(struct pending *pending) {
  const bool is_lost = pending->answer.outcome == COX_ANSWER_SKIPPED && cox_fault("serve.forgets_skipped");
  if (pending->command->reply != NULL && !is_lost) pending->command->reply(pending->command->arg, &pending->answer);
  cox_answer_fini(&pending->answer);
  cox_command_destroy(pending->command);
  free(pending);
}

/* Any thread: the store's. */
static void stored(void *arg, const struct cox_err *err) {
  struct pending *const pending = arg;
  if (err != NULL) {
    cox_answer_fini(&pending->answer);
    pending->answer.outcome = COX_ANSWER_ERROR;
    cox_err_set(&pending->answer.err, err->code, "command %s is in force but was not stored: %s", pending->command->name, err->text);
  }
  give_answer(pending);
}

static void arm(struct cox_broker *broker) {
  if (broker->registry.is_armed) return; /* this thread is its only writer */
  cox_log(COX_LOG_INFO, "command", "first synced block: attempts may start", NULL);
  cox_rwlock_write(&broker->registry.lock);
  broker->registry.is_armed = true;
  cox_registry_mark_all_locked(&broker->registry);
  for (size_t i = 0; i < broker->registry.num_count; i++) { /* a probe's word is not enough from now on */
    if (broker->registry.by_num[i] != NULL) cox_lease_push_locked(broker, broker->registry.by_num[i]);
  }
  cox_rwlock_write_unlock(&broker->registry.lock);
  cox_broker_trigger(broker);
}

/* Runs a handler as one transaction. Returns the names it issued (new reference) or NULL; `has_world`: it set the world. */
static json_t *execute(struct cox_broker *broker, const char *name, json_t *args, struct cox_answer *answer, json_t *records,
                       bool *has_world) {
  const struct cox_policy *const policy = broker->options.policy;
  struct cox_txn txn;
  cox_txn_init(&txn, broker);
  policy->run(policy->ctx, name, args, &txn, answer);
  json_t *issued = NULL;
  *has_world = false;
  if (answer->outcome == COX_ANSWER_DONE) {
    *has_world = txn.world != NULL;
    if (cox_txn_apply(&txn, records, &answer->err) != 0) {
      cox_answer_fini(answer);
      answer->outcome = COX_ANSWER_ERROR;
      cox_err_set(&answer->err, COX_ENOMEM, "command %s changed nothing: out of memory", name);
    } else {
      issued = json_incref(txn.issued);
    }
  } else if (answer->outcome == COX_ANSWER_ERROR) {
    cox_log(COX_LOG_WARN, "command", "command failed", "name", name, "error", answer->err.text, NULL);
  }
  cox_txn_fini(&txn);
  return issued;
}

static json_t *issue(struct cox_broker *broker, const char *name, json_t *records) {
  if (!cox_due_is_needed(broker, name)) return NULL;
  struct cox_answer answer = {0};
  bool has_world;
  json_t *const args = json_object();
  json_decref(execute(broker, name, args, &answer, records, &has_world)); /* what it issues itself is not followed */
  json_decref(args);
  atomic_fetch_add_explicit(&broker->counters.commands, 1, memory_order_relaxed);
  if (answer.outcome == COX_ANSWER_DONE) {
    cox_due_succeeded(broker, name);
    if (json_is_true(json_object_get(broker->registry.world, "synced"))) arm(broker);
  }
  cox_metrics_command(&broker->metrics, name, (enum cox_command_outcome)answer.outcome);
  json_t *const outcome = json_object(), *const rest = cox_answer_json(&answer);
  json_object_set_new(outcome, "name", json_string(name)); /* first, for people */
  json_object_update(outcome, rest);
  json_decref(rest);
  cox_answer_fini(&answer);
  return outcome;
}

static void run(struct cox_broker *broker, struct pending *pending, json_t *records) {
  struct cox_answer *const answer = &pending->answer;
  bool has_world;
  json_t *const names = execute(broker, pending->command->name, pending->command->args, answer, records, &has_world);
  if (names == NULL && !has_world) return;
  json_t *const issued = json_array();
  size_t i;
  json_t *name;
  json_array_foreach(names, i, name) {
    json_t *const outcome = issue(broker, json_string_value(name), records);
    if (outcome != NULL) json_array_append_new(issued, outcome);
  }
  json_decref(names);
  if (answer->result == NULL) answer->result = json_object();
  json_object_set_new(answer->result, "issued", issued);
}

void cox_serve(struct cox_broker *broker, struct cox_command *command) {
  struct pending *const pending = calloc(1, sizeof *pending);
  json_t *const records = json_array();
  if (pending == NULL || records == NULL) abort(); /* the promise of one answer could not be kept */
  pending->command = command;
  if (cox_commands_is_closed(&broker->commands)) {
    pending->answer.outcome = COX_ANSWER_ERROR;
    cox_err_set(&pending->answer.err, COX_ESTOPPED, "command %s was not run: the broker is stopping", command->name);
  } else if (cox_condition_check(&command->condition, &broker->registry, &pending->answer.err) != 0) {
    pending->answer.outcome = COX_ANSWER_ERROR;
  } else {
    atomic_fetch_add_explicit(&broker->counters.commands, 1, memory_order_relaxed);
    run(broker, pending, records);
  }
  cox_metrics_command(&broker->metrics, command->name, (enum cox_command_outcome)pending->answer.outcome);
  const struct cox_store *const store = broker->options.store;
  if (json_array_size(records) == 0 || store == NULL) give_answer(pending);
  else store->append(store->ctx, records, stored, pending);
  json_decref(records);
}
