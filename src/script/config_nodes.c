#include "script/config_nodes.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "core/node_config.h"
#include "script/config_file.h"

enum { FILE_MAX_BYTES = 64 * 1024 * 1024, PLACE_BYTES = 96 };

/* Walks over the text of a well-formed JSON array, from element to element; NULL text: no lines are known. */
struct cursor {
  const char *at;
  int line;
  int depth;
  bool is_open; /* what comes next begins an element */
};

static const char *string_end(const char *open) {
  const char *p = open + 1;
  while (*p != '\0' && *p != '"') p += *p == '\\' && p[1] != '\0' ? 2 : 1;
  return p;
}

/* The line of the next element; 0: not known. */
static int next_line(struct cursor *cursor) {
  for (; cursor->at != NULL && *cursor->at != '\0'; cursor->at++) {
    const char byte = *cursor->at;
    if (byte == '\n') cursor->line++;
    if (strchr(" \t\r\n", byte) != NULL) continue;
    if (cursor->is_open) {
      cursor->is_open = false;
      return cursor->line;
    }
    if (byte == '"') cursor->at = string_end(cursor->at);
    if (byte == '[' || byte == '{') cursor->is_open = ++cursor->depth == 1;
    if (byte == ']' || byte == '}') cursor->depth--;
    if (byte == ',') cursor->is_open = cursor->depth == 1;
  }
  return 0;
}

struct list_check {
  const char *file, *place;
  json_t *ids;       /* {id: index} */
  json_t *addresses; /* {"poc_port http://…": id} */
  struct cox_faults *faults;
};

static void check_id(struct list_check *check, const json_t *node, const char *place, int line, size_t index) {
  const char *const id = json_string_value(json_object_get(node, "id"));
  if (id == NULL || *id == '\0') return;
  const json_t *const first = json_object_get(check->ids, id);
  if (first == NULL) {
    json_object_set_new(check->ids, id, json_integer((json_int_t)index));
    return;
  }
  cox_faults_add(check->faults, check->file, line, "%s: the id %.80s is that of %s[%lld] already; give one of them another id",
                 place, id, check->place, (long long)json_integer_value(first));
}

static void check_address(struct list_check *check, const json_t *node, bool is_poc, const char *place, int line) {
  const char *const port = is_poc ? "poc_port" : "inference_port";
  const json_t *const id = json_object_get(node, "id");
  char url[COX_URL_MAX], key[COX_URL_MAX + 16];
  cox_node_config_url(node, is_poc, url);
  snprintf(key, sizeof key, "%s %s", port, url);
  const json_t *const other = json_object_get(check->addresses, key);
  if (other == NULL) {
    json_object_set(check->addresses, key, json_object_get(node, "id"));
  } else if (!json_equal(other, id)) { /* one id twice is a fault already */
    cox_faults_add(check->faults, check->file, line,
                   "%s: node %.80s has the same host and %s as node %.80s; give one of them another address", place,
                   json_string_value(id), port, json_string_value(other));
  }
}

static void check_node(struct list_check *check, const json_t *node, size_t index, int line) {
  char place[PLACE_BYTES];
  snprintf(place, sizeof place, "%s[%zu]", check->place, index);
  const size_t before = check->faults->count;
  cox_node_config_check(node, check->file, place, check->faults);
  for (size_t i = before; i < check->faults->count; i++) check->faults->list[i].line = line;
  check_id(check, node, place, line, index);
  if (check->faults->count > before) return; /* what is wrong has no address */
  check_address(check, node, false, place, line);
  check_address(check, node, true, place, line);
}

void cox_config_nodes_check(json_t *nodes, const char *file, const char *place, const char *source, struct cox_faults *faults) {
  struct list_check check = {file, place, json_object(), json_object(), faults};
  struct cursor cursor = {.at = source, .line = 1};
  size_t i;
  json_t *node;
  json_array_foreach(nodes, i, node) check_node(&check, node, i, next_line(&cursor));
  json_decref(check.ids);
  json_decref(check.addresses);
}

static json_t *parse(const char *path, const struct cox_buf *text, struct cox_faults *faults) {
  json_error_t why;
  json_t *const nodes = json_loadb(text->data, text->len, JSON_REJECT_DUPLICATES, &why);
  if (nodes == NULL) {
    cox_faults_add(faults, path, why.line > 0 ? why.line : 0, "the nodes file must be a JSON array of node objects: %s", why.text);
  } else if (!json_is_array(nodes)) {
    cox_faults_add(faults, path, 1, "the nodes file must be a JSON array of node objects: [ { \"id\": \"node1\", … }, … ]");
    json_decref(nodes);
    return NULL;
  }
  return nodes;
}

json_t *cox_config_nodes_read(const char *path, struct cox_faults *faults) {
  struct cox_buf text = {.limit = FILE_MAX_BYTES};
  struct cox_err err = {0};
  json_t *nodes = NULL;
  if (cox_config_file_read(&text, "the nodes file", path, &err) != 0) {
    cox_faults_add(faults, path, 0, "%s", err.text);
  } else {
    nodes = parse(path, &text, faults);
    if (nodes != NULL) cox_config_nodes_check(nodes, path, "", text.data, faults);
  }
  cox_buf_fini(&text);
  return nodes;
}
