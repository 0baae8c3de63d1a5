/* What scripts can see, described. The bindings are made from these tables, and so are the type files for editors (lua/meta), the
 * reference in scripts/README.md and what `coxswain check` knows of our objects: they cannot drift apart.                        */
#ifndef COX_SCRIPT_API_H
#define COX_SCRIPT_API_H

#include <jansson.h>

#include "script/sandbox.h"
#include "script/vm.h"

struct cox_api_field {
  const char *name;
  const char *type; /* as in ---@field */
  const char *help; /* one line, no full stop */
};

enum {
  COX_API_CLASS = 0, /* an object or a shape of a table: no global */
  COX_API_JOBS = 1 << COX_CONTEXT_JOBS,
  COX_API_ALL = 1 << COX_CONTEXT_POLICY | 1 << COX_CONTEXT_DRIVERS | 1 << COX_CONTEXT_JOBS,
};

struct cox_api {
  const char *name;     /* of the global, or of the class */
  const char *help;     /* one sentence */
  unsigned contexts;    /* bits 1 << enum cox_context: where the global is seen */
  const struct cox_binding *functions; /* methods, of a class; may be NULL */
  const struct cox_api_field *fields;  /* ended by one without a name; may be NULL */
};

/* Each next to its bindings; a global may be described in parts, for contexts that see more of it. */
extern const struct cox_api cox_api_json, cox_api_log, cox_api_time, cox_api_time_jobs, cox_api_http, cox_api_ws, cox_api_connection,
    cox_api_wallet, cox_api_job_broker, cox_api_broker, cox_api_node, cox_api_driver_node;
/* Shapes of plain tables; ended by NULL. */
extern const struct cox_api *const cox_api_types[];

/* {"apis": [{"name", "help", "contexts": ["policy", …], "functions": [{"name", "signature", "help"}], "fields": [{"name", "type",
 * "help"}]}] in the order of the manual}. A new reference.                                                                       */
json_t *cox_api_describe(void);
/* "policy", "drivers", "jobs" or "console". */
const char *cox_api_context_name(enum cox_context context);

#endif
