#include "console/node_input.h"

#include <stdlib.h>
#include <string.h>

#include "console/pairs.h"

static const char model_key[] = "model=";
static const char *const text_keys[] = {"id", "host", "inference_segment", "poc_segment", "version", "kind"};

static bool is_model(const char *pair) { return strncmp(pair, model_key, sizeof model_key - 1) == 0; }

/* {<id>: {"args": []}} of the `model=` pairs; NULL: there are none. */
static json_t *models_of(char *const *pairs, int count) {
  json_t *models = NULL;
  for (int i = 0; i < count; i++) {
    if (!is_model(pairs[i])) continue;
    if (models == NULL) models = json_object();
    json_object_set_new(models, pairs[i] + sizeof model_key - 1, json_pack("{s[]}", "args"));
  }
  return models;
}

static void keep_texts(json_t *object, char *const *pairs, int count) {
  for (int i = 0; i < count; i++) {
    for (size_t k = 0; k < sizeof text_keys / sizeof *text_keys; k++) {
      const size_t length = strlen(text_keys[k]);
      const bool is_it = strncmp(pairs[i], text_keys[k], length) == 0 && pairs[i][length] == '=';
      if (is_it && !json_is_string(json_object_get(object, text_keys[k]))) {
        json_object_set_new(object, text_keys[k], json_string(pairs[i] + length + 1));
      }
    }
  }
}

json_t *cox_node_input(const char *json, char *const *pairs, int count, struct cox_err *err) {
  char **const others = calloc((size_t)count + 1, sizeof *others);
  json_t *const models = models_of(pairs, count);
  json_t *object = NULL;
  int other_count = 0;
  if (others == NULL) {
    cox_err_set(err, COX_ENOMEM, "out of memory");
    goto out;
  }
  for (int i = 0; i < count; i++) {
    if (!is_model(pairs[i])) others[other_count++] = pairs[i];
  }
  object = cox_pairs_object(json, others, other_count, err);
  if (object == NULL) goto out;
  keep_texts(object, others, other_count);
  if (models != NULL) json_object_set(object, "models", models);
out:
  json_decref(models);
  free(others);
  return object;
}
