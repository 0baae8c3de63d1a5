#include "core/serve.h"

#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/log.h"
#include "core/record.h"
#include "core/txn_private.h"

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

/* At once for what a phase asks. An operator waits for the store, which is given the change first: woken before it, the reconciler only
 * takes the processor away from it.                                                                                              */
static void trigger_owed(struct cox_broker *broker) {
  if (broker->owes_trigger) cox_broker_trigger(broker);
  broker->owes_trigger = false;
}

/* Keeps what an applied transaction replaced until it is stored; takes `kept`. */
static void keep_image(struct cox_pending *pending, struct cox_txn *txn, struct cox_txn *kept) {
  *kept = *txn;
  kept->older = pending->undo;
  pending->undo = kept;
  pending->is_durable = true;
  *txn = (struct cox_txn){.broker = txn->broker};
}

static void refuse(struct cox_answer *answer, const char *name, const struct cox_err *why) {
  cox_answer_fini(answer);
  answer->outcome = COX_ANSWER_ERROR;
  cox_err_set(&answer->err, why->code, "command %s changed nothing: %s", name, why->text);
}

/* False: refused, and nothing happened. */
static bool apply(struct cox_broker *broker, const char *name, struct cox_txn *txn, struct cox_pending *pending, struct cox_answer *answer) {
  struct cox_err err = {0};
  const bool is_durable = cox_txn_is_durable(txn);
  if (is_durable && cox_ledger_admits(broker, &err) != 0) {
    refuse(answer, name, &err);
    return false;
  }
  struct cox_txn *const kept = is_durable ? malloc(sizeof *kept) : NULL; /* now: what is in force must be possible to take back */
  if ((is_durable && kept == NULL) || cox_txn_apply(txn, &pending->batch, &err) != 0) {
    cox_err_set(&err, COX_ENOMEM, "out of memory");
    refuse(answer, name, &err);
    free(kept);
    return false;
  }
  if (is_durable) keep_image(pending, txn, kept);
  else trigger_owed(broker);
  return true;
}

struct cox_record *cox_record_command(const char *name, const char *caller, const json_t *args, const struct cox_answer *answer) {
  const json_t *const id = json_object_get(args, "node_id");
  const json_t *const node_id = json_is_string(id) ? id : json_object_get(json_object_get(args, "node"), "id");
  const size_t name_size = strlen(name) + 1, caller_size = strlen(caller) + 1;
  char *const text = malloc(name_size + caller_size);
  struct cox_record *const record = cox_record_create(COX_RECORD_COMMAND, json_is_string(node_id) ? (json_t *)(uintptr_t)node_id : NULL);
  if (text == NULL || record == NULL) {
    free(text);
    cox_record_release(record);
    return NULL;
  }
  memcpy(text, name, name_size);
  record->command.caller = memcpy(text + name_size, caller, caller_size);
  record->command.name = text;
  cox_record_end(record, answer->outcome, answer->outcome == COX_ANSWER_ERROR ? answer->err.text : answer->outcome == COX_ANSWER_SKIPPED ? answer->reason : NULL);
  return record;
}

/* That it is not told for want of memory breaks nothing. */
static void tell(struct cox_pending *pending, const char *name, const char *caller, const json_t *args, const struct cox_answer *answer) {
  struct cox_record *const record = cox_record_command(name, caller, args, answer);
  if (record != NULL) cox_batch_add(&pending->batch, record);
}

/* Runs a handler as one transaction. Returns the names it issued (new reference) or NULL; `has_world`: it set the world. */
static json_t *execute(struct cox_broker *broker, const char *name, const char *caller, json_t *args, struct cox_answer *answer,
                       struct cox_pending *pending, bool *has_world) {
  const struct cox_policy *const policy = broker->options.policy;
  struct cox_txn txn;
  cox_txn_init(&txn, broker);
  txn.caller = caller;
  policy->run(policy->ctx, name, args, &txn, answer);
  json_t *issued = NULL;
  *has_world = false;
  if (answer->outcome == COX_ANSWER_DONE) {
    json_t *const names = json_incref(txn.issued);
    *has_world = txn.world != NULL;
    if (apply(broker, name, &txn, pending, answer)) issued = json_incref(names);
    json_decref(names);
  } else if (answer->outcome == COX_ANSWER_ERROR) {
    cox_log(COX_LOG_WARN, "command", "command failed", "name", name, "error", answer->err.text, NULL);
  }
  cox_txn_fini(&txn);
  return issued;
}

/* `by` says what made it due. */
static json_t *issue(struct cox_broker *broker, const char *name, const char *by, struct cox_pending *pending) {
  if (!cox_due_is_needed(broker, name)) return NULL;
  struct cox_answer answer = {0};
  bool has_world;
  json_t *const args = json_object();
  json_decref(execute(broker, name, by, args, &answer, pending, &has_world)); /* what it issues itself is not followed */
  tell(pending, name, by, args, &answer);
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

static void run(struct cox_broker *broker, struct cox_pending *pending) {
  struct cox_answer *const answer = &pending->answer;
  const struct cox_command *const command = pending->command;
  bool has_world;
  json_t *const names = execute(broker, command->name, command->caller, command->args, answer, pending, &has_world);
  tell(pending, command->name, command->caller, command->args, answer);
  if (names == NULL && !has_world) return;
  json_t *const issued = json_array();
  size_t i;
  json_t *name;
  json_array_foreach(names, i, name) {
    json_t *const outcome = issue(broker, json_string_value(name), command->name, pending);
    if (outcome != NULL) json_array_append_new(issued, outcome);
  }
  json_decref(names);
  if (answer->result == NULL) answer->result = json_object();
  json_object_set_new(answer->result, "issued", issued);
}

void cox_serve(struct cox_broker *broker, struct cox_command *command) {
  struct cox_pending *const pending = command->pending;
  command->pending = NULL;
  if (cox_commands_is_closed(&broker->commands)) {
    pending->answer.outcome = COX_ANSWER_ERROR;
    cox_err_set(&pending->answer.err, COX_ESTOPPED, "command %s was not run: the broker is stopping", command->name);
    tell(pending, command->name, command->caller, command->args, &pending->answer);
  } else if (cox_condition_check(&command->condition, &broker->registry, &pending->answer.err) != 0) {
    pending->answer.outcome = COX_ANSWER_ERROR;
    tell(pending, command->name, command->caller, command->args, &pending->answer);
  } else {
    atomic_fetch_add_explicit(&broker->counters.commands, 1, memory_order_relaxed);
    run(broker, pending);
  }
  cox_metrics_command(&broker->metrics, command->name, (enum cox_command_outcome)pending->answer.outcome);
  cox_ledger_submit(broker, pending);
  trigger_owed(broker);
}

void cox_serve_due(struct cox_broker *broker) {
  json_t *const world = json_incref(broker->registry.world); /* this thread is its only writer */
  const char *const name = json_string_value(json_object_get(world, "command"));
  enum cox_priority priority;
  const struct cox_policy *const policy = broker->options.policy;
  const bool is_due = name != NULL && json_is_true(json_object_get(world, "synced")) && policy->lookup(policy->ctx, name, &priority) == 0;
  struct cox_pending *const pending = is_due ? cox_pending_create(broker, NULL) : NULL;
  if (pending != NULL) {
    json_decref(issue(broker, name, "reload", pending));
    cox_ledger_submit(broker, pending);
    trigger_owed(broker);
  }
  json_decref(world);
}
