#include "api/auth.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

/* No early end: how long it takes must not tell how much of the token was right. */
static bool is_equal(const char *token, const char *given) {
  const size_t len = strlen(token), given_len = strlen(given);
  volatile unsigned char difference = len != given_len;
  for (size_t i = 0; i < given_len; i++) difference = (unsigned char)(difference | (token[i % len] ^ given[i]));
  return difference == 0;
}

bool cox_auth_allows(const char *token, const char *header) {
  static const char scheme[] = "Bearer ";
  if (header == NULL || strncasecmp(header, scheme, sizeof scheme - 1) != 0) return false;
  const char *given = header + sizeof scheme - 1;
  given += strspn(given, " ");
  return is_equal(token, given);
}
