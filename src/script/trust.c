#include "script/trust.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* "wss://host/path" and "https://host/path" are one place. NULL: nothing that TLS is spoken to. */
static const char *after_scheme(const char *url) {
  if (strncmp(url, "https://", 8) == 0) return url + 8;
  return strncmp(url, "wss://", 6) == 0 ? url + 6 : NULL;
}

/* Is `url` that endpoint, or below it? "https://host.example" is not the beginning of "https://host.example.org". */
static bool is_below(const char *url, const char *endpoint) {
  const char *const rest = after_scheme(url), *const start = endpoint != NULL ? after_scheme(endpoint) : NULL;
  if (rest == NULL || start == NULL) return false;
  size_t len = strlen(start);
  while (len > 0 && start[len - 1] == '/') len--;
  return strncmp(rest, start, len) == 0 && strchr("/?#", rest[len]) != NULL; /* its end counts, too */
}

static bool is_of(const char *url, const json_t *endpoints) {
  if (json_is_string(endpoints)) return is_below(url, json_string_value(endpoints));
  for (size_t i = 0; i < json_array_size(endpoints); i++) {
    if (is_below(url, json_string_value(json_array_get(endpoints, i)))) return true;
  }
  return false;
}

const char *cox_trust_file(const json_t *config, const char *url) {
  const json_t *const feed = json_object_get(config, "feed");
  const char *const file = json_string_value(json_object_get(feed, "ca_file"));
  if (file == NULL) return NULL;
  return is_of(url, json_object_get(feed, "rpc")) || is_of(url, json_object_get(feed, "rest")) ? file : NULL;
}

bool cox_trust_check(const json_t *config, struct cox_faults *faults) {
  const char *const path = json_string_value(json_object_get(json_object_get(config, "feed"), "ca_file"));
  if (path == NULL) return true;
  FILE *const file = fopen(path, "re");
  if (file == NULL) {
    cox_faults_add(faults, NULL, 0, "feed.ca_file: reading %s failed: %s", path, strerror(errno));
    return false;
  }
  char line[256];
  bool has_any = false;
  while (!has_any && fgets(line, sizeof line, file) != NULL) has_any = strstr(line, "-----BEGIN") != NULL && strstr(line, "CERTIFICATE-----") != NULL;
  fclose(file);
  if (!has_any) cox_faults_add(faults, NULL, 0, "feed.ca_file: %s holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)", path);
  return has_any;
}
