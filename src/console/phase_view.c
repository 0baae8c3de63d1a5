#include "console/phase_view.h"

#include <stddef.h>

/* Where phases begin, in their order. */
static const struct {
  const char *stage, *phase;
} boundaries[] = {
    {"poc_start", "PoCGenerate"},
    {"poc_generation_wind_down", "PoCGenerateWindDown"},
    {"poc_validation_start", "PoCValidate"},
    {"poc_validation_wind_down", "PoCValidateWindDown"},
    {"poc_validation_end", "Inference"},
    {"next_poc_start", "PoCGenerate"},
};

bool cox_phase_view_stage(const json_t *world, const char *name, int64_t *height) {
  const json_t *const value = json_object_get(json_object_get(world, "stages"), name);
  if (!json_is_integer(value)) return false;
  *height = json_integer_value(value);
  return true;
}

static const char *text_at(const json_t *world, const char *key) {
  const char *const text = json_string_value(json_object_get(world, key));
  return text != NULL ? text : "";
}

void cox_phase_view_read(const json_t *world, struct cox_phase_view *out) {
  const json_t *const height = json_object_get(world, "height"), *const epoch = json_object_get(world, "epoch");
  *out = (struct cox_phase_view){
      .has_block = json_is_integer(height),
      .has_epoch = json_is_integer(epoch),
      .is_synced = json_is_true(json_object_get(world, "synced")),
      .phase = text_at(world, "phase"),
      .command = text_at(world, "command"),
      .height = json_integer_value(height),
      .epoch = json_integer_value(epoch),
      .next_name = "",
  };
  for (size_t i = 0; out->has_block && i < sizeof boundaries / sizeof *boundaries; i++) {
    int64_t at;
    if (!cox_phase_view_stage(world, boundaries[i].stage, &at)) continue;
    if (at <= out->height) {
      out->has_first = true;
      out->first = at;
    } else if (!out->has_next || at < out->next) {
      out->has_next = true;
      out->next = at;
      out->next_name = boundaries[i].phase;
    }
  }
}
