/* Who may ask: bearer tokens, each with a name and a scope. */
#ifndef COX_API_AUTH_H
#define COX_API_AUTH_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"

/* Each includes those before it. */
enum cox_scope {
  COX_SCOPE_NONE,
  COX_SCOPE_READ,    /* looks */
  COX_SCOPE_OPERATE, /* commands, leases, enabling and disabling nodes */
  COX_SCOPE_ADMIN    /* changes nodes, scripts; sees the configuration */
};

const char *cox_scope_name(enum cox_scope scope);
bool cox_scope_parse(const char *text, enum cox_scope *out);

struct cox_caller {
  char *name, *token; /* owned */
  enum cox_scope scope;
};

struct cox_access {
  struct cox_caller *callers;
  size_t count; /* 0: everybody may do everything */
  struct cox_caller owner; /* the daemon's own user, at the control socket; it has no token */
};

/* `token` (NULL: none) is the administrator's; `tokens` (NULL: none) is admin.tokens of the configuration, [{"token" or
 * "token_file", "scope", "name"}]; files are read now. 0, or a code with the entry and the file that is wrong. What does not stop a
 * start but should be mended is added to `doubts` (NULL: nobody asks): files that others may read.                              */
int cox_access_init(struct cox_access *access, const char *token, const json_t *tokens, struct cox_faults *doubts, struct cox_err *err);
void cox_access_fini(struct cox_access *access);
/* Who sends that Authorization header (NULL: none came); NULL: a stranger. How long it takes tells nothing about how much of
 * a token was right, nor which one was.                                                                                     */
const struct cox_caller *cox_access_find(const struct cox_access *access, const char *header);
/* For whoever needs no token. */
const struct cox_caller *cox_access_anonymous(void);
/* Who was let in at the control socket, root or the daemon's user: they need no token there. NULL: somebody else. */
const struct cox_caller *cox_access_local(const struct cox_access *access, uid_t uid);

#endif
