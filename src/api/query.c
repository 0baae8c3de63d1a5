/* The query of a request. The library splits it and leaves its escapes alone. */
#include <microhttpd.h>
#include <stdio.h>
#include <string.h>

#include "api/request.h"

bool cox_request_query(struct cox_request *request, const char *name, char *out, size_t size, bool *is_bad) {
  const char *const raw = MHD_lookup_connection_value(request->native, MHD_GET_ARGUMENT_KIND, name);
  if (raw == NULL) return false;
  const int len = snprintf(out, size, "%s", raw);
  if (len >= 0 && (size_t)len < size && cox_percent_decode(out)) return true;
  *is_bad = true;
  return false;
}

struct search {
  const char *const *names;
  char unknown[64];
};

static enum MHD_Result look(void *cls, enum MHD_ValueKind kind, const char *key, const char *value) {
  struct search *const search = cls;
  (void)kind;
  (void)value;
  const char *const *name = search->names;
  while (*name != NULL && strcmp(*name, key) != 0) name++;
  if (*name != NULL) return MHD_YES;
  snprintf(search->unknown, sizeof search->unknown, "%s", key);
  return MHD_NO;
}

bool cox_request_query_has_only(struct cox_request *request, const char *const *names) {
  struct search search = {.names = names};
  MHD_get_connection_values(request->native, MHD_GET_ARGUMENT_KIND, look, &search);
  if (search.unknown[0] == '\0') return true;
  cox_request_fail(request, 400, "%s %s does not know the parameter %s: leave it out", request->method, request->match.route->pattern,
                   search.unknown);
  return false;
}
