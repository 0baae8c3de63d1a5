/* Type files for editors and the reference for authors (lua/coxswain/manual.lua). */
#ifndef COX_SCRIPT_MANUAL_H
#define COX_SCRIPT_MANUAL_H

#include <jansson.h>

#include "base/clock.h"
#include "base/err.h"

/* {"files": {name: text} of lua/meta, "reference": text of scripts/README.md, "contexts": {"policy": {global: [its fields] | true}, …}, as
 * live machines show them, "apis": […]}. A new reference, or NULL with the reason in `err`.                                        */
json_t *cox_manual_make(const char *scripts_dir, const char *library_dir, const struct cox_clock *clock, struct cox_err *err);

#endif
