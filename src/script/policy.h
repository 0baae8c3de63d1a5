/* The VM that decides: policy and command handlers of one generation, on cox-command. */
#ifndef COX_SCRIPT_POLICY_H
#define COX_SCRIPT_POLICY_H

#include <jansson.h>
#include <lua.h>

#include "core/answer.h"
#include "core/txn.h"
#include "script/take_target.h"
#include "script/vm.h"

struct cox_policy_vm {
  struct cox_vm *vm;
  /* while a handler runs */
  struct cox_txn *txn;    /* NULL: none does */
  uint64_t serial;        /* counts handlers: a node object of an earlier one is refused */
  const char *name;
  json_t *args;
  struct cox_answer *answer;
  json_t *world;          /* the one that was converted last, held; NULL: none */
  struct cox_target_taker targets;
};

struct cox_policy_options {
  struct cox_sources *sources;
  const struct cox_clock *clock;
  size_t memory_max;
  const atomic_bool *is_left; /* as of a VM */
};

/* Runs every file of commands/, checks what it declares, and runs the cases of policy/. `commands` (object) gets
 * {name: {help, priority}}. NULL with every fault in `faults`.                                                       */
struct cox_policy_vm *cox_policy_vm_create(const struct cox_policy_options *options, json_t *commands, struct cox_faults *faults);
void cox_policy_vm_destroy(struct cox_policy_vm *policy);
/* Runs a handler; its effects are in `txn`, its outcome in `answer`. True: the VM must be replaced (time or memory overrun). */
bool cox_policy_vm_run(struct cox_policy_vm *policy, const char *name, json_t *args, double budget_s, struct cox_txn *txn,
                       struct cox_answer *answer);

/* The policy VM of a state; throws when no handler runs. */
struct cox_policy_vm *cox_policy_vm_check(lua_State *L);
/* api_broker.c, api_node.c: pushed inside of a handler; may throw. */
void cox_policy_broker_push(lua_State *L);
void cox_policy_world_push(lua_State *L); /* nil before the first block */
void cox_policy_nodes_push(lua_State *L); /* the table of node objects that are there already, which no script may get hold of */
/* `nodes` is where that table is: absolute, or an upvalue. False, and nothing pushed: there is no node in that slot. */
bool cox_policy_node_push(lua_State *L, int nodes, int slot);
/* Leaves nil, message, code; to be returned from a binding. */
int cox_policy_refuse(lua_State *L, int rc, const char *text);

#endif
