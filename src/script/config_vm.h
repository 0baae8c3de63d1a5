/* Runs a configuration file in a Lua state of its own and gives back plain values. */
#ifndef COX_SCRIPT_CONFIG_VM_H
#define COX_SCRIPT_CONFIG_VM_H

#include <jansson.h>
#include <stddef.h>

#include "base/err.h"

/* The table that the file returns, as a new object; NULL with the faults (syntax, run time, budget, values that are not
 * plain data). `name` is what faults call the file. May take 1 s at most and 64 MiB.
 * The file sees the base functions without pcall, load and metatables, and string (without patterns), table, math, utf8. */
json_t *cox_config_vm_run(const char *name, const char *source, size_t len, struct cox_faults *faults);

#endif
