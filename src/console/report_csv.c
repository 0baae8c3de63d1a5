/* The data of a report as rows for a spreadsheet: one for each stretch, phase, miss and count. */
#include <string.h>

#include "base/clock.h"
#include "console/node_view.h"
#include "console/report.h"
#include "console/text.h"

/* Quoted, and never a formula: what a node says must not act in a spreadsheet. */
static void add_cell(struct cox_buf *out, const char *text) {
  struct cox_buf clean = {0};
  cox_text_clean(&clean, text);
  cox_buf_addf(out, ",\"%s", *text != '\0' && strchr("=+-@\t\r", *text) != NULL ? "'" : "");
  for (const char *at = clean.data != NULL ? clean.data : ""; *at != '\0'; at++) cox_buf_addf(out, *at == '"' ? "\"\"" : "%c", *at);
  cox_buf_addf(out, "\"");
  cox_buf_fini(&clean);
}

static void add_time(struct cox_buf *out, const json_t *object, const char *key) {
  char text[COX_CLOCK_TEXT];
  cox_clock_format(json_integer_value(json_object_get(object, key)), text);
  cox_buf_addf(out, ",%s", text);
}

static void add_row(struct cox_buf *out, const char *row, const char *id, const json_t *stretch, const char *status, const char *detail) {
  cox_buf_addf(out, "%s", row);
  add_cell(out, id);
  add_time(out, stretch, "from_ms");
  add_time(out, stretch, "to_ms");
  add_cell(out, status);
  add_cell(out, detail);
  cox_buf_addf(out, ",\r\n");
}

static void add_node(struct cox_buf *out, const json_t *node) {
  const char *const id = cox_node_view_text(node, "id");
  size_t i;
  json_t *item;
  json_array_foreach(json_object_get(node, "spans"), i, item) {
    add_row(out, "status", id, item, cox_node_view_text(item, "status"), cox_node_view_text(item, "reason"));
  }
  json_array_foreach(json_object_get(node, "targets"), i, item) {
    add_row(out, "target", id, item, cox_node_view_text(item, "status"), json_is_true(json_object_get(item, "reached")) ? "reached" : "not reached");
  }
  json_array_foreach(json_object_get(node, "loads_ms"), i, item) {
    cox_buf_addf(out, "load");
    add_cell(out, id);
    cox_buf_addf(out, ",,,\"INFERENCE\",\"duration_ms\",%" JSON_INTEGER_FORMAT "\r\n", json_integer_value(item));
  }
}

bool cox_report_csv(const json_t *data, struct cox_buf *out) {
  size_t i;
  json_t *item, *counts, *count;
  const char *asks, *outcome;
  cox_buf_addf(out, "row,node_id,from,to,status,detail,value\r\n");
  json_array_foreach(json_object_get(data, "phases"), i, item) add_row(out, "phase", "", item, cox_node_view_text(item, "asks"), "");
  json_array_foreach(json_object_get(data, "nodes"), i, item) add_node(out, item);
  json_array_foreach(json_object_get(data, "missed"), i, item) {
    add_row(out, "missed", cox_node_view_text(item, "node_id"), item, cox_node_view_text(item, "asks"), cox_node_view_text(item, "why"));
  }
  json_object_foreach(json_object_get(data, "attempts"), asks, counts) {
    json_object_foreach(counts, outcome, count) {
      cox_buf_addf(out, "attempts,,,");
      add_cell(out, asks);
      add_cell(out, outcome);
      cox_buf_addf(out, ",%" JSON_INTEGER_FORMAT "\r\n", json_integer_value(count));
    }
  }
  return out->data != NULL;
}
