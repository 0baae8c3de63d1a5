#include "console/pairs.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* -?(0|[1-9][0-9]*)(\.[0-9]+)? */
static bool is_number(const char *text, bool *is_whole) {
  *is_whole = true;
  if (*text == '-') text++;
  if (!isdigit((unsigned char)*text) || (*text == '0' && isdigit((unsigned char)text[1]))) return false;
  text += strspn(text, "0123456789");
  if (*text != '.') return *text == '\0';
  *is_whole = false;
  const size_t digits = strspn(text + 1, "0123456789");
  return digits > 0 && text[1 + digits] == '\0';
}

json_t *cox_pairs_value(const char *text) {
  bool is_whole;
  if (strcmp(text, "true") == 0) return json_true();
  if (strcmp(text, "false") == 0) return json_false();
  if (*text == '"') {
    json_t *const value = json_loads(text, JSON_DECODE_ANY, NULL);
    if (json_is_string(value)) return value;
    json_decref(value);
  }
  if (!is_number(text, &is_whole)) return json_string(text);
  errno = 0;
  if (is_whole) {
    const long long number = strtoll(text, NULL, 10);
    return errno == 0 ? json_integer(number) : json_string(text);
  }
  json_t *const real = json_loads(text, JSON_DECODE_ANY, NULL);
  return real != NULL ? real : json_string(text); /* larger than any double */
}

static json_t *begin(const char *json, struct cox_err *err) {
  json_error_t fault;
  if (json == NULL) return json_object();
  json_t *const value = json_loads(json, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &fault);
  if (json_is_object(value)) return value;
  if (value != NULL) cox_err_set(err, COX_EINVAL, "--json must be an object like '{\"key\":1}'");
  else cox_err_set(err, COX_EINVAL, "--json is not JSON: %s (column %d)", fault.text, fault.column);
  json_decref(value);
  return NULL;
}

static int add(json_t *object, json_t *seen, const char *pair, struct cox_err *err) {
  const char *const equals = strchr(pair, '=');
  if (equals == NULL || equals == pair) return cox_err_set(err, COX_EINVAL, "%s is not key=value", pair);
  char *const key = strndup(pair, (size_t)(equals - pair));
  json_t *const value = cox_pairs_value(equals + 1);
  int rc = 0;
  if (key == NULL || value == NULL) rc = cox_err_set(err, COX_EINVAL, "%s is not UTF-8", pair);
  else if (json_object_get(seen, key) != NULL) rc = cox_err_set(err, COX_EINVAL, "%s is given twice", key);
  else if (json_object_set(object, key, value) != 0 || json_object_set(seen, key, value) != 0) rc = cox_err_set(err, COX_EINVAL, "%s is not UTF-8", pair);
  json_decref(value);
  free(key);
  return rc;
}

json_t *cox_pairs_object(const char *json, char *const *pairs, int count, struct cox_err *err) {
  json_t *object = begin(json, err);
  json_t *const seen = json_object();
  for (int i = 0; object != NULL && i < count; i++) {
    if (add(object, seen, pairs[i], err) == 0) continue;
    json_decref(object);
    object = NULL;
  }
  json_decref(seen);
  return object;
}
