/* A configuration with comments, from the schema: what it says about a key is what the manual says. */
#include "console/init.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "console/text.h"

enum { PATH_BYTES = 256 };

struct writer {
  struct cox_buf *out;
  const json_t *keys, *values;
  const char *kind; /* feed.kind: keys of the other kinds are left out */
};

static const char *text_of(const json_t *object, const char *key) {
  const char *const text = json_string_value(json_object_get(object, key));
  return text != NULL ? text : "";
}

/* JSON as Lua. */
static void add_value(struct cox_buf *out, const json_t *value) {
  if (json_is_string(value)) {
    cox_buf_addf(out, "\"");
    for (const char *at = json_string_value(value); *at != '\0'; at++) {
      if (*at == '"' || *at == '\\') cox_buf_addf(out, "\\%c", *at);
      else if ((unsigned char)*at < 0x20 || *at == 0x7f) cox_buf_addf(out, "\\%03d", (unsigned char)*at);
      else cox_buf_add(out, at, 1);
    }
    cox_buf_addf(out, "\"");
  } else if (json_is_array(value)) {
    size_t i;
    json_t *item;
    cox_buf_addf(out, "{ ");
    json_array_foreach(value, i, item) {
      cox_buf_addf(out, i > 0 ? ", " : "");
      add_value(out, item);
    }
    cox_buf_addf(out, json_array_size(value) > 0 ? " }" : "}");
  } else {
    char *const text = json_dumps(value, JSON_ENCODE_ANY);
    cox_buf_addf(out, "%s", text != NULL ? text : "nil");
    free(text);
  }
}

/* Is `path` right below `group` ("" for the top)? */
static bool is_below(const char *path, const char *group) {
  const size_t len = strlen(group);
  if (len == 0) return strchr(path, '.') == NULL;
  return strncmp(path, group, len) == 0 && path[len] == '.' && strchr(path + len + 1, '.') == NULL;
}

static bool has_value_in(const struct writer *writer, const char *group) {
  const size_t len = strlen(group);
  const char *path;
  json_t *value;
  json_object_foreach((json_t *)(uintptr_t)writer->values, path, value) {
    if (strncmp(path, group, len) == 0 && path[len] == '.') return true;
  }
  return false;
}

/* `depth` levels of indentation, behind "-- " when the line is off. */
static void begin_line(const struct writer *writer, int depth, bool is_off) {
  cox_buf_addf(writer->out, "%*s%s", 2 * depth, "", is_off ? "-- " : "");
}

static void add_default(const struct writer *writer, const json_t *key) {
  const char *const fallback = text_of(key, "default");
  json_t *const value = *fallback != '\0' ? json_loads(fallback, JSON_DECODE_ANY, NULL) : NULL;
  if (value != NULL) add_value(writer->out, value);
  else cox_buf_addf(writer->out, "…");
  json_decref(value);
}

static void add_group(const struct writer *writer, const char *group, int depth, bool is_off);

static void add_key(const struct writer *writer, const json_t *key, int depth, bool is_off) {
  const char *const path = text_of(key, "path"), *const dot = strrchr(path, '.'), *const name = dot != NULL ? dot + 1 : path;
  const bool is_group = json_is_true(json_object_get(key, "is_group"));
  const json_t *const value = json_object_get(writer->values, path);
  is_off = is_off || (is_group ? !has_value_in(writer, path) : value == NULL);
  if (depth == 1 && writer->out->len > 0) cox_buf_addf(writer->out, "\n");
  begin_line(writer, depth, false);
  cox_buf_addf(writer->out, "-- %s", text_of(key, "help"));
  if (!is_group) cox_buf_addf(writer->out, " Accepted: %s.", text_of(key, "accepted"));
  cox_buf_addf(writer->out, "\n");
  begin_line(writer, depth, is_off);
  cox_buf_addf(writer->out, "%s = ", name);
  if (is_group) {
    cox_buf_addf(writer->out, "{\n");
    add_group(writer, path, depth + 1, is_off);
    begin_line(writer, depth, is_off);
    cox_buf_addf(writer->out, "}");
  } else if (value != NULL) {
    add_value(writer->out, value);
  } else {
    add_default(writer, key);
  }
  cox_buf_addf(writer->out, ",\n");
}

static void add_group(const struct writer *writer, const char *group, int depth, bool is_off) {
  size_t i;
  json_t *key;
  json_array_foreach(writer->keys, i, key) {
    const char *const kind = text_of(key, "only_kind");
    if (*kind != '\0' && strcmp(kind, writer->kind) != 0) continue;
    if (is_below(text_of(key, "path"), group)) add_key(writer, key, depth, is_off);
  }
}

bool cox_init_config(struct cox_buf *out, const json_t *keys, const json_t *values) {
  const struct writer writer = {.out = out, .keys = keys, .values = values, .kind = text_of(values, "feed.kind")};
  bool is_whole = cox_buf_addf(out, "-- The configuration of coxswain, see coxswain.lua(5). It is a Lua file that returns a table; paths in it are relative to\n"
                                    "-- this file. What is behind `--` stands at its default. Check it with:  coxswain check -c coxswain.lua\n"
                                    "return {\n");
  add_group(&writer, "", 1, false);
  is_whole = is_whole && cox_buf_addf(out, "}\n");
  return is_whole;
}

bool cox_init_is_service(const char *dir) { return strcmp(dir, "/etc/coxswain") == 0; }

void cox_init_places(const char *dir, json_t *values) {
  if (!cox_init_is_service(dir)) return;
  json_object_set_new(values, "store", json_string("/var/lib/coxswain/coxswain.db"));
  json_object_set_new(values, "admin.socket", json_string("/run/coxswain/coxswain.sock"));
}
