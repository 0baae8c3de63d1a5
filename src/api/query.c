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
  const char *names; /* as in cox_surface.parameters */
  char unknown[64], known[128]; /* the first one that is not there; those that are */
};

static bool is_named(const char *names, const char *key) {
  const size_t len = strlen(key);
  for (; *(names += strspn(names, " ")) != '\0'; names += strcspn(names, " ")) {
    if (*names == '?' && strcspn(names, " ") == len + 1 && strncmp(names + 1, key, len) == 0) return true;
  }
  return false;
}

static enum MHD_Result look(void *cls, enum MHD_ValueKind kind, const char *key, const char *value) {
  struct search *const search = cls;
  (void)kind;
  (void)value;
  if (*key == '\0' || is_named(search->names, key)) return MHD_YES;
  snprintf(search->unknown, sizeof search->unknown, "%s", key);
  return MHD_NO;
}

static void list_known(struct search *search) {
  size_t len = 0;
  for (const char *name = search->names; *(name += strspn(name, " ")) != '\0'; name += strcspn(name, " ")) {
    if (*name != '?' || len >= sizeof search->known) continue;
    len += (size_t)snprintf(search->known + len, sizeof search->known - len, "%s%.*s", len > 0 ? ", " : "", (int)strcspn(name, " ") - 1, name + 1);
  }
}

bool cox_request_query_has_only(struct cox_request *request, const char *names) {
  struct search search = {.names = names};
  MHD_get_connection_values(request->native, MHD_GET_ARGUMENT_KIND, look, &search);
  if (search.unknown[0] == '\0') return true;
  list_known(&search);
  cox_request_fail(request, 400, "%s %s does not know the parameter %s: leave it out; %s%s", request->method,
                   request->match.route->pattern, search.unknown, search.known[0] != '\0' ? "those there are: " : "it takes none", search.known);
  return false;
}
