#include "api/auth.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/exposure.h"

enum { TOKEN_MAX = 4096, NAME_MAX_LEN = 64 };

static const char *const scope_names[] = {"none", "read", "operate", "admin"};

const char *cox_scope_name(enum cox_scope scope) { return scope_names[scope]; }

bool cox_scope_parse(const char *text, enum cox_scope *out) {
  for (int scope = COX_SCOPE_READ; scope <= COX_SCOPE_ADMIN; scope++) {
    if (text == NULL || strcmp(text, scope_names[scope]) != 0) continue;
    *out = (enum cox_scope)scope;
    return true;
  }
  return false;
}

/* No early end: how long it takes must not tell how much of the token was right. */
static bool is_equal(const char *token, const char *given) {
  const size_t len = strlen(token), given_len = strlen(given);
  volatile unsigned char difference = len != given_len;
  for (size_t i = 0; i < given_len; i++) difference = (unsigned char)(difference | (token[i % len] ^ given[i]));
  return difference == 0;
}

const struct cox_caller *cox_access_anonymous(void) {
  static char name[] = "anonymous";
  static const struct cox_caller anonymous = {.name = name, .scope = COX_SCOPE_ADMIN};
  return &anonymous;
}

const struct cox_caller *cox_access_local(const struct cox_access *access, uid_t uid) {
  static char name[] = "root";
  static const struct cox_caller root = {.name = name, .scope = COX_SCOPE_ADMIN};
  if (uid == 0) return &root;
  return uid == geteuid() ? &access->owner : NULL;
}

const struct cox_caller *cox_access_find(const struct cox_access *access, const char *header) {
  static const char scheme[] = "Bearer ";
  if (access->count == 0) return cox_access_anonymous();
  if (header == NULL || strncasecmp(header, scheme, sizeof scheme - 1) != 0) return NULL;
  const char *given = header + sizeof scheme - 1;
  given += strspn(given, " ");
  const struct cox_caller *found = NULL;
  for (size_t i = 0; i < access->count; i++) { /* all of them, also after one fitted */
    if (is_equal(access->callers[i].token, given)) found = &access->callers[i];
  }
  return found;
}

/* The text without white space around it; what cannot stand in a header is refused. */
static int take_token(struct cox_caller *caller, const char *text, const char *where, struct cox_err *err) {
  size_t len = strlen(text);
  while (len > 0 && isspace((unsigned char)text[len - 1])) len--;
  while (len > 0 && isspace((unsigned char)*text)) text++, len--;
  if (len == 0) return cox_err_set(err, COX_EINVAL, "%s is empty: give a long random one, or leave it out", where);
  for (size_t i = 0; i < len; i++) {
    if (isgraph((unsigned char)text[i])) continue;
    return cox_err_set(err, COX_EINVAL, "%s has spaces or control characters in it, which no header can carry", where);
  }
  caller->token = strndup(text, len);
  return caller->token != NULL ? 0 : cox_err_set(err, COX_ENOMEM, "starting the API failed: out of memory");
}

/* Of the file that was opened, wherever a link led. */
static void doubt_mode(const char *where, const char *path, FILE *file, struct cox_faults *doubts) {
  struct stat info;
  const char *const words = fstat(fileno(file), &info) == 0 && S_ISREG(info.st_mode) ? cox_exposure_words(info.st_mode) : NULL;
  if (words == NULL) return;
  cox_faults_add(doubts, NULL, 0, "%s: the token file %s has mode %04o: %s; run chmod 600 %s", where, path, (unsigned)(info.st_mode & 07777),
                 words, path);
}

static int read_token(struct cox_caller *caller, const char *where, const char *path, struct cox_faults *doubts, struct cox_err *err) {
  char text[TOKEN_MAX + 2], words[512];
  FILE *const file = fopen(path, "re");
  if (file == NULL) {
    return cox_err_set(err, COX_EINVAL, "%s: reading the token file %s failed: %s", where, path, strerror(errno));
  }
  doubt_mode(where, path, file, doubts);
  const size_t len = fread(text, 1, sizeof text - 1, file);
  const bool is_bad = ferror(file) != 0;
  fclose(file);
  if (is_bad) return cox_err_set(err, COX_EINVAL, "%s: reading the token file %s failed: is it a file?", where, path);
  if (len > TOKEN_MAX) return cox_err_set(err, COX_EINVAL, "%s: the token file %s is longer than %d bytes", where, path, TOKEN_MAX);
  text[len] = '\0';
  snprintf(words, sizeof words, "%s: the token file %.300s", where, path);
  return take_token(caller, text, words, err);
}

/* The name stands in logs and records. */
static int take_name(struct cox_caller *caller, const char *name, const char *where, struct cox_err *err) {
  static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.@";
  const size_t len = name != NULL ? strlen(name) : 0;
  if (len == 0 || len > NAME_MAX_LEN || strspn(name, letters) != len) {
    return cox_err_set(err, COX_EINVAL, "%s.name must say whose token it is: 1 to %d letters, digits and any of -_.@", where, NAME_MAX_LEN);
  }
  caller->name = strdup(name);
  return caller->name != NULL ? 0 : cox_err_set(err, COX_ENOMEM, "starting the API failed: out of memory");
}

static int take_entry(struct cox_caller *caller, size_t index, const json_t *entry, struct cox_faults *doubts, struct cox_err *err) {
  char where[64];
  snprintf(where, sizeof where, "admin.tokens[%zu]", index + 1); /* as Lua counts */
  const char *const token = json_string_value(json_object_get(entry, "token"));
  const char *const path = json_string_value(json_object_get(entry, "token_file"));
  int rc = take_name(caller, json_string_value(json_object_get(entry, "name")), where, err);
  if (rc != 0) return rc;
  if (!cox_scope_parse(json_string_value(json_object_get(entry, "scope")), &caller->scope)) {
    return cox_err_set(err, COX_EINVAL, "%s.scope must be \"read\", \"operate\" or \"admin\"", where);
  }
  if ((token == NULL) == (path == NULL)) return cox_err_set(err, COX_EINVAL, "%s needs either token or token_file", where);
  return token != NULL ? take_token(caller, token, where, err) : read_token(caller, where, path, doubts, err);
}

/* Named by its number: looking names up may wait. */
static int name_owner(struct cox_caller *owner, struct cox_err *err) {
  char name[32];
  snprintf(name, sizeof name, "uid-%u", (unsigned)geteuid());
  owner->scope = COX_SCOPE_ADMIN;
  return take_name(owner, name, "the daemon's user", err);
}

/* One token for two would leave open which scope it has; one name for two would make records doubtful. */
static int check_apart(const struct cox_access *access, struct cox_err *err) {
  for (size_t i = 0; i < access->count; i++) {
    for (size_t k = 0; k < i; k++) {
      const struct cox_caller *const one = &access->callers[i], *const other = &access->callers[k];
      if (strcmp(one->name, other->name) == 0) {
        return cox_err_set(err, COX_EINVAL, "admin.tokens: two tokens have the name %s: each needs its own", one->name);
      }
      if (strcmp(one->token, other->token) == 0) {
        return cox_err_set(err, COX_EINVAL, "admin.tokens: %s and %s have the same token: each needs its own", other->name, one->name);
      }
    }
  }
  return 0;
}

int cox_access_init(struct cox_access *access, const char *token, const json_t *tokens, struct cox_faults *doubts, struct cox_err *err) {
  *access = (struct cox_access){0};
  access->callers = calloc(json_array_size(tokens) + 1, sizeof *access->callers);
  if (access->callers == NULL) return cox_err_set(err, COX_ENOMEM, "starting the API failed: out of memory");
  int rc = name_owner(&access->owner, err);
  if (rc == 0 && token != NULL) {
    struct cox_caller *const admin = &access->callers[access->count++];
    admin->scope = COX_SCOPE_ADMIN;
    rc = take_name(admin, "admin", "admin.token", err);
    if (rc == 0) rc = take_token(admin, token, "admin.token", err);
  }
  for (size_t i = 0; i < json_array_size(tokens) && rc == 0; i++) {
    rc = take_entry(&access->callers[access->count++], i, json_array_get(tokens, i), doubts, err);
  }
  return rc != 0 ? rc : check_apart(access, err);
}

void cox_access_fini(struct cox_access *access) {
  for (size_t i = 0; i < access->count; i++) {
    free(access->callers[i].name);
    free(access->callers[i].token);
  }
  free(access->callers);
  free(access->owner.name);
  *access = (struct cox_access){0};
}
