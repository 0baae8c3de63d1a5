/* The cases beside the policy, which must hold before a set of scripts may go live (lua/coxswain/cases.lua). */
#ifndef COX_SCRIPT_CASES_H
#define COX_SCRIPT_CASES_H

#include "script/vm.h"

/* Looks at every policy module in that machine, which has them, and runs its cases, each module within `budget_s`. One that cannot be
 * looked at does not hide what is wrong with the others.                                                                             */
void cox_cases_check(struct cox_vm *vm, double budget_s, struct cox_faults *faults);

#endif
