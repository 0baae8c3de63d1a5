/* What a configuration may hold: one data table, and the check of a configuration against it. */
#ifndef COX_SCRIPT_CONFIG_SCHEMA_H
#define COX_SCRIPT_CONFIG_SCHEMA_H

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"

enum cox_config_type {
  COX_CONFIG_GROUP, /* a table of further keys */
  COX_CONFIG_TEXT,
  COX_CONFIG_BOOL,
  COX_CONFIG_INTEGER,
  COX_CONFIG_NUMBER,
  COX_CONFIG_BACKOFF, /* two numbers of seconds, the second not below the first */
  COX_CONFIG_NODES,   /* a path or a list of node objects */
  COX_CONFIG_URLS,    /* a URL, or a list of them in order of preference */
  COX_CONFIG_FOLDERS, /* a path, or a list of them in order of precedence */
  COX_CONFIG_TOKENS   /* a list of tokens (config_tokens.h) */
};

struct cox_config_key {
  const char *path; /* "admin.listen" */
  enum cox_config_type type;
  double least, most;      /* numbers */
  const char *accepted;    /* people's words for what is accepted; for texts with `choices` left out */
  const char *choices;     /* texts: "debug|info|warn|error"; NULL: any that is not empty */
  const char *fallback;    /* default as JSON text; NULL: none */
  const char *only_kind;   /* default only for this feed.kind; NULL: always */
  bool is_path;            /* relative to the configuration's folder */
};

/* The key of that path, NULL: there is none. */
const struct cox_config_key *cox_config_key_find(const char *path);
/* The value at a dotted path, borrowed; NULL: absent. */
json_t *cox_config_get(const json_t *config, const char *path);
/* Sets it, making the groups on the way; takes `value`. False: something on the way is not a table. */
bool cox_config_set(json_t *config, const char *path, json_t *value);

/* One fault: `path` is the key's, `message` begins behind it. */
typedef void cox_config_fault_fn(void *arg, const char *path, const char *message);
/* Every unknown key, wrong type and value out of range. */
void cox_config_check(json_t *config, cox_config_fault_fn *fault, void *arg);
/* Fills in the defaults of keys that are absent. Only for a configuration without faults. */
void cox_config_fill(json_t *config);
/* Calls back for each key with `is_path` that holds a text other than ":memory:". */
void cox_config_each_path(json_t *config, void (*each)(void *arg, const char *path, const char *value), void *arg);

#endif
