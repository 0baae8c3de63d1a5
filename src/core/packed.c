#include "core/packed.h"

#include "core/json_text.h"

json_t *cox_packed(json_t *value) {
  struct cox_buf text = {0};
  json_t *packed = NULL;
  if (value != NULL && cox_json_add(&text, value)) packed = json_stringn_nocheck(text.data, text.len);
  cox_buf_fini(&text);
  if (packed == NULL) return value;
  json_decref(value);
  return packed;
}

json_t *cox_unpacked(json_t *packed) {
  if (!json_is_string(packed)) return json_incref(packed);
  return json_loadb(json_string_value(packed), json_string_length(packed), JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
}
