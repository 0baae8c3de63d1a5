/* A table laid over a table changes the keys it names and leaves the others, so that giving an address does not lose a
 * token. Each value remembers who laid it: a fault must send its reader to the right place.                            */
#include "script/config_layers.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "script/config_schema.h"

enum { PATH_BYTES = 256, SHOWN_BYTES = 80 };
#define PREFIX "COXSWAIN_"

/* Said to clients and to our own specs, not to the daemon. */
static const char *const not_ours[] = {"SOCKET", "ADMIN", "CONFIG", "TOKEN", "BIN", "SOURCE", "SIM"};

bool cox_config_layers_init(struct cox_config_layers *layers, json_t *config, struct cox_faults *faults) {
  *layers = (struct cox_config_layers){.config = config, .origins = json_object(), .faults = faults};
  return layers->origins != NULL;
}

void cox_config_layers_fini(struct cox_config_layers *layers) {
  json_decref(layers->origins);
  layers->origins = NULL;
}

/* Who laid a value inside of the table at that path. */
static const char *origin_below(const struct cox_config_layers *layers, const char *path) {
  const size_t len = strlen(path);
  const char *laid;
  json_t *origin;
  json_object_foreach(layers->origins, laid, origin) {
    if (strncmp(laid, path, len) == 0 && laid[len] == '.') return json_string_value(origin);
  }
  return NULL;
}

const char *cox_config_layers_origin(const struct cox_config_layers *layers, const char *path) {
  char part[PATH_BYTES];
  for (size_t len = strlen(path); len > 0 && len < sizeof part; len--) {
    if (path[len] != '\0' && path[len] != '.' && path[len] != '[') continue;
    memcpy(part, path, len);
    part[len] = '\0';
    const char *const origin = json_string_value(json_object_get(layers->origins, part));
    if (origin != NULL) return origin;
  }
  return origin_below(layers, path);
}

/* Text as it is for keys that hold text: "0042" is a good token. */
static json_t *read_value(const struct cox_config_key *key, const char *text) {
  json_t *const value = key->type == COX_CONFIG_TEXT ? NULL : json_loads(text, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
  if (value != NULL && !json_is_string(value) && !json_is_null(value)) return value;
  json_decref(value);
  return json_string(text);
}

struct fault_place {
  struct cox_faults *faults;
  const char *origin;
};

static void add_fault(void *arg, const char *path, const char *message) {
  const struct fault_place *const place = arg;
  cox_faults_add(place->faults, place->origin, 0, "%s: %s", path, message);
}

/* Reports a value that cannot be laid by checking it alone, so that the words are the schema's. Takes `value`. */
static void refuse(struct cox_config_layers *layers, const char *path, json_t *value, const char *origin) {
  struct fault_place place = {layers->faults, origin};
  const size_t before = layers->faults->count;
  json_t *const alone = json_object();
  cox_config_set(alone, path, value);
  cox_config_check(alone, add_fault, &place);
  json_decref(alone);
  if (layers->faults->count == before) cox_faults_add(layers->faults, origin, 0, "%s: unknown key", path);
}

static void lay(struct cox_config_layers *layers, const char *path, json_t *value, const char *origin);

static void lay_table(struct cox_config_layers *layers, const char *path, json_t *table, const char *origin) {
  const char *name;
  json_t *value;
  json_object_foreach(table, name, value) {
    char below[PATH_BYTES];
    const int len = snprintf(below, sizeof below, "%s.%s", path, name);
    if (strchr(name, '.') != NULL || *name == '\0' || len >= (int)sizeof below) {
      cox_faults_add(layers->faults, origin, 0, "%s: \"%.80s\" cannot be the name of a key", path, name);
    } else {
      lay(layers, below, json_incref(value), origin);
    }
  }
}

/* Takes `value`. */
static void lay(struct cox_config_layers *layers, const char *path, json_t *value, const char *origin) {
  const struct cox_config_key *const key = cox_config_key_find(path);
  if (key == NULL) {
    refuse(layers, path, value, origin);
  } else if (key->type == COX_CONFIG_GROUP && json_is_object(value)) {
    lay_table(layers, path, value, origin);
    json_decref(value);
  } else if (cox_config_set(layers->config, path, value)) { /* else a table on the way is none, which is a fault of its own */
    json_object_set_new(layers->origins, path, json_string(origin));
  }
}

/* "ADMIN__LISTEN" → "admin.listen"; false: too long. */
static bool path_of(const char *name, size_t len, char path[PATH_BYTES]) {
  size_t used = 0;
  for (size_t i = 0; i < len; i++) {
    if (used == PATH_BYTES - 1) return false;
    const bool is_border = name[i] == '_' && i + 1 < len && name[i + 1] == '_';
    path[used++] = is_border ? '.' : (char)tolower((unsigned char)name[i]);
    i += is_border;
  }
  path[used] = '\0';
  return true;
}

static bool is_ours(const char *name, size_t len) {
  for (size_t i = 0; i < sizeof not_ours / sizeof *not_ours; i++) {
    if (strlen(not_ours[i]) == len && strncmp(not_ours[i], name, len) == 0) return false;
  }
  return true;
}

static void add_variable(struct cox_config_layers *layers, const char *variable) {
  const char *const name = variable + strlen(PREFIX);
  const size_t len = strcspn(name, "=");
  if (name[len] != '=' || !is_ours(name, len)) return;
  char path[PATH_BYTES], whole[PATH_BYTES];
  snprintf(whole, sizeof whole, "%.*s", (int)(len + strlen(PREFIX)), variable);
  const struct cox_config_key *const key = path_of(name, len, path) ? cox_config_key_find(path) : NULL;
  if (key == NULL) {
    cox_log(COX_LOG_WARN, "config", "an environment variable names no key of the configuration and is ignored; is it misspelt?",
            "variable", whole, NULL);
    return;
  }
  json_t *const value = read_value(key, name + len + 1);
  if (value == NULL) cox_faults_add(layers->faults, whole, 0, "%s: must be text in UTF-8", path);
  else lay(layers, path, value, whole);
}

void cox_config_layers_add_environment(struct cox_config_layers *layers, char *const *environment) {
  for (; environment != NULL && *environment != NULL; environment++) {
    if (strncmp(*environment, PREFIX, strlen(PREFIX)) == 0) add_variable(layers, *environment);
  }
}

static void add_option(struct cox_config_layers *layers, const char *option) {
  const size_t len = strcspn(option, "=");
  char path[PATH_BYTES];
  if (option[len] != '=' || len == 0 || len >= sizeof path) {
    cox_faults_add(layers->faults, COX_CONFIG_FROM_OPTION, 0, "\"%.*s\" must be key=value, as in -D admin.listen=127.0.0.1:9200",
                   SHOWN_BYTES, option);
    return;
  }
  memcpy(path, option, len);
  path[len] = '\0';
  const struct cox_config_key *const key = cox_config_key_find(path);
  json_t *const value = key != NULL ? read_value(key, option + len + 1) : json_string(option + len + 1);
  if (value == NULL) cox_faults_add(layers->faults, COX_CONFIG_FROM_OPTION, 0, "%s: must be text in UTF-8", path);
  else lay(layers, path, value, COX_CONFIG_FROM_OPTION);
}

void cox_config_layers_add_options(struct cox_config_layers *layers, const char *const *options) {
  for (; options != NULL && *options != NULL; options++) add_option(layers, *options);
}
