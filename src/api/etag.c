#include "api/etag.h"

#include <stdlib.h>
#include <string.h>

#include "api/request.h"
#include "core/node.h"

void cox_etag_write(char out[COX_ETAG_MAX], const char *tag, const char *text, size_t len) {
  const size_t tag_len = strlen(tag);
  *out++ = '"';
  memcpy(out, tag, tag_len);
  out[tag_len] = '.';
  out = cox_hex_write(out + tag_len + 1, cox_hash_bytes(text, len));
  memcpy(out, "\"", 2);
}

/* The next quoted tag of the list, without its quotes; NULL: no more, or `*is_good` becomes false. */
static const char *next_tag(const char **at, size_t *len, bool *is_weak, bool *is_good) {
  *at += strspn(*at, " \t,");
  if (**at == '\0') return NULL;
  *is_weak = strncmp(*at, "W/", 2) == 0;
  if (*is_weak) *at += 2;
  const char *const start = *at + 1, *const end = **at == '"' ? strchr(start, '"') : NULL;
  *is_good = end != NULL;
  if (end == NULL) return NULL;
  *len = (size_t)(end - start);
  *at = end + 1;
  return start;
}

static bool is_star(const char *header) {
  header += strspn(header, " \t");
  return *header == '*' && header[1 + strspn(header + 1, " \t")] == '\0';
}

bool cox_etag_is_among(const char *header, const char *etag) {
  if (header == NULL) return false;
  if (is_star(header)) return true;
  size_t len = 0;
  bool is_weak, is_good = true;
  for (const char *tag; (tag = next_tag(&header, &len, &is_weak, &is_good)) != NULL;) {
    if (len + 2 == strlen(etag) && strncmp(tag, etag + 1, len) == 0) return true;
  }
  return false;
}

static bool refuse(struct cox_request *request) {
  cox_request_fail(request, 400, "If-Match must be * or ETags in quotes, as GET /admin/v1/nodes/:id gives them; If-None-Match must be *; "
                   "and only one of them: nothing was changed");
  return false;
}

/* What stands before the dot of each, separated by spaces. A weak tag never fits, as RFC 9110 has it. */
static bool read_tags(struct cox_request *request, char *out) {
  const char *at = request->if_match;
  size_t len = 0;
  bool is_weak, is_good = true;
  for (const char *tag; (tag = next_tag(&at, &len, &is_weak, &is_good)) != NULL;) {
    const char *const dot = memchr(tag, '.', len);
    const size_t tag_len = dot != NULL ? (size_t)(dot - tag) : len;
    if (is_weak || memchr(tag, ' ', len) != NULL) continue;
    memcpy(out, tag, tag_len);
    out += tag_len;
    *out++ = ' ';
  }
  *out = '\0';
  return is_good || refuse(request);
}

bool cox_request_require(struct cox_request *request, const char *node_id) {
  struct cox_condition *const condition = &request->condition;
  if (request->if_match == NULL && request->if_none_match == NULL) return true;
  cox_condition_fini(condition);
  if (request->if_match != NULL && request->if_none_match != NULL) return refuse(request);
  condition->node_id = strdup(node_id);
  condition->tags = request->if_match != NULL ? calloc(strlen(request->if_match) + 2, 1) : NULL;
  if (condition->node_id == NULL || (request->if_match != NULL && condition->tags == NULL)) {
    cox_request_fail(request, 500, "nothing was changed: out of memory; try again later");
    return false;
  }
  if (request->if_match == NULL) {
    condition->kind = COX_CONDITION_ABSENT;
    return is_star(request->if_none_match) || refuse(request);
  }
  condition->kind = is_star(request->if_match) ? COX_CONDITION_EXISTS : COX_CONDITION_TAGGED;
  return condition->kind == COX_CONDITION_EXISTS || read_tags(request, condition->tags);
}
