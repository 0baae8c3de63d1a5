#include "script/rehearsal.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "core/shadow.h"
#include "script/convert.h"
#include "script/sandbox.h"

#define WINDOWS_BUDGET_S COX_VM_SMALL_BUDGET_S(0.1)

struct question {
  json_t *world, *windows;
};

static int find_windows(lua_State *L) {
  struct question *const question = lua_touserdata(L, 1);
  cox_sandbox_require(L, "coxswain.windows");
  lua_getfield(L, -1, "of");
  cox_convert_push(L, question->world);
  lua_call(L, 1, 1);
  struct cox_err err;
  question->windows = cox_convert_take(L, -1, "windows", &err);
  return question->windows != NULL ? 0 : luaL_error(L, "%s", err.text);
}

/* [{command, world}], a new reference; NULL with a fault. Without the large parts of the world, which no window depends on. */
static json_t *windows_of(struct cox_generation *candidate, json_t *world, struct cox_faults *faults) {
  struct question question = {.world = json_copy(world)};
  json_object_del(question.world, "epoch_models");
  json_object_del(question.world, "preserved");
  struct cox_err err;
  const int rc = cox_vm_call(candidate->policy->vm, find_windows, &question, WINDOWS_BUDGET_S, &err);
  json_decref(question.world);
  if (rc == 0) return question.windows;
  cox_faults_add(faults, err.file, err.line, "finding the windows to rehearse failed: %s", err.text);
  return NULL;
}

/* ---- differences ---- */

static json_t *change_of(const struct cox_txn_node *node, const struct cox_target *before) {
  json_t *const change = json_pack("{sO}", "node_id", node->id);
  if (before != NULL) json_object_set_new(change, "from", cox_target_json(before, false));
  json_object_set_new(change, "to", cox_target_json(node->target, false));
  if (node->target->reason != NULL) json_object_set(change, "reason", node->target->reason);
  return change;
}

/* Each node's target as it is before anything ran; borrowed from the shadow. */
static struct cox_target **present_targets(struct cox_txn *txn, size_t count) {
  struct cox_target **const targets = calloc(count + 1, sizeof(struct cox_target *));
  for (size_t i = 0; targets != NULL && i < count; i++) {
    struct cox_txn_node node;
    if (cox_txn_read(txn, (int)i, &node)) targets[i] = node.target;
  }
  return targets;
}

static json_t *changes_of(struct cox_txn *txn, struct cox_target *const *before, size_t count) {
  json_t *const changes = json_array();
  for (size_t i = 0; i < count; i++) {
    struct cox_txn_node node;
    if (!cox_txn_read(txn, (int)i, &node) || node.target == NULL || cox_target_equal(node.target, before[i])) continue;
    json_array_append_new(changes, change_of(&node, before[i]));
  }
  return changes;
}

/* ---- one command ---- */

static bool is_script_failure(const struct cox_answer *answer) {
  return answer->outcome == COX_ANSWER_ERROR &&
         (answer->err.code == COX_ESCRIPT || answer->err.code == COX_ETIME || answer->err.code == COX_ENOMEM);
}

/* The targets that would change, a new reference; NULL: it failed, or there is no memory. */
static json_t *rehearse(struct cox_generation *candidate, struct cox_shadow *shadow, const char *command, double budget_s,
                        struct cox_faults *faults) {
  struct cox_txn *const txn = cox_shadow_begin(shadow);
  const size_t count = cox_txn_count(txn);
  struct cox_target **const before = present_targets(txn, count);
  struct cox_answer answer = {0};
  json_t *const args = json_object(), *changes = NULL;
  cox_policy_vm_run(candidate->policy, command, args, COX_VM_SMALL_BUDGET_S(budget_s), txn, &answer);
  if (is_script_failure(&answer)) {
    cox_faults_add(faults, answer.err.file, answer.err.line, "tried on the present fleet, %s", answer.err.text);
  } else if (before == NULL) {
    cox_faults_add(faults, NULL, 0, "trying the scripts on the present fleet failed: out of memory");
  } else {
    changes = answer.outcome == COX_ANSWER_DONE ? changes_of(txn, before, count) : json_array();
  }
  cox_answer_fini(&answer);
  json_decref(args);
  free(before);
  cox_shadow_end(shadow);
  return changes;
}

static void rehearse_window(struct cox_generation *candidate, struct cox_shadow *shadow, json_t *world, json_t *window, double budget_s,
                            struct cox_rehearsal *out, struct cox_faults *faults) {
  json_t *const own = json_object_get(window, "world");
  const bool is_present = json_object_size(own) == 0;
  json_t *const there = json_copy(world);
  json_object_update(there, own);
  cox_shadow_set_world(shadow, there);
  json_t *const changes = rehearse(candidate, shadow, json_string_value(json_object_get(window, "command")), budget_s, faults);
  if (is_present && changes != NULL) {
    json_decref(out->changes);
    out->changes = json_incref(changes);
  }
  json_decref(changes);
}

int cox_rehearsal_run(struct cox_generation *candidate, struct cox_broker *broker, double budget_s, struct cox_rehearsal *out,
                      struct cox_faults *faults) {
  const size_t before = faults->count;
  out->changes = json_array();
  struct cox_shadow *const shadow = cox_shadow_create(broker);
  if (shadow == NULL) {
    cox_faults_add(faults, NULL, 0, "trying the scripts on the present fleet failed: out of memory");
    return COX_ENOMEM;
  }
  candidate->policy->vm->is_quiet = true;
  json_t *const world = json_incref(cox_shadow_world(shadow));
  json_t *const windows = world != NULL ? windows_of(candidate, world, faults) : NULL;
  size_t i;
  json_t *window;
  json_array_foreach(windows, i, window) { rehearse_window(candidate, shadow, world, window, budget_s, out, faults); }
  json_decref(windows);
  json_decref(world);
  candidate->policy->vm->is_quiet = false;
  cox_shadow_destroy(shadow);
  return faults->count == before ? 0 : COX_ESCRIPT;
}

void cox_rehearsal_fini(struct cox_rehearsal *rehearsal) {
  json_decref(rehearsal->changes);
  rehearsal->changes = NULL;
}
