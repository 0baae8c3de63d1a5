#include "core/node_config.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { ID_MAX = 255, HOST_MAX = 253 + 8, SEGMENT_MAX = 128 };

/* Where faults go: all of them into a list, or only the first into an error. */
struct report {
  const char *file;
  const char *path;
  struct cox_faults *faults; /* NULL: none wanted */
  struct cox_err *err;       /* NULL: none wanted */
  int count;
};

static void fault(struct report *report, const char *id, const char *message) {
  const bool is_first = report->count++ == 0;
  const char *const open = id != NULL && *id != '\0' ? " (node " : "";
  const char *const shown = *open != '\0' ? id : "";
  const char *const shut = *open != '\0' ? ")" : "";
  if (report->faults != NULL) {
    cox_faults_add(report->faults, report->file, 0, "%s: %s%s%.80s%s", report->path, message, open, shown, shut);
  }
  if (report->err != NULL && is_first) cox_err_set(report->err, COX_EINVAL, "%s%s%.80s%s", message, open, shown, shut);
}

static bool is_text(const json_t *value, size_t max) {
  return json_is_string(value) && json_string_length(value) > 0 && json_string_length(value) <= max &&
         strlen(json_string_value(value)) == json_string_length(value);
}

static bool has_control(const char *text) {
  for (const char *p = text; *p != '\0'; p++) {
    if ((unsigned char)*p < 0x20 || *p == 0x7f) return true;
  }
  return false;
}

static void check_host(const json_t *object, const char *id, struct report *report) {
  const json_t *const host = json_object_get(object, "host");
  if (!is_text(host, HOST_MAX)) {
    fault(report, id, "host is required");
    return;
  }
  const char *name = json_string_value(host);
  if (strncmp(name, "http://", 7) == 0) name += 7;
  else if (strncmp(name, "https://", 8) == 0) name += 8;
  if (*name == '\0' || has_control(name) || strpbrk(name, " /?#@\\") != NULL) {
    fault(report, id, "host must be a name or address, with http:// or https:// before it at most");
  }
}

static void check_port(const json_t *object, const char *key, const char *id, struct report *report) {
  const json_t *const port = json_object_get(object, key);
  if (json_is_integer(port) && json_integer_value(port) >= 1 && json_integer_value(port) <= 65535) return;
  char message[64];
  snprintf(message, sizeof message, "%s must be between 1 and 65535", key);
  fault(report, id, message);
}

static void check_segment(const json_t *object, const char *key, const char *id, struct report *report) {
  const json_t *const segment = json_object_get(object, key);
  if (segment == NULL) return;
  const char *const text = json_string_value(segment);
  if (text != NULL && (*text == '\0' || *text == '/') && strlen(text) <= SEGMENT_MAX && !has_control(text) &&
      strpbrk(text, " ?#\\") == NULL) {
    return;
  }
  char message[96];
  snprintf(message, sizeof message, "%s must be a path that starts with / (at most %d characters)", key, SEGMENT_MAX);
  fault(report, id, message);
}

/* Lua's {} is an object for all we know: as a list it is an empty one. */
static bool is_empty_object(const json_t *value) { return json_is_object(value) && json_object_size(value) == 0; }

static bool is_text_list(const json_t *list) {
  size_t i;
  json_t *item;
  if (is_empty_object(list)) return true;
  if (!json_is_array(list)) return false;
  json_array_foreach(list, i, item) {
    if (!json_is_string(item)) return false;
  }
  return true;
}

static void check_models(const json_t *object, const char *id, struct report *report) {
  json_t *const models = json_object_get(object, "models");
  if (!json_is_object(models) || json_object_size(models) == 0) {
    fault(report, id, "at least one model must be specified");
    return;
  }
  const char *name;
  json_t *model;
  json_object_foreach(models, name, model) {
    const char *key;
    json_t *value;
    bool is_good = json_is_object(model);
    json_object_foreach(model, key, value) is_good = is_good && strcmp(key, "args") == 0 && is_text_list(value);
    if (!is_good || *name == '\0') fault(report, id, "models must be {\"<model id>\": {\"args\": [strings]}}");
  }
}

static void check_hardware(const json_t *object, const char *id, struct report *report) {
  const json_t *const hardware = json_object_get(object, "hardware");
  if (hardware == NULL || json_is_null(hardware)) return;
  bool is_good = json_is_array(hardware);
  size_t i;
  json_t *item;
  json_array_foreach(hardware, i, item) {
    is_good = is_good && json_is_object(item) && json_object_size(item) == 2 && json_is_string(json_object_get(item, "type")) &&
              json_is_integer(json_object_get(item, "count")) && json_integer_value(json_object_get(item, "count")) >= 0;
  }
  if (!is_good) fault(report, id, "hardware must be a list of {\"type\": string, \"count\": integer}");
}

/* In the order in which people read them. */
static const char *const known_keys[] = {"id",         "host",   "inference_port", "inference_segment", "poc_port", "poc_segment",
                                         "max_concurrent", "models", "hardware",   "version",           "kind"};
enum { KNOWN_KEYS = sizeof known_keys / sizeof *known_keys };

static void check_keys(json_t *object, const char *id, struct report *report) {
  const char *key;
  json_t *value;
  json_object_foreach(object, key, value) {
    bool is_known = false;
    for (size_t i = 0; i < KNOWN_KEYS; i++) is_known = is_known || strcmp(known_keys[i], key) == 0;
    if (is_known) continue;
    char message[128];
    snprintf(message, sizeof message, "unknown field %.80s", key);
    fault(report, id, message);
  }
}

static void check_all(const json_t *object, struct report *report) {
  if (!json_is_object(object)) {
    fault(report, NULL, "a node must be an object");
    return;
  }
  const json_t *const id_value = json_object_get(object, "id");
  const char *const id = json_string_value(id_value);
  if (id_value != NULL && !json_is_null(id_value) && id == NULL) fault(report, NULL, "node id must be a string");
  else if (id == NULL || *id == '\0') fault(report, NULL, "node id is required");
  else if (!is_text(id_value, ID_MAX) || has_control(id)) fault(report, NULL, "node id must have at most 255 bytes and no control characters");
  check_host(object, id, report);
  check_port(object, "inference_port", id, report);
  check_port(object, "poc_port", id, report);
  const json_t *const cap = json_object_get(object, "max_concurrent");
  if (!json_is_integer(cap) || json_integer_value(cap) < 1 || json_integer_value(cap) > 1000000) {
    fault(report, id, json_is_integer(cap) && json_integer_value(cap) > 0 ? "max_concurrent must be at most 1000000"
                                                                          : "max_concurrent must be greater than 0");
  }
  check_models(object, id, report);
  check_segment(object, "inference_segment", id, report);
  check_segment(object, "poc_segment", id, report);
  check_hardware(object, id, report);
  const json_t *const version = json_object_get(object, "version");
  if (version != NULL && !json_is_string(version)) fault(report, id, "version must be a string");
  const json_t *const kind = json_object_get(object, "kind");
  if (kind != NULL && !is_text(kind, 64)) fault(report, id, "kind must be the name of a driver");
  check_keys((json_t *)(uintptr_t)object, id, report);
}

void cox_node_config_check(const json_t *object, const char *file, const char *path, struct cox_faults *faults) {
  struct report report = {.file = file, .path = path, .faults = faults};
  check_all(object, &report);
}

static void normalise_models(json_t *models) {
  const char *name;
  json_t *model;
  json_object_foreach(models, name, model) {
    if (is_empty_object(json_object_get(model, "args"))) json_object_set_new(model, "args", json_array());
  }
}

json_t *cox_node_config_create(const json_t *object, struct cox_err *err) {
  struct report report = {.err = err};
  check_all(object, &report);
  if (report.count > 0) return NULL;
  json_t *const config = json_object();
  bool is_whole = config != NULL;
  for (size_t i = 0; i < KNOWN_KEYS && is_whole; i++) {
    const json_t *const value = json_object_get(object, known_keys[i]);
    if (value != NULL) is_whole = json_object_set_new(config, known_keys[i], json_deep_copy(value)) == 0;
  }
  if (is_whole && json_object_get(config, "kind") == NULL) is_whole = json_object_set_new(config, "kind", json_string("mlnode")) == 0;
  normalise_models(json_object_get(config, "models"));
  if (is_whole) return config;
  json_decref(config);
  cox_err_set(err, COX_ENOMEM, "node: out of memory");
  return NULL;
}

void cox_node_config_url(const json_t *config, bool is_poc, char out[COX_URL_MAX]) {
  const char *const host = json_string_value(json_object_get(config, "host"));
  const json_t *const port = json_object_get(config, is_poc ? "poc_port" : "inference_port");
  const char *const segment = json_string_value(json_object_get(config, is_poc ? "poc_segment" : "inference_segment"));
  snprintf(out, COX_URL_MAX, "%s%s:%d%s", strstr(host, "://") != NULL ? "" : "http://", host, (int)json_integer_value(port),
           segment != NULL ? segment : "");
}
