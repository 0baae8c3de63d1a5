/* Functions of the trusted library, called from C with plain values. */
#ifndef COX_SCRIPT_LIBRARY_H
#define COX_SCRIPT_LIBRARY_H

#include <jansson.h>

#include "script/vm.h"

/* require(module).function(args) in that machine, at most `budget_s` of processor time. Takes `args`, also when it fails. A new reference
 * to what it returned, or NULL with the reason in `err`.                                                                             */
json_t *cox_library_call(struct cox_vm *vm, const char *module, const char *function, json_t *args, double budget_s, struct cox_err *err);

#endif
