#include "console/demo_report.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "console/demo_stretch.h"
#include "console/node_view.h"
#include "console/phase_view.h"
#include "console/table.h"

enum { MISSES_MAX = 200, CAUSE_MAX = 400, SKIPPED_MAX = COX_STRETCHES };

struct member {
  char *id;
  int64_t seen_at;      /* block height */
  int64_t last_attempt; /* counted so far */
  bool is_here, has_reached;
  char cause[CAUSE_MAX]; /* why it has not, as of the last look; "" before any */
};

struct miss {
  char *id, *cause;
  int64_t epoch;
  int stretch;
};

struct cox_demo_report {
  struct member *members;
  size_t member_count, member_capacity;
  struct miss misses[MISSES_MAX];
  size_t miss_count; /* all, also those that are not kept */
  size_t checks, epochs, unseen, attempts, failures;
  bool has_begun;
  int64_t start_height; /* of the first look */
  struct cox_look last; /* the look before */
  bool has_opened, is_open;
  struct cox_stretch open; /* the present one; after its end, the last one */
  struct cox_stretch plan[COX_STRETCHES]; /* of the epoch last looked at: a new epoch's world no longer tells */
  unsigned whole; /* bits of the stretches of open.epoch that were seen from their beginning */
};

struct cox_demo_report *cox_demo_report_create(void) { return calloc(1, sizeof(struct cox_demo_report)); }

static size_t kept_misses(const struct cox_demo_report *report) {
  return report->miss_count < MISSES_MAX ? report->miss_count : MISSES_MAX;
}

void cox_demo_report_destroy(struct cox_demo_report *report) {
  if (report == NULL) return;
  for (size_t i = 0; i < report->member_count; i++) free(report->members[i].id);
  free(report->members);
  for (size_t i = 0; i < kept_misses(report); i++) {
    free(report->misses[i].id);
    free(report->misses[i].cause);
  }
  free(report);
}

/* ---- members ---- */

static struct member *find(struct cox_demo_report *report, const char *id, size_t hint) {
  for (size_t i = 0; i < report->member_count; i++) {
    struct member *const member = &report->members[(hint + i) % report->member_count];
    if (strcmp(member->id, id) == 0) return member;
  }
  return NULL;
}

static struct member *meet(struct cox_demo_report *report, const char *id, size_t hint, int64_t height) {
  struct member *const known = find(report, id, hint);
  if (known != NULL) return known;
  if (report->member_count == report->member_capacity) {
    const size_t capacity = report->member_capacity == 0 ? 16 : report->member_capacity * 2;
    struct member *const members = realloc(report->members, capacity * sizeof *members);
    if (members == NULL) return NULL;
    report->members = members;
    report->member_capacity = capacity;
  }
  struct member *const member = &report->members[report->member_count];
  *member = (struct member){.id = strdup(id), .seen_at = height};
  if (member->id == NULL) return NULL;
  report->member_count++;
  return member;
}

/* Attempts that ended since the last look; the state keeps the newest few, newest first. */
static void count_attempts(struct cox_demo_report *report, struct member *member, const json_t *object) {
  int64_t newest = member->last_attempt;
  size_t i;
  json_t *note;
  json_array_foreach(json_object_get(json_object_get(object, "state"), "attempts"), i, note) {
    const int64_t attempt = json_integer_value(json_object_get(note, "attempt"));
    if (attempt <= member->last_attempt) continue;
    const char *const outcome = cox_node_view_text(note, "outcome");
    report->attempts++;
    report->failures += strcmp(outcome, "succeeded") != 0 && strcmp(outcome, "cancelled") != 0;
    if (attempt > newest) newest = attempt;
  }
  member->last_attempt = newest;
}

static void greet(struct cox_demo_report *report, json_t *nodes, int64_t height) {
  for (size_t i = 0; i < report->member_count; i++) report->members[i].is_here = false;
  size_t i;
  json_t *object;
  json_array_foreach(nodes, i, object) {
    struct member *const member = meet(report, cox_node_view_text(json_object_get(object, "node"), "id"), i, height);
    if (member == NULL) continue;
    member->is_here = true;
    count_attempts(report, member, object);
  }
  size_t kept = 0;
  for (i = 0; i < report->member_count; i++) {
    if (report->members[i].is_here) report->members[kept++] = report->members[i];
    else free(report->members[i].id);
  }
  report->member_count = kept;
}

/* ---- looking and judging ---- */

static void look_at(struct cox_demo_report *report, json_t *nodes, const json_t *world) {
  size_t i;
  json_t *object;
  json_array_foreach(nodes, i, object) {
    struct member *const member = find(report, cox_node_view_text(json_object_get(object, "node"), "id"), i);
    if (member == NULL || member->has_reached) continue;
    member->has_reached = cox_stretch_is_followed(&report->open, object, world);
    if (!member->has_reached) cox_stretch_cause(&report->open, object, member->cause, sizeof member->cause);
  }
}

static void note_miss(struct cox_demo_report *report, const struct cox_stretch *stretch, const struct member *member) {
  const size_t place = report->miss_count++;
  if (place >= MISSES_MAX) return;
  report->misses[place] = (struct miss){
      .id = strdup(member->id),
      .cause = strdup(member->cause[0] != '\0' ? member->cause : "nobody looked during this phase, and no attempt to reach it succeeded in time"),
      .epoch = stretch->epoch,
      .stretch = stretch->kind,
  };
}

/* `stretch` ended between the last look and this one. Who was not seen in its state may have reached it in between: the
 * notes about attempts tell.                                                                                             */
static void judge(struct cox_demo_report *report, const struct cox_stretch *stretch, const struct cox_look *look, json_t *nodes,
                  const json_t *world) {
  const int64_t deadline_ms = cox_look_time(&report->last, look, stretch->end);
  const bool is_empty = stretch->end <= stretch->first;
  size_t i;
  json_t *object;
  json_array_foreach(nodes, i, object) {
    struct member *const member = find(report, cox_node_view_text(json_object_get(object, "node"), "id"), i);
    if (is_empty || member == NULL || member->seen_at > stretch->first) continue;
    report->checks++;
    if (member->has_reached || cox_stretch_was_followed(stretch, object, world, deadline_ms)) continue;
    note_miss(report, stretch, member);
  }
  if (report->start_height <= stretch->first) report->whole |= 1u << stretch->kind;
  if (stretch->kind == COX_STRETCH_INFERENCE && report->whole == (1u << COX_STRETCHES) - 1) report->epochs++;
}

static void forget_reached(struct cox_demo_report *report) {
  for (size_t i = 0; i < report->member_count; i++) {
    report->members[i].has_reached = false;
    report->members[i].cause[0] = '\0';
  }
}

static void open_stretch(struct cox_demo_report *report, const struct cox_stretch *stretch, const struct cox_look *look) {
  report->open = *stretch;
  report->open.begin_ms = cox_look_time(&report->last, look, stretch->first);
  report->has_opened = report->is_open = true;
  if (stretch->kind == COX_STRETCH_GENERATE) report->whole = 0;
  forget_reached(report);
}

/* Stretches that began and ended between two looks, at most one epoch of them; more passed unseen. */
static void judge_skipped(struct cox_demo_report *report, const struct cox_stretch *next, const struct cox_look *look, json_t *nodes,
                          const json_t *world) {
  const int64_t from = cox_stretch_number(&report->open) + 1, to = cox_stretch_number(next);
  for (int64_t number = from; number < to; number++) {
    struct cox_stretch skipped = report->plan[number % COX_STRETCHES];
    const bool is_known = cox_stretch_number(&skipped) == number || cox_stretch_read(world, number, &skipped);
    if (to - number > SKIPPED_MAX || !is_known) {
      report->unseen++;
      continue;
    }
    open_stretch(report, &skipped, look);
    judge(report, &report->open, look, nodes, world);
  }
}

static void remember_plan(struct cox_demo_report *report, const json_t *world, int64_t epoch) {
  for (int kind = 0; kind < COX_STRETCHES; kind++) {
    struct cox_stretch stretch;
    if (cox_stretch_read(world, epoch * COX_STRETCHES + kind, &stretch)) report->plan[kind] = stretch;
  }
}

/* Ends what is over and begins what has begun, as of this look. */
static void move_on(struct cox_demo_report *report, const struct cox_phase_view *phase, const struct cox_look *look, json_t *nodes,
                    const json_t *world) {
  struct cox_stretch now;
  const bool is_in = cox_stretch_at(world, phase->height, &now);
  const bool is_same = is_in && report->is_open && cox_stretch_number(&now) == cox_stretch_number(&report->open);
  if (is_same) return;
  if (report->is_open && cox_stretch_is_over(&report->open, phase)) {
    judge(report, &report->open, look, nodes, world);
    report->is_open = false;
  }
  if (!is_in) return;
  if (report->has_opened) judge_skipped(report, &now, look, nodes, world);
  remember_plan(report, world, now.epoch);
  open_stretch(report, &now, look);
}

void cox_demo_report_feed(struct cox_demo_report *report, json_t *nodes, const json_t *world, int64_t now_ms) {
  struct cox_phase_view phase;
  cox_phase_view_read(world, &phase);
  if (!phase.has_block) return;
  const struct cox_look look = {.height = phase.height, .at_ms = now_ms};
  if (!report->has_begun) {
    report->has_begun = true;
    report->start_height = phase.height;
    report->last = look;
  }
  greet(report, nodes, phase.height);
  move_on(report, &phase, &look, nodes, world);
  if (report->is_open) look_at(report, nodes, world);
  report->last = look;
}

/* ---- what it says ---- */

size_t cox_demo_report_epochs(const struct cox_demo_report *report) { return report->epochs; }

bool cox_demo_report_is_good(const struct cox_demo_report *report) {
  return report->checks > 0 && report->miss_count == 0 && report->unseen == 0;
}

static const struct cox_column miss_columns[] = {
    {.title = "NODE", .least = 8},
    {.title = "EPOCH", .is_right = true, .rank = 1},
    {.title = "PHASE"},
    {.title = "CAUSE", .least = 12, .rank = 2},
};

static void render_misses(const struct cox_demo_report *report, const struct cox_term *term, struct cox_buf *out) {
  struct cox_table *const table = cox_table_create(miss_columns, sizeof miss_columns / sizeof *miss_columns);
  if (table == NULL) return;
  for (size_t i = 0; i < kept_misses(report); i++) {
    const struct miss *const miss = &report->misses[i];
    char epoch[24];
    snprintf(epoch, sizeof epoch, "%lld", (long long)miss->epoch);
    const struct cox_cell cells[] = {{miss->id, COX_STYLE_PLAIN}, {epoch, COX_STYLE_PLAIN}, {cox_stretch_name(miss->stretch), COX_STYLE_PLAIN},
                                     {miss->cause, COX_STYLE_BAD}};
    cox_table_add(table, cells);
  }
  cox_table_render(table, term, out);
  cox_table_destroy(table);
  if (report->miss_count > MISSES_MAX) cox_buf_addf(out, "and %zu more\n", report->miss_count - MISSES_MAX);
}

static void add_plural(struct cox_buf *out, size_t count, const char *noun) {
  cox_buf_addf(out, "%zu %s%s", count, noun, count == 1 ? "" : "s");
}

static void add_verdict(const struct cox_demo_report *report, struct cox_buf *out) {
  if (report->checks == 0) cox_buf_addf(out, "no phase was seen from its beginning to its end, nothing was judged");
  else if (report->miss_count == 0) cox_buf_addf(out, "every node followed every phase (%zu of %zu)", report->checks, report->checks);
  else cox_buf_addf(out, "%zu of %zu phases were missed", report->miss_count, report->checks);
  if (report->unseen > 0) cox_buf_addf(out, "; %zu phases passed unseen, looks were too rare", report->unseen);
}

void cox_demo_report_render(const struct cox_demo_report *report, const struct cox_term *term, struct cox_buf *out) {
  const bool is_good = cox_demo_report_is_good(report);
  cox_term_begin(term, is_good ? COX_STYLE_GOOD : COX_STYLE_BAD, out);
  add_plural(out, report->epochs, "epoch");
  cox_buf_addf(out, ", ");
  add_plural(out, report->member_count, "node");
  cox_buf_addf(out, ": ");
  add_verdict(report, out);
  cox_term_end(term, is_good ? COX_STYLE_GOOD : COX_STYLE_BAD, out);
  cox_buf_addf(out, "\n");
  add_plural(out, report->attempts, "attempt");
  cox_buf_addf(out, ", %zu failed\n", report->failures);
  if (report->miss_count > 0) render_misses(report, term, out);
}
