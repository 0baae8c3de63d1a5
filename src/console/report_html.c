/* A report as one page that needs nothing else: the fleet's timeline as SVG, and tables. Nothing in it runs. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "console/moment.h"
#include "console/node_view.h"
#include "console/report.h"
#include "console/text.h"

enum { WIDTH = 1000, LEFT = 150, ROW = 20, TOP = 34, BAR = 11, STRIPE = 3 };

struct page {
  struct cox_buf *out;
  const json_t *data;
  int64_t since_ms, until_ms;
};

static const char style[] =
    ":root{color-scheme:light dark;--bg:#fff;--fg:#1b1f24;--dim:#57606a;--line:#d0d7de;--inf:#1a7f37;--gen:#8250df;--val:#0969da;"
    "--stop:#8c959f;--bad:#cf222e;--unknown:#d8dee4;--train:#9a6700}"
    "@media(prefers-color-scheme:dark){:root{--bg:#0d1117;--fg:#e6edf3;--dim:#9198a1;--line:#30363d;--inf:#3fb950;--gen:#bc8cff;--val:#58a6ff;"
    "--stop:#6e7681;--bad:#ff7b72;--unknown:#272e37;--train:#d29922}}"
    "body{background:var(--bg);color:var(--fg);font:15px/1.45 system-ui,sans-serif;margin:1.5rem auto;max-width:75rem;padding:0 1rem}"
    "h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}p,.dim{color:var(--dim)}.scroll{overflow-x:auto}svg{min-width:44rem;width:100%;height:auto}"
    "table{border-collapse:collapse}td,th{border-bottom:1px solid var(--line);padding:.25rem .9rem .25rem 0;text-align:left;vertical-align:top}"
    "td.n{text-align:right}svg text{fill:var(--fg);font:11px system-ui,sans-serif}svg text.dim{fill:var(--dim)}"
    ".INFERENCE{fill:var(--inf);background:var(--inf)}.GENERATING{fill:var(--gen);background:var(--gen)}.VALIDATING{fill:var(--val);background:var(--val)}"
    ".STOPPED{fill:var(--stop);background:var(--stop)}.FAILED{fill:var(--bad);background:var(--bad)}.TRAINING{fill:var(--train);background:var(--train)}"
    ".POC{fill:var(--gen);background:var(--gen)}.UNKNOWN{fill:var(--unknown);background:var(--unknown)}"
    ".band{opacity:.13}.grid{stroke:var(--line)}.start{stroke:var(--fg);stroke-dasharray:2 3}.legend span{margin-right:1.1rem;white-space:nowrap}"
    ".legend i{display:inline-block;width:.8rem;height:.8rem;border-radius:2px;margin-right:.35rem;vertical-align:-1px}";

static void add_text(struct cox_buf *out, const char *text) {
  struct cox_buf clean = {0};
  cox_text_clean(&clean, text);
  for (const char *at = clean.data != NULL ? clean.data : ""; *at != '\0'; at++) {
    switch (*at) {
      case '&': cox_buf_addf(out, "&amp;"); break;
      case '<': cox_buf_addf(out, "&lt;"); break;
      case '>': cox_buf_addf(out, "&gt;"); break;
      case '"': cox_buf_addf(out, "&quot;"); break;
      case '\'': cox_buf_addf(out, "&#39;"); break;
      default: cox_buf_add(out, at, 1);
    }
  }
  cox_buf_fini(&clean);
}

/* One of our own words: what a journal says is never a class. */
static const char *class_of(const char *state) {
  static const char *const known[] = {"GENERATING", "VALIDATING", "INFERENCE", "STOPPED", "FAILED", "TRAINING", "POC"};
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    if (strstr(state, known[i]) != NULL) return known[i];
  }
  return "UNKNOWN";
}

static int64_t number_of(const json_t *object, const char *key) { return json_integer_value(json_object_get(object, key)); }

static const char *text_of(const json_t *object, const char *key) { return cox_node_view_text(object, key); }

static void add_time(struct page *page, int64_t at_ms) {
  char text[COX_CLOCK_TEXT];
  cox_clock_format(at_ms, text);
  cox_buf_addf(page->out, "%.10s %.8s", text, text + 11);
}

static double x_of(const struct page *page, int64_t at_ms) {
  const double span = (double)(page->until_ms - page->since_ms);
  const double share = span > 0 ? (double)(at_ms - page->since_ms) / span : 0;
  return LEFT + (share < 0 ? 0 : share > 1 ? 1 : share) * (WIDTH - LEFT);
}

/* A stretch of time as a bar; a short one is wide enough to be seen. */
static void add_bar(struct page *page, const json_t *stretch, const char *state, const char *more, double y, double height) {
  const int64_t from_ms = number_of(stretch, "from_ms"), to_ms = number_of(stretch, "to_ms");
  const double x = x_of(page, from_ms), width = x_of(page, to_ms) - x;
  char age[COX_MOMENT_AGE];
  cox_buf_addf(page->out, "<rect class=\"%s%s\" x=\"%.2f\" y=\"%.1f\" width=\"%.2f\" height=\"%.1f\"><title>", height > ROW ? "band " : "", class_of(state), x, y,
               width > 0.6 ? width : 0.6, height);
  add_text(page->out, state);
  cox_buf_addf(page->out, " ");
  add_time(page, from_ms);
  cox_buf_addf(page->out, ", %s ", cox_moment_age(to_ms - from_ms, age));
  add_text(page->out, more);
  cox_buf_addf(page->out, "</title></rect>\n");
}

static void add_axis(struct page *page, int height) {
  enum { TICKS = 4 };
  for (int i = 0; i <= TICKS; i++) {
    const int64_t at_ms = page->since_ms + (page->until_ms - page->since_ms) * i / TICKS;
    cox_buf_addf(page->out, "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/><text class=\"dim\" x=\"%.1f\" y=\"12\" text-anchor=\"%s\">",
                 x_of(page, at_ms), x_of(page, at_ms), TOP - 4, height, x_of(page, at_ms), i == 0 ? "start" : i == TICKS ? "end" : "middle");
    add_time(page, at_ms);
    cox_buf_addf(page->out, "</text>\n");
  }
}

static void add_node_row(struct page *page, const json_t *node, double y) {
  size_t i;
  json_t *stretch;
  cox_buf_addf(page->out, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">", LEFT - 8, y + BAR - 1);
  struct cox_buf clean = {0}, cut = {0};
  cox_text_clean(&clean, text_of(node, "id"));
  cox_text_cut(&cut, clean.data != NULL ? clean.data : "", 22);
  add_text(page->out, cut.data != NULL ? cut.data : "");
  cox_buf_fini(&clean);
  cox_buf_fini(&cut);
  cox_buf_addf(page->out, "</text>\n");
  json_array_foreach(json_object_get(node, "spans"), i, stretch) add_bar(page, stretch, text_of(stretch, "status"), text_of(stretch, "reason"), y, BAR);
  json_array_foreach(json_object_get(node, "targets"), i, stretch) {
    add_bar(page, stretch, text_of(stretch, "status"), json_is_true(json_object_get(stretch, "reached")) ? "(intended, reached)" : "(intended, not reached)", y + BAR + 1, STRIPE);
  }
}

static void add_timeline(struct page *page) {
  const json_t *const nodes = json_object_get(page->data, "nodes");
  const int height = TOP + ROW * (int)json_array_size(nodes) + 6;
  size_t i;
  json_t *item;
  cox_buf_addf(page->out, "<div class=\"scroll\"><svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"Statuses of the nodes over time\">\n", WIDTH, height);
  json_array_foreach(json_object_get(page->data, "phases"), i, item) add_bar(page, item, text_of(item, "asks"), "(asked by the network)", TOP - 14, height - TOP + 14);
  add_axis(page, height);
  json_array_foreach(json_object_get(page->data, "starts"), i, item) {
    const double x = x_of(page, json_integer_value(item));
    cox_buf_addf(page->out, "<line class=\"start\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"><title>the daemon started</title></line>\n", x, x, TOP - 14, height);
  }
  json_array_foreach(nodes, i, item) add_node_row(page, item, TOP + ROW * (double)i);
  cox_buf_addf(page->out, "</svg></div>\n<p class=\"legend\">");
  static const char *const legend[] = {"INFERENCE", "POC/GENERATING", "POC/VALIDATING", "STOPPED", "FAILED", "TRAINING", "UNKNOWN"};
  for (i = 0; i < sizeof legend / sizeof *legend; i++) cox_buf_addf(page->out, "<span><i class=\"%s\"></i>%s</span> ", class_of(legend[i]), legend[i]);
  cox_buf_addf(page->out, "</p>\n<p>Thick: what the node was. Thin below it: what it should have been. Behind: what the network asked. Dashed: the daemon started.</p>\n");
}

static void add_missed(struct page *page) {
  const json_t *const missed = json_object_get(page->data, "missed");
  size_t i;
  json_t *item;
  cox_buf_addf(page->out, "<h2>Missed phases: %zu</h2>\n", json_array_size(missed));
  if (json_array_size(missed) == 0) {
    cox_buf_addf(page->out, "<p>Every node reached what it should be before the next was asked.</p>\n");
    return;
  }
  cox_buf_addf(page->out, "<table><tr><th>node</th><th>asked</th><th>from</th><th>until</th><th>was</th><th>why</th></tr>\n");
  json_array_foreach(missed, i, item) {
    cox_buf_addf(page->out, "<tr><td>");
    add_text(page->out, text_of(item, "node_id"));
    cox_buf_addf(page->out, "</td><td>");
    add_text(page->out, text_of(item, "asks"));
    cox_buf_addf(page->out, "</td><td>");
    add_time(page, number_of(item, "from_ms"));
    cox_buf_addf(page->out, "</td><td>");
    add_time(page, number_of(item, "to_ms"));
    cox_buf_addf(page->out, "</td><td>");
    add_text(page->out, text_of(item, "was"));
    cox_buf_addf(page->out, "</td><td>");
    add_text(page->out, text_of(item, "why"));
    cox_buf_addf(page->out, "</td></tr>\n");
  }
  cox_buf_addf(page->out, "</table>\n");
}

static void add_attempts(struct page *page) {
  json_t *counts, *count;
  const char *asks, *outcome;
  cox_buf_addf(page->out, "<h2>Attempts</h2>\n<table><tr><th>to</th><th>outcome</th><th>number</th></tr>\n");
  json_object_foreach(json_object_get(page->data, "attempts"), asks, counts) {
    json_object_foreach(counts, outcome, count) {
      cox_buf_addf(page->out, "<tr><td>");
      add_text(page->out, asks);
      cox_buf_addf(page->out, "</td><td>");
      add_text(page->out, outcome);
      cox_buf_addf(page->out, "</td><td class=\"n\">%" JSON_INTEGER_FORMAT "</td></tr>\n", json_integer_value(count));
    }
  }
  cox_buf_addf(page->out, "</table>\n");
}

/* ---- load times ---- */

static int by_size(const void *left, const void *right) {
  const int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
  return (a > b) - (a < b);
}

static void add_load_row(struct page *page, const char *name, int64_t *loads, size_t count) {
  char median[COX_MOMENT_AGE], high[COX_MOMENT_AGE], most[COX_MOMENT_AGE];
  qsort(loads, count, sizeof *loads, by_size);
  cox_buf_addf(page->out, "<tr><td>");
  add_text(page->out, name);
  cox_buf_addf(page->out, "</td><td class=\"n\">%zu</td><td class=\"n\">%s</td><td class=\"n\">%s</td><td class=\"n\">%s</td></tr>\n", count,
               cox_moment_age(loads[(count - 1) / 2], median), cox_moment_age(loads[(count - 1) * 9 / 10], high), cox_moment_age(loads[count - 1], most));
}

static size_t take_loads(const json_t *node, int64_t *out) {
  size_t i;
  json_t *load;
  json_array_foreach(json_object_get(node, "loads_ms"), i, load) out[i] = json_integer_value(load);
  return json_array_size(json_object_get(node, "loads_ms"));
}

static bool add_loads(struct page *page) {
  const json_t *const nodes = json_object_get(page->data, "nodes");
  size_t total = 0, used = 0, i;
  json_t *node;
  json_array_foreach(nodes, i, node) total += json_array_size(json_object_get(node, "loads_ms"));
  cox_buf_addf(page->out, "<h2>Time to serve</h2>\n");
  if (total == 0) return cox_buf_addf(page->out, "<p>No node was brought to INFERENCE in this time.</p>\n");
  int64_t *const all = calloc(total, sizeof *all), *const one = calloc(total, sizeof *one);
  if (all == NULL || one == NULL) {
    free(all);
    free(one);
    return false;
  }
  cox_buf_addf(page->out, "<table><tr><th>node</th><th>times</th><th>median</th><th>90 %%</th><th>longest</th></tr>\n");
  json_array_foreach(nodes, i, node) used += take_loads(node, all + used);
  add_load_row(page, "all", all, total);
  json_array_foreach(nodes, i, node) {
    const size_t count = take_loads(node, one);
    if (count > 0) add_load_row(page, text_of(node, "id"), one, count);
  }
  free(all);
  free(one);
  return cox_buf_addf(page->out, "</table>\n");
}

bool cox_report_html(const json_t *data, struct cox_buf *out) {
  struct page page = {.out = out, .data = data, .since_ms = number_of(data, "since_ms"), .until_ms = number_of(data, "until_ms")};
  cox_buf_addf(out, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">"
                    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
                    "<title>coxswain: report</title><style>%s</style></head><body>\n<h1>The fleet from ", style);
  add_time(&page, page.since_ms);
  cox_buf_addf(out, " to ");
  add_time(&page, page.until_ms);
  cox_buf_addf(out, " UTC</h1>\n<p>%zu nodes", json_array_size(json_object_get(data, "nodes")));
  if (number_of(data, "lost") > 0) cox_buf_addf(out, "; %" JSON_INTEGER_FORMAT " records of the journal are missing in this time", (json_int_t)number_of(data, "lost"));
  cox_buf_addf(out, "</p>\n");
  add_timeline(&page);
  add_missed(&page);
  add_attempts(&page);
  const bool is_whole = add_loads(&page);
  return cox_buf_addf(out, "</body></html>\n") && is_whole;
}
