#include "script/config_tokens.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const keys[] = {"token", "token_file", "scope", "name"};

struct entry {
  char path[64];
  cox_config_fault_fn *fault;
  void *arg;
};

static void report(const struct entry *entry, const char *key, const char *message) {
  char path[128];
  snprintf(path, sizeof path, "%s%s%.40s", entry->path, key != NULL ? "." : "", key != NULL ? key : "");
  entry->fault(entry->arg, path, message);
}

static bool is_text(const json_t *value) { return json_is_string(value) && json_string_length(value) > 0; }

static void check_keys(const struct entry *entry, json_t *object) {
  const char *name;
  json_t *value;
  json_object_foreach(object, name, value) {
    size_t i = 0;
    while (i < sizeof keys / sizeof *keys && strcmp(keys[i], name) != 0) i++;
    if (i == sizeof keys / sizeof *keys) report(entry, name, "unknown key; accepted here: token, token_file, scope, name");
    else if (!is_text(value)) report(entry, name, "must be a text");
  }
}

static void check_entry(const struct entry *entry, json_t *object) {
  if (!json_is_object(object)) {
    report(entry, NULL, "must be a table { token or token_file, scope, name }");
    return;
  }
  check_keys(entry, object);
  const json_t *const scope = json_object_get(object, "scope");
  const char *const word = json_string_value(scope);
  if (json_object_get(object, "name") == NULL) report(entry, "name", "is missing: say whose token it is");
  if (scope == NULL || (is_text(scope) && strcmp(word, "read") != 0 && strcmp(word, "operate") != 0 && strcmp(word, "admin") != 0)) {
    report(entry, "scope", "must be one of \"read\", \"operate\", \"admin\"");
  }
  if ((json_object_get(object, "token") != NULL) == (json_object_get(object, "token_file") != NULL)) {
    report(entry, NULL, "needs either token or token_file");
  }
}

void cox_config_tokens_check(const json_t *tokens, cox_config_fault_fn *fault, void *arg) {
  size_t i;
  json_t *object;
  json_array_foreach(tokens, i, object) {
    struct entry entry = {.fault = fault, .arg = arg};
    snprintf(entry.path, sizeof entry.path, "admin.tokens[%zu]", i + 1); /* as Lua counts */
    check_entry(&entry, object);
  }
}

void cox_config_tokens_each_file(json_t *tokens, char *(*locate)(void *arg, const char *path), void *arg) {
  size_t i;
  json_t *object;
  json_array_foreach(tokens, i, object) {
    const char *const path = json_string_value(json_object_get(object, "token_file"));
    char *const located = path != NULL ? locate(arg, path) : NULL;
    if (located != NULL) json_object_set_new(object, "token_file", json_string(located));
    free(located);
  }
}

void cox_config_tokens_mask(json_t *tokens, const char *mask) {
  size_t i;
  json_t *object;
  json_array_foreach(tokens, i, object) {
    if (json_object_get(object, "token") != NULL) json_object_set_new(object, "token", json_string(mask));
  }
}
