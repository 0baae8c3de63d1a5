/* From a file, the environment and -D to one checked configuration. Every step goes on after faults as far as it can, so
 * that one run of `check` shows all of them.                                                                            */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "script/config_file.h"
#include "script/config_layers.h"
#include "script/config_lines.h"
#include "script/config_nodes.h"
#include "script/config_schema.h"
#include "script/config_tokens.h"
#include "script/config_vm.h"
#include "script/script.h"

enum { FILE_MAX_BYTES = 16 * 1024 * 1024 };
#define DEFAULT_SCRIPTS "default"
#define MASK "***"

struct load {
  const char *path; /* NULL: no file */
  json_t *config;
  struct cox_config_lines lines;
  struct cox_config_layers layers;
  struct cox_faults *faults;
};

/* What the file returns; an empty table when it returns nothing that can be used. */
static json_t *run_file(struct load *load) {
  struct cox_buf source = {.limit = FILE_MAX_BYTES};
  struct cox_err err = {0};
  json_t *config = NULL;
  if (load->path != NULL && cox_config_file_read(&source, "the configuration", load->path, &err) != 0) {
    cox_faults_add(load->faults, load->path, 0, "%s", err.text);
  } else if (load->path != NULL) {
    config = cox_config_vm_run(load->path, source.data, source.len, load->faults);
    cox_config_lines_init(&load->lines, source.data, source.len);
  }
  cox_buf_fini(&source);
  return config != NULL ? config : json_object();
}

/* At the one who gave the value: -D, a variable, or the file. */
static void add_fault(void *arg, const char *path, const char *message) {
  const struct load *const load = arg;
  const char *const origin = cox_config_layers_origin(&load->layers, path);
  cox_faults_add(load->faults, origin != NULL ? origin : load->path,
                 origin != NULL ? 0 : cox_config_lines_find(&load->lines, path), "%s: %s", path, message);
}

/* Absolute, seen from where the key was given; NULL with a fault. */
static char *locate(struct load *load, const char *key, const char *value) {
  const bool is_of_file = cox_config_layers_origin(&load->layers, key) == NULL;
  char *const located = cox_config_file_locate(is_of_file ? load->path : NULL, value);
  if (located == NULL)
    add_fault(load, key, "the working directory is gone, so a relative path means nothing; give an absolute one");
  return located;
}

static void locate_key(void *arg, const char *key, const char *value) {
  struct load *const load = arg;
  char *const located = locate(load, key, value);
  if (located != NULL) cox_config_set(load->config, key, json_string(located));
  free(located);
}

static char *locate_token(void *arg, const char *path) { return locate(arg, "admin.tokens", path); }

/* One folder of scripts; the word "default" is the shipped one. */
static json_t *located_folder(struct load *load, const json_t *value, const char *default_scripts) {
  const char *const folder = json_string_value(value);
  if (folder == NULL || (strcmp(folder, DEFAULT_SCRIPTS) == 0 && default_scripts != NULL)) return json_string(default_scripts);
  char *const located = locate(load, "scripts", folder);
  json_t *const path = json_string(located != NULL ? located : folder);
  free(located);
  return path;
}

static void locate_scripts(struct load *load, const char *default_scripts) {
  const json_t *const value = json_object_get(load->config, "scripts");
  if (!json_is_array(value)) {
    json_t *const folder = located_folder(load, value, default_scripts);
    if (folder != NULL) json_object_set_new(load->config, "scripts", folder);
    return;
  }
  json_t *const folders = json_array();
  for (size_t i = 0; i < json_array_size(value); i++) {
    json_array_append_new(folders, located_folder(load, json_array_get(value, i), default_scripts));
  }
  json_object_set_new(load->config, "scripts", folders);
}

json_t *cox_config_folders(const json_t *config, const char *default_scripts) {
  json_t *const value = json_object_get(config, "scripts");
  if (json_is_array(value)) return json_incref(value);
  return json_pack("[s]", json_is_string(value) ? json_string_value(value) : default_scripts);
}

static void read_nodes_file(struct load *load, const char *value) {
  char *const file = locate(load, "nodes", value);
  if (file == NULL) return;
  json_t *const nodes = cox_config_nodes_read(file, load->faults);
  json_object_set_new(load->config, "nodes", nodes != NULL ? nodes : json_array());
  json_object_set_new(load->config, "nodes_file", json_string(file));
  free(file);
}

static void check_nodes(struct load *load) {
  json_t *const nodes = json_object_get(load->config, "nodes");
  if (json_is_string(nodes) && json_string_length(nodes) > 0) {
    read_nodes_file(load, json_string_value(nodes));
  } else if (json_is_array(nodes)) {
    const char *const origin = cox_config_layers_origin(&load->layers, "nodes");
    cox_config_nodes_check(nodes, origin != NULL ? origin : load->path, "nodes", NULL, load->faults);
  }
}

static int by_line(const void *left, const void *right) {
  const struct cox_err *const a = left, *const b = right;
  return a->line != b->line ? (a->line > b->line) - (a->line < b->line) : strcmp(a->text, b->text);
}

static void lay_over_and_check(struct load *load, const char *const *overrides) {
  cox_config_layers_add_environment(&load->layers, environ);
  cox_config_layers_add_options(&load->layers, overrides);
  const size_t before = load->faults->count;
  cox_config_check(load->config, add_fault, load); /* goes through tables, which have no order */
  const size_t found = load->faults->count - before;
  if (found > 1) qsort(load->faults->list + before, found, sizeof *load->faults->list, by_line);
}

json_t *cox_config_load_partial(const char *path, const char *const *overrides, const char *default_scripts,
                                struct cox_faults *faults) {
  struct load load = {.path = path, .faults = faults};
  load.config = run_file(&load);
  if (load.config == NULL || !cox_config_layers_init(&load.layers, load.config, faults)) {
    cox_faults_add(faults, path, 0, "reading the configuration failed: out of memory");
    json_decref(load.config);
    load.config = NULL;
    goto out;
  }
  const size_t before = faults->count;
  lay_over_and_check(&load, overrides);
  if (faults->count == before) cox_config_fill(load.config);
  cox_config_each_path(load.config, locate_key, &load);
  cox_config_tokens_each_file(cox_config_get(load.config, "admin.tokens"), locate_token, &load);
  locate_scripts(&load, default_scripts);
  check_nodes(&load);
out:
  cox_config_layers_fini(&load.layers);
  cox_config_lines_fini(&load.lines);
  return load.config;
}

json_t *cox_config_load(const char *path, const char *const *overrides, const char *default_scripts, struct cox_faults *faults) {
  const size_t before = faults->count;
  json_t *const config = cox_config_load_partial(path, overrides, default_scripts, faults);
  if (faults->count == before) return config;
  json_decref(config);
  return NULL;
}

/* "http://user:password@host": only the host is for everybody. */
static json_t *masked_url(const char *url) {
  const char *const host = url != NULL ? strstr(url, "://") : NULL;
  if (host == NULL) return NULL;
  const size_t scheme_len = (size_t)(host - url) + 3;
  const char *const end = url + scheme_len + strcspn(url + scheme_len, "/?#");
  const char *const at = memrchr(url + scheme_len, '@', (size_t)(end - url) - scheme_len);
  return at != NULL ? json_sprintf("%.*s" MASK "%s", (int)scheme_len, url, at) : NULL;
}

/* One, or each of a list. */
static void mask_url(json_t *config, const char *path) {
  json_t *const value = cox_config_get(config, path);
  json_t *const alone = masked_url(json_string_value(value));
  if (alone != NULL) cox_config_set(config, path, alone);
  for (size_t i = 0; i < json_array_size(value); i++) {
    json_t *const masked = masked_url(json_string_value(json_array_get(value, i)));
    if (masked != NULL) json_array_set_new(value, i, masked);
  }
}

json_t *cox_config_masked(const json_t *config) {
  json_t *const masked = json_deep_copy(config);
  if (masked == NULL) return NULL;
  if (cox_config_get(masked, "admin.token") != NULL) cox_config_set(masked, "admin.token", json_string(MASK));
  cox_config_tokens_mask(cox_config_get(masked, "admin.tokens"), MASK);
  mask_url(masked, "callback_url");
  mask_url(masked, "feed.rpc");
  mask_url(masked, "feed.rest");
  return masked;
}
