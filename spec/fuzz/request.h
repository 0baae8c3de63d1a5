/* Requests to the admin API without a socket: each is carried out as a job is (api/key.h), on a fake core's broker. */
#ifndef SPEC_FUZZ_REQUEST_H
#define SPEC_FUZZ_REQUEST_H

#include <jansson.h>

#include "fake_core.h"

struct requests;

/* Borrows the fake core, which must be destroyed after it. */
struct requests *requests_create(struct fake *fake);
void requests_destroy(struct requests *requests);
/* Carries out what changes things, to its end; time passes when it waits. The status, 0: no route of that kind. `*answer` is the
 * answer as JSON, a new reference.                                                                                              */
unsigned requests_send(struct requests *requests, const char *method, const char *target, const char *body, size_t size, json_t **answer);

#endif
