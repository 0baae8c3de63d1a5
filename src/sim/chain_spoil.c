#include "sim/chain_spoil.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static json_t *other_type(const json_t *value) {
  switch (json_typeof(value)) {
    case JSON_OBJECT: return cox_chain_spoil_types(value);
    case JSON_ARRAY: return json_object();
    case JSON_STRING: return json_integer(7);
    case JSON_INTEGER:
    case JSON_REAL:
    case JSON_NULL: return json_string("seven");
    case JSON_TRUE:
    case JSON_FALSE: return json_string("yes");
  }
  return NULL;
}

json_t *cox_chain_spoil_types(const json_t *answer) {
  json_t *const spoiled = json_object();
  const char *key;
  json_t *value;
  json_object_foreach((json_t *)(uintptr_t)answer, key, value) json_object_set_new(spoiled, key, other_type(value));
  return spoiled;
}

json_t *cox_chain_spoil_nulls(const json_t *answer, int64_t depth) {
  size_t i;
  const char *key;
  json_t *value;
  if (json_is_array(answer)) {
    json_t *const list = json_array();
    json_array_foreach(answer, i, value) json_array_append_new(list, cox_chain_spoil_nulls(value, depth));
    return list;
  }
  if (!json_is_object(answer)) return json_deep_copy(answer);
  json_t *const object = json_object();
  json_object_foreach((json_t *)(uintptr_t)answer, key, value) {
    json_object_set_new(object, key, depth <= 1 ? json_null() : cox_chain_spoil_nulls(value, depth - 1));
  }
  return object;
}

bool cox_chain_spoil_size(struct cox_buf *text, size_t least_bytes) {
  static const char open[] = "{\"padding\":\"", shut[] = "\"";
  if (text->len >= least_bytes) return true;
  assert(text->len >= 2 && text->data[0] == '{');
  const bool is_empty = text->data[1] == '}';
  const size_t count = least_bytes - text->len;
  char *const filler = malloc(count);
  struct cox_buf padded = {0};
  bool is_done = filler != NULL;
  if (is_done) memset(filler, 'x', count);
  is_done = is_done && cox_buf_add(&padded, open, sizeof open - 1) && cox_buf_add(&padded, filler, count) &&
            cox_buf_add(&padded, shut, sizeof shut - 1) && cox_buf_addf(&padded, "%s", is_empty ? "" : ",") &&
            cox_buf_add(&padded, text->data + 1, text->len - 1);
  free(filler);
  if (!is_done) {
    cox_buf_fini(&padded);
    return false;
  }
  cox_buf_fini(text);
  *text = padded;
  return true;
}

const char *cox_chain_spoil_page(bool is_bad_gateway) {
  if (is_bad_gateway)
    return "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n"
           "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n";
  return "<!DOCTYPE html>\n<html><head><title>Maintenance</title></head>\n<body><h1>We will be back soon</h1></body></html>\n";
}
