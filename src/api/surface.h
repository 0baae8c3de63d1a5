/* What each route is for: its scope, and what people and programs are told about it. The table of route.c says what runs;
 * a route that is not described here is for administrators only, and a spec fails.                                      */
#ifndef COX_API_SURFACE_H
#define COX_API_SURFACE_H

#include <jansson.h>
#include <stddef.h>

#include "api/auth.h"
#include "api/route.h"

struct cox_surface {
  const char *method, *pattern;
  enum cox_scope scope;    /* not asked for on public routes */
  const char *summary;
  const char *parameters;  /* names of components, separated by spaces, those of the query with a ? before them; NULL: only those of the path */
  const char *request;     /* name of the body's schema; NULL: no body */
  const char *answers;     /* "200:NodeView 404:Error"; statuses that any route can give are not said */
};

/* NULL: it is not described. */
const struct cox_surface *cox_surface_of(const struct cox_route *route);
/* Writes the next status of `answers` and the name of its schema; NULL: no more. */
const char *cox_surface_next(const char *answers, unsigned *status, char schema[32]);
/* The OpenAPI 3.1 document of all routes; a new reference, NULL: out of memory. */
json_t *cox_openapi(void);
/* Its schemas and parameters by name (openapi_parts.c); new references. */
json_t *cox_openapi_schemas(void);
json_t *cox_openapi_parameters(void);

#endif
