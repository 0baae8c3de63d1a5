#include "console/scripts_view.h"

#include <stdio.h>
#include <string.h>

#include "console/moment.h"
#include "console/node_view.h"
#include "console/table.h"
#include "console/text.h"

enum { HASH_SHOWN = 12, WORDS_MAX = 256 };

static void add_table(const struct cox_table *table, const struct cox_term *term, struct cox_buf *out) {
  if (table != NULL) cox_table_render(table, term, out);
  else cox_buf_addf(out, "out of memory\n");
}

/* ---- targets ---- */

/* "POC/GENERATING", "INFERENCE of model-a"; nothing yet: "-". */
static void describe_target(const json_t *target, char out[WORDS_MAX]) {
  char state[COX_STATE_TEXT];
  const char *const model = cox_node_view_text(target, "model");
  if (json_is_string(target)) {
    snprintf(out, WORDS_MAX, "%.200s", json_string_value(target));
  } else if (!json_is_object(target)) {
    snprintf(out, WORDS_MAX, "-");
  } else {
    cox_node_view_state(target, "status", "poc", state);
    snprintf(out, WORDS_MAX, "%s%s%.180s", state, *model != '\0' ? " of " : "", model);
  }
}

/* Two targets that look alike: names what differs behind the new one. */
static void add_differences(const json_t *from, const json_t *to, char out[WORDS_MAX]) {
  const char *key;
  json_t *value;
  bool is_first = true;
  size_t len = strlen(out);
  json_object_foreach((json_t *)(uintptr_t)to, key, value) {
    if (json_equal(value, json_object_get(from, key)) || len + strlen(key) + 16 > WORDS_MAX) continue;
    len += (size_t)snprintf(out + len, WORDS_MAX - len, "%s%s", is_first ? " with other " : ", ", key);
    is_first = false;
  }
}

static void add_changes(const json_t *changes, const struct cox_term *term, struct cox_buf *out) {
  static const struct cox_column columns[] = {{.title = "NODE", .least = 8}, {.title = "FROM", .least = 12}, {.title = "TO", .least = 12},
                                              {.title = "REASON", .least = 12, .rank = 1}};
  struct cox_table *const table = cox_table_create(columns, sizeof columns / sizeof *columns);
  size_t i;
  json_t *change;
  json_array_foreach((json_t *)(uintptr_t)changes, i, change) {
    const json_t *const old = json_object_get(change, "from"), *const new = json_object_get(change, "to");
    char from[WORDS_MAX], to[WORDS_MAX];
    describe_target(old, from);
    describe_target(new, to);
    if (strcmp(from, to) == 0) add_differences(old, new, to);
    const struct cox_cell cells[] = {{cox_node_view_text(change, "node_id"), COX_STYLE_PLAIN}, {from, COX_STYLE_DIM}, {to, COX_STYLE_BUSY},
                                     {cox_node_view_text(change, "reason"), COX_STYLE_PLAIN}};
    if (table != NULL) cox_table_add(table, cells);
  }
  add_table(table, term, out);
  cox_table_destroy(table);
}

void cox_scripts_view_plan(const json_t *result, const struct cox_term *term, struct cox_buf *out) {
  const json_t *const changes = json_object_get(result, "changes");
  const size_t count = json_array_size(changes);
  if (count > 0) add_changes(changes, term, out);
  if (count == 0) cox_buf_addf(out, "no node would get another target");
  else cox_buf_addf(out, "\n%zu node%s would get another target", count, count == 1 ? "" : "s");
  cox_buf_addf(out, "; this was a plan: nothing was changed and no node was called\n");
}

/* The store has refused the choice: a start would run others. */
static void add_unstored(const char *before, const json_t *object, struct cox_buf *out) {
  const char *const why = cox_node_view_text(object, "unstored");
  if (*why == '\0') return;
  cox_buf_addf(out, "%s", before);
  cox_text_clean(out, why);
  cox_buf_addf(out, "\n");
}

void cox_scripts_view_loaded(const json_t *result, const struct cox_term *term, struct cox_buf *out) {
  const json_t *const changes = json_object_get(result, "changes");
  const long long generation = (long long)json_integer_value(json_object_get(result, "generation"));
  const size_t count = json_array_size(changes);
  if (strcmp(cox_node_view_text(result, "status"), "unchanged") == 0) {
    cox_buf_addf(out, "unchanged: nothing was loaded; generation %lld is live\n", generation);
    add_unstored("but ", result, out);
    return;
  }
  cox_buf_addf(out, "generation %lld is live", generation);
  if (count > 0) cox_buf_addf(out, "; %zu node%s:\n", count, count == 1 ? " gets another target" : "s get other targets");
  else cox_buf_addf(out, "\n");
  if (count > 0) add_changes(changes, term, out);
  add_unstored("but ", result, out);
}

/* ---- faults ---- */

/* What differs in a case stands on lines of its own, which are indented already. */
static void add_lines(const char *text, struct cox_buf *out) {
  while (*text != '\0') {
    char line[2048];
    const size_t len = strcspn(text, "\n"), shown = len < sizeof line ? len : sizeof line - 1;
    snprintf(line, sizeof line, "%.*s", (int)shown, text);
    cox_text_clean(out, line);
    text += shown;
    if (*text == '\n') cox_buf_addf(out, "\n"), text++;
  }
}

void cox_scripts_view_faults(const json_t *faults, struct cox_buf *out) {
  size_t i;
  json_t *fault;
  json_array_foreach((json_t *)(uintptr_t)faults, i, fault) {
    const char *const file = cox_node_view_text(fault, "file");
    const long long line = (long long)json_integer_value(json_object_get(fault, "line"));
    if (*file != '\0' && cox_text_clean(out, file)) cox_buf_addf(out, line > 0 ? ":%lld: " : ": ", line);
    add_lines(cox_node_view_text(fault, "message"), out);
    cox_buf_addf(out, "\n");
  }
}

/* ---- the live set ---- */

static void add_files(const json_t *files, const struct cox_term *term, struct cox_buf *out) {
  static const struct cox_column columns[] = {{.title = "FILE", .least = 16}, {.title = "FROM", .least = 12}, {.title = "SHADOWS", .least = 12, .rank = 1}};
  struct cox_table *const table = cox_table_create(columns, sizeof columns / sizeof *columns);
  size_t i, k;
  json_t *file, *folder;
  json_array_foreach((json_t *)(uintptr_t)files, i, file) {
    struct cox_buf shadows = {0};
    json_array_foreach(json_object_get(file, "shadows"), k, folder) {
      cox_buf_addf(&shadows, "%s%s", k > 0 ? ", " : "", json_is_string(folder) ? json_string_value(folder) : "");
    }
    const struct cox_cell cells[] = {{cox_node_view_text(file, "path"), COX_STYLE_PLAIN}, {cox_node_view_text(file, "from"), COX_STYLE_DIM},
                                     {shadows.data, COX_STYLE_BUSY}};
    if (table != NULL) cox_table_add(table, cells);
    cox_buf_fini(&shadows);
  }
  add_table(table, term, out);
  cox_table_destroy(table);
}

static void add_hash(const char *before, const json_t *set, struct cox_buf *out) {
  cox_buf_addf(out, "%s", before);
  char hash[HASH_SHOWN + 1];
  snprintf(hash, sizeof hash, "%s", cox_node_view_text(set, "hash"));
  cox_text_clean(out, hash);
}

static void add_age(const json_t *shown, int64_t now_ms, struct cox_buf *out) {
  char age[COX_MOMENT_AGE];
  const char *const loaded_at = cox_node_view_text(shown, "loaded_at");
  const int64_t at_ms = cox_moment_parse(loaded_at);
  if (at_ms == 0) return;
  cox_buf_addf(out, ", loaded at %.24s, %s ago", loaded_at, cox_moment_age(now_ms - at_ms, age));
}

static void add_rejected(const json_t *rejected, struct cox_buf *out) {
  if (!json_is_object(rejected)) return;
  const json_t *const faults = json_object_get(rejected, "faults");
  add_hash("rejected    hash ", rejected, out);
  cox_buf_addf(out, ": ");
  if (json_array_size(faults) == 0) cox_text_clean(out, cox_node_view_text(rejected, "reason"));
  else cox_buf_addf(out, "%zu fault%s, the present ones go on", json_array_size(faults), json_array_size(faults) == 1 ? "" : "s");
  cox_buf_addf(out, "\n");
  cox_scripts_view_faults(faults, out);
}

void cox_scripts_view_show(const json_t *shown, int64_t now_ms, const struct cox_term *term, struct cox_buf *out) {
  const json_t *const previous = json_object_get(shown, "previous");
  cox_buf_addf(out, "generation  %lld", (long long)json_integer_value(json_object_get(shown, "generation")));
  add_hash(", hash ", shown, out);
  add_age(shown, now_ms, out);
  if (json_is_true(json_object_get(shown, "can_roll_back"))) {
    cox_buf_addf(out, "\nrollback    to generation %lld", (long long)json_integer_value(json_object_get(previous, "generation")));
    add_hash(", hash ", previous, out);
  }
  cox_buf_addf(out, "\n");
  add_unstored("unstored    ", shown, out);
  add_rejected(json_object_get(shown, "rejected"), out);
  cox_buf_addf(out, "\n");
  add_files(json_object_get(shown, "files"), term, out);
}
