#include "console/demo_stretch.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "console/moment.h"
#include "console/node_view.h"

static const struct {
  const char *name, *first, *end, *status, *poc;
} kinds[COX_STRETCHES] = {
    {"PoC Generate", "poc_start", "poc_generation_end", "POC", "GENERATING"},
    {"PoC Validate", "poc_generation_end", "poc_validation_end", "POC", "VALIDATING"},
    {"Inference", "poc_validation_end", "next_poc_start", "INFERENCE", "IDLE"},
};

const char *cox_stretch_name(int kind) {
  assert(kind >= 0 && kind < COX_STRETCHES);
  return kinds[kind].name;
}

int64_t cox_stretch_number(const struct cox_stretch *stretch) { return stretch->epoch * COX_STRETCHES + stretch->kind; }

bool cox_stretch_read(const json_t *world, int64_t number, struct cox_stretch *out) {
  struct cox_phase_view phase;
  cox_phase_view_read(world, &phase);
  *out = (struct cox_stretch){.epoch = number / COX_STRETCHES, .kind = (int)(number % COX_STRETCHES)};
  if (!phase.has_epoch || !cox_phase_view_stage(world, "poc_start", &out->episode)) return false;
  if (out->epoch != phase.epoch) return false;
  return cox_phase_view_stage(world, kinds[out->kind].first, &out->first) && cox_phase_view_stage(world, kinds[out->kind].end, &out->end);
}

bool cox_stretch_at(const json_t *world, int64_t height, struct cox_stretch *out) {
  struct cox_phase_view phase;
  cox_phase_view_read(world, &phase);
  for (int kind = 0; kind < COX_STRETCHES; kind++) {
    if (!cox_stretch_read(world, phase.epoch * COX_STRETCHES + kind, out)) return false;
    if (height >= out->first && height < out->end) return true;
  }
  return false;
}

/* The next PoC may begin at another height than was foreseen: a new epoch ends all stretches of the old one. */
bool cox_stretch_is_over(const struct cox_stretch *stretch, const struct cox_phase_view *phase) {
  return phase->height >= stretch->end || phase->epoch != stretch->epoch;
}

static void name_state(const struct cox_stretch *stretch, char out[COX_STATE_TEXT]) {
  const bool has_poc = strcmp(kinds[stretch->kind].poc, "IDLE") != 0;
  snprintf(out, COX_STATE_TEXT, "%s%s%s", kinds[stretch->kind].status, has_poc ? "/" : "", has_poc ? kinds[stretch->kind].poc : "");
}

/* Preserved, disabled (or enabled in the middle of this epoch) and training nodes do what they are intended to, not what
 * the phase asks for.                                                                                                       */
static bool is_excused(const struct cox_node_view *view, const struct cox_stretch *stretch, const json_t *world) {
  if (json_is_true(json_object_get(json_object_get(world, "preserved"), view->id))) return true;
  if (!view->is_enabled || view->admin_epoch >= stretch->epoch) return true;
  return strncmp(view->intended, "TRAINING", 8) == 0;
}

/* Proofs of another episode are worth nothing. */
static bool is_of_episode(const struct cox_stretch *stretch, const json_t *object) {
  const json_t *const explain = json_object_get(json_object_get(object, "state"), "explain");
  const json_t *const height = json_object_get(json_object_get(explain, "target"), "block_height");
  return !json_is_integer(height) || json_integer_value(height) == stretch->episode;
}

bool cox_stretch_is_followed(const struct cox_stretch *stretch, const json_t *object, const json_t *world) {
  struct cox_node_view view;
  char wanted[COX_STATE_TEXT];
  cox_node_view_read(object, &view);
  if (!view.has_target || !view.is_converged) return false;
  if (is_excused(&view, stretch, world)) return true;
  name_state(stretch, wanted);
  return strcmp(view.current, wanted) == 0 && (stretch->kind == COX_STRETCH_INFERENCE || is_of_episode(stretch, object));
}

static bool is_proof(const struct cox_stretch *stretch, const json_t *note, int64_t deadline_ms) {
  if (strcmp(cox_node_view_text(note, "outcome"), "succeeded") != 0 || json_is_true(json_object_get(note, "outdated"))) return false;
  if (strcmp(cox_node_view_text(note, "status"), kinds[stretch->kind].status) != 0) return false;
  if (strcmp(cox_node_view_text(note, "poc_status"), kinds[stretch->kind].poc) != 0) return false;
  const int64_t started_ms = cox_moment_parse(cox_node_view_text(note, "started_at"));
  return started_ms >= stretch->begin_ms && started_ms + json_integer_value(json_object_get(note, "duration_ms")) <= deadline_ms;
}

bool cox_stretch_was_followed(const struct cox_stretch *stretch, const json_t *object, const json_t *world, int64_t deadline_ms) {
  struct cox_node_view view;
  cox_node_view_read(object, &view);
  if (is_excused(&view, stretch, world) && view.is_converged) return true;
  size_t i;
  json_t *note;
  json_array_foreach(json_object_get(json_object_get(object, "state"), "attempts"), i, note) {
    if (is_proof(stretch, note, deadline_ms)) return true;
  }
  return false;
}

void cox_stretch_cause(const struct cox_stretch *stretch, const json_t *object, char *text, size_t size) {
  struct cox_node_view view;
  char wanted[COX_STATE_TEXT];
  cox_node_view_read(object, &view);
  name_state(stretch, wanted);
  if (*view.failure != '\0') {
    snprintf(text, size, "%s: %s", view.current, view.failure);
  } else if (strcmp(view.intended, wanted) != 0) {
    snprintf(text, size, "its intent was %s: %s", view.intended, *view.reason != '\0' ? view.reason : view.doing);
  } else {
    snprintf(text, size, "%s, intended %s: %s", view.current, view.intended, view.doing);
  }
}

int64_t cox_look_time(const struct cox_look *before, const struct cox_look *after, int64_t height) {
  if (after->height <= before->height || height >= after->height) return after->at_ms;
  if (height <= before->height) return before->at_ms;
  const double part = (double)(height - before->height) / (double)(after->height - before->height);
  return before->at_ms + (int64_t)(part * (double)(after->at_ms - before->at_ms));
}
