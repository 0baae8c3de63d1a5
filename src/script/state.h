/* What policy modules remember beyond an exchange of the scripts: their `save()` gives a plain value, the new set's `restore(value)` of
 * the same module gets it.                                                                                                         */
#ifndef COX_SCRIPT_STATE_H
#define COX_SCRIPT_STATE_H

#include "script/policy.h"

/* The owner of both VMs. 0, or why the new one did not take it over (then it is of no use any more; the old one is as it was). What the
 * old one fails to save is lost, and a line is logged.                                                                             */
int cox_state_carry(struct cox_policy_vm *from, struct cox_policy_vm *to, struct cox_err *err);

#endif
