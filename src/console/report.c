#include "console/report.h"

#include <stdlib.h>
#include <string.h>

#include "console/moment.h"
#include "console/node_view.h"

void cox_report_init(struct cox_report *report, int64_t since_ms, int64_t until_ms) {
  *report = (struct cox_report){.since_ms = since_ms, .until_ms = until_ms, .nodes = json_object(), .phases = json_array(),
                                .attempts = json_object(), .missed = json_array(), .starts = json_array()};
}

void cox_report_fini(struct cox_report *report) {
  json_decref(report->nodes);
  json_decref(report->phases);
  json_decref(report->attempts);
  json_decref(report->missed);
  json_decref(report->starts);
}

static const char *text_of(const json_t *object, const char *key) { return cox_node_view_text(object, key); }

static int64_t number_of(const json_t *object, const char *key) { return json_integer_value(json_object_get(object, key)); }

static json_t *last_of(const json_t *list) { return json_array_get(list, json_array_size(list) - 1); }

/* Borrowed. */
static json_t *node_of(struct cox_report *report, const char *id) {
  json_t *node = json_object_get(report->nodes, id);
  if (node == NULL) {
    node = json_pack("{s[], s[], s[]}", "spans", "targets", "loads_ms");
    json_object_set_new(report->nodes, id, node);
  }
  return node;
}

/* What was before the beginning is kept only as the last of its kind, and begins there. */
static int64_t clamp(const struct cox_report *report, int64_t at_ms) { return at_ms < report->since_ms ? report->since_ms : at_ms; }

/* Ends the open stretch of a list, and drops it when it was over before the beginning. */
static void close_last(const struct cox_report *report, json_t *list, int64_t at_ms) {
  json_t *const open = last_of(list);
  if (open == NULL || json_object_get(open, "to_ms") != NULL) return;
  if (at_ms <= report->since_ms) json_array_remove(list, json_array_size(list) - 1);
  else json_object_set_new(open, "to_ms", json_integer(at_ms));
}

static void begin(const struct cox_report *report, json_t *list, int64_t at_ms, json_t *stretch) {
  close_last(report, list, at_ms);
  json_object_set_new(stretch, "from_ms", json_integer(clamp(report, at_ms)));
  json_array_append_new(list, stretch);
}

/* ---- targets ---- */

static bool is_poc(const char *asks) { return strncmp(asks, "POC", 3) == 0; }

/* A target that was replaced before its node was there is a phase missed; one that is still wanted is not, yet. */
static void end_target(struct cox_report *report, const char *id, json_t *node, int64_t at_ms, bool is_over) {
  json_t *const target = last_of(json_object_get(node, "targets"));
  if (target == NULL || json_object_get(target, "to_ms") != NULL) return;
  const bool is_reached = json_is_true(json_object_get(target, "reached"));
  if (is_over && !is_reached && at_ms > report->since_ms) {
    const json_t *const span = last_of(json_object_get(node, "spans"));
    json_array_append_new(report->missed, json_pack("{ss, sI, ss, sI, sI, ss, ss}", "node_id", id, "generation",
                                                    (json_int_t)number_of(target, "generation"), "asks", text_of(target, "status"), "from_ms",
                                                    (json_int_t)number_of(target, "from_ms"), "to_ms", (json_int_t)at_ms, "was",
                                                    span != NULL ? text_of(span, "status") : "UNKNOWN", "why", text_of(target, "error")));
  }
  close_last(report, json_object_get(node, "targets"), at_ms);
}

static void add_target(struct cox_report *report, const char *id, int64_t at_ms, const json_t *record) {
  json_t *const node = node_of(report, id);
  char asks[COX_STATE_TEXT];
  cox_node_view_state(json_object_get(record, "target"), "status", "poc", asks);
  end_target(report, id, node, at_ms, true);
  const json_t *const span = last_of(json_object_get(node, "spans"));
  /* Only an attempt settles a PoC: the node may be in another episode. */
  const bool is_there = !is_poc(asks) && span != NULL && strcmp(text_of(span, "status"), asks) == 0;
  begin(report, json_object_get(node, "targets"), at_ms,
        json_pack("{ss, sI, sb}", "status", asks, "generation", (json_int_t)number_of(record, "generation"), "reached", (int)is_there));
}

/* ---- attempts and statuses ---- */

static void count_attempt(struct cox_report *report, const char *asks, const char *outcome) {
  json_t *by_outcome = json_object_get(report->attempts, asks);
  if (by_outcome == NULL) {
    by_outcome = json_object();
    json_object_set_new(report->attempts, asks, by_outcome);
  }
  json_object_set_new(by_outcome, outcome, json_integer(number_of(by_outcome, outcome) + 1));
}

static const char *error_of(const json_t *record) { return text_of(record, *text_of(record, "error") != '\0' ? "error" : "outcome"); }

/* The attempt that a change of target ended is told after that change. */
static void explain_miss(struct cox_report *report, const char *id, int64_t generation, const json_t *record) {
  for (size_t i = json_array_size(report->missed); i-- > 0;) {
    json_t *const miss = json_array_get(report->missed, i);
    if (strcmp(text_of(miss, "node_id"), id) != 0 || number_of(miss, "generation") != generation) continue;
    if (*text_of(miss, "why") == '\0') json_object_set_new(miss, "why", json_string(error_of(record)));
    return;
  }
}

static void add_attempt(struct cox_report *report, const char *id, int64_t at_ms, const json_t *record) {
  json_t *const node = node_of(report, id), *const target = last_of(json_object_get(node, "targets"));
  const bool is_good = strcmp(text_of(record, "outcome"), "succeeded") == 0;
  char asks[COX_STATE_TEXT];
  cox_node_view_state(record, "status", "poc_status", asks);
  if (at_ms >= report->since_ms) count_attempt(report, asks, text_of(record, "outcome"));
  if (is_good && at_ms >= report->since_ms && strcmp(asks, "INFERENCE") == 0) {
    json_array_append_new(json_object_get(node, "loads_ms"), json_integer(number_of(record, "duration_ms")));
  }
  const int64_t generation = number_of(json_object_get(record, "fence"), "generation");
  const bool is_present = target != NULL && generation == number_of(target, "generation");
  if (is_present && is_good) json_object_set_new(target, "reached", json_true());
  else if (is_present) json_object_set_new(target, "error", json_string(error_of(record)));
  else if (!is_good) explain_miss(report, id, generation, record);
}

static void add_status(struct cox_report *report, const char *id, int64_t at_ms, const json_t *record) {
  json_t *const node = node_of(report, id), *const target = last_of(json_object_get(node, "targets"));
  char is[COX_STATE_TEXT];
  cox_node_view_state(record, "to", "poc_to", is);
  begin(report, json_object_get(node, "spans"), at_ms, json_pack("{ss, ss}", "status", is, "reason", text_of(record, "reason")));
  if (target != NULL && !is_poc(is) && strcmp(is, text_of(target, "status")) == 0) json_object_set_new(target, "reached", json_true());
}

static void add_removal(struct cox_report *report, const char *id, int64_t at_ms) {
  json_t *const node = node_of(report, id);
  end_target(report, id, node, at_ms, false);
  close_last(report, json_object_get(node, "spans"), at_ms);
}

/* ---- what the network asked ---- */

static void add_command(struct cox_report *report, int64_t at_ms, const json_t *record) {
  static const char *const asks[][2] = {{"start_poc", "POC/GENERATING"}, {"init_validate", "POC/VALIDATING"}, {"inference_up_all", "INFERENCE"}};
  if (strcmp(text_of(record, "outcome"), "done") != 0) return;
  for (size_t i = 0; i < sizeof asks / sizeof *asks; i++) {
    const json_t *const phase = last_of(report->phases);
    if (strcmp(text_of(record, "name"), asks[i][0]) != 0) continue;
    if (phase != NULL && strcmp(text_of(phase, "asks"), asks[i][1]) == 0) return; /* once more */
    begin(report, report->phases, at_ms, json_pack("{ss}", "asks", asks[i][1]));
  }
}

/* After a start statuses are unknown until probes saw them. */
static void add_start(struct cox_report *report, int64_t at_ms) {
  const char *id;
  json_t *node;
  if (at_ms >= report->since_ms) json_array_append_new(report->starts, json_integer(at_ms));
  json_object_foreach(report->nodes, id, node) close_last(report, json_object_get(node, "spans"), at_ms);
}

void cox_report_add(struct cox_report *report, const json_t *record) {
  const char *const kind = text_of(record, "kind"), *const id = text_of(record, "node_id");
  const int64_t at_ms = cox_moment_parse(text_of(record, "time"));
  if (at_ms == 0 || at_ms > report->until_ms) return;
  if (at_ms > report->last_ms) report->last_ms = at_ms;
  if (strcmp(kind, "start") == 0) add_start(report, at_ms);
  else if (strcmp(kind, "command") == 0) add_command(report, at_ms, record);
  else if (strcmp(kind, "gap") == 0) report->lost += at_ms >= report->since_ms ? number_of(record, "count") : 0;
  if (*id == '\0') return;
  if (strcmp(kind, "target") == 0) add_target(report, id, at_ms, record);
  else if (strcmp(kind, "attempt") == 0) add_attempt(report, id, at_ms, record);
  else if (strcmp(kind, "status") == 0) add_status(report, id, at_ms, record);
  else if (strcmp(kind, "remove") == 0) add_removal(report, id, at_ms);
  else if (strcmp(kind, "register") == 0) node_of(report, id);
}

static int by_name(const void *left, const void *right) {
  return strcmp(*(const char *const *)left, *(const char *const *)right);
}

/* Nodes by name: a list of new objects. */
static json_t *list_nodes(struct cox_report *report) {
  const size_t count = json_object_size(report->nodes);
  const char **const ids = calloc(count + 1, sizeof *ids);
  json_t *const list = json_array(), *node;
  const char *id;
  size_t used = 0;
  if (ids == NULL) abort(); /* a client's process: nothing lives in it */
  json_object_foreach(report->nodes, id, node) ids[used++] = id;
  qsort(ids, used, sizeof *ids, by_name);
  for (size_t i = 0; i < used; i++) {
    node = json_object_get(report->nodes, ids[i]);
    end_target(report, ids[i], node, report->until_ms, false);
    close_last(report, json_object_get(node, "spans"), report->until_ms);
    json_t *const shown = json_pack("{ss}", "id", ids[i]);
    json_object_update(shown, node);
    json_array_append_new(list, shown);
  }
  free(ids);
  return list;
}

json_t *cox_report_data(struct cox_report *report) {
  json_t *const nodes = list_nodes(report);
  close_last(report, report->phases, report->until_ms);
  return json_pack("{sI, sI, so, sO, sO, sO, sO, sI}", "since_ms", (json_int_t)report->since_ms, "until_ms", (json_int_t)report->until_ms, "nodes",
                   nodes, "phases", report->phases, "attempts", report->attempts, "missed", report->missed, "starts", report->starts, "lost",
                   (json_int_t)report->lost);
}
