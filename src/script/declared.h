/* Files that declare something by what they return: commands, drivers, jobs. */
#ifndef COX_SCRIPT_DECLARED_H
#define COX_SCRIPT_DECLARED_H

#include <jansson.h>

#include "script/vm.h"

enum cox_declared_kind { COX_DECLARED_COMMANDS, COX_DECLARED_DRIVERS, COX_DECLARED_JOBS };

/* Runs each file of that folder in the VM and checks what it returns (coxswain.schema); `keep` (may be NULL) is called inside of
 * the protected call with a good one on top of the stack. `out` (object) gets {name: its plain fields: help, priority, feed, …}.
 * All faults go into `faults`.                                                                                                */
void cox_declared_load(struct cox_vm *vm, enum cox_declared_kind kind, void (*keep)(lua_State *L, const char *name), json_t *out,
                       struct cox_faults *faults);

#endif
