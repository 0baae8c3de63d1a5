/* Which certificates the endpoints of the feed are believed by: feed.ca_file, instead of the system's. It is for those alone, so that
 * neither nodes nor what other jobs talk to are believed by it.                                                                   */
#ifndef COX_SCRIPT_TRUST_H
#define COX_SCRIPT_TRUST_H

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"

/* For a request to that URL (http, https, ws or wss); borrowed from the configuration. NULL: the system's. */
const char *cox_trust_file(const json_t *config, const char *url);
/* False, with the fault: the file cannot be read, or holds no certificate. */
bool cox_trust_check(const json_t *config, struct cox_faults *faults);

#endif
