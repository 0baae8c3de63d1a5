/* Somebody follows the journal, through restarts too, as `coxswain events --follow` does: goes on after the last number seen, asks the store
 * for what memory has lost. Each line that was committed must be told once, in order, under the number it was committed with; others
 * (which a failing store has lost) are told by the process that knows them, or not at all.                                           */
#include <inttypes.h>
#include <stdlib.h>

#include "core/record.h"
#include "sim/world_private.h"

enum { PAGE = 64, PAGES_MAX = 200 };

static const char told[] = "each line of the journal is told once";

static json_int_t number(const json_t *object, const char *key) { return json_integer_value(json_object_get(object, key)); }

/* ---- what is on the disk ---- */

/* A state that is written anew tells nothing new; values that are kept are no lines. */
static bool is_line(const struct cox_batch *batch, const struct cox_record *record) {
  const bool is_rewrite = batch->records[0]->kind == COX_RECORD_RESET || batch->records[0]->kind == COX_RECORD_KEEP;
  return record->kind < COX_RECORD_REGISTER || (record->kind != COX_RECORD_KEEP && !is_rewrite);
}

void cox_world_journal_write(struct cox_world *world, const struct cox_batch *batch) {
  struct cox_world_journal *const journal = &world->journal;
  for (size_t i = 0; i < batch->count; i++) {
    const struct cox_record *const record = batch->records[i];
    if (record->kind == COX_RECORD_KEEP) continue;
    if (record->seq <= world->disk.seq) {
      cox_world_break(world, told, NULL, "a line (%s) is committed as number %" PRIu64 " after number %" PRIu64, cox_record_kind_name(record->kind),
                      record->seq, world->disk.seq);
    }
    world->disk.seq = record->seq;
    if (!is_line(batch, record)) continue;
    if (journal->count == journal->capacity) {
      journal->capacity = journal->capacity == 0 ? 256 : journal->capacity * 2;
      journal->lines = realloc(journal->lines, journal->capacity * sizeof *journal->lines);
      if (journal->lines == NULL) abort();
    }
    journal->lines[journal->count++] = (struct cox_world_line){.seq = record->seq, .kind = record->kind};
  }
}

static size_t first_after(const struct cox_world_journal *journal, uint64_t since) {
  size_t low = 0, high = journal->count;
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    if (journal->lines[middle].seq > since) high = middle;
    else low = middle + 1;
  }
  return low;
}

int cox_world_journal_read(void *ctx, struct cox_store_read *read, struct cox_err *err) {
  const struct cox_world_journal *const journal = &((struct cox_world *)ctx)->journal;
  json_t *const records = json_array();
  (void)err;
  for (size_t i = first_after(journal, read->since); i < journal->count && json_array_size(records) < read->max; i++) {
    const struct cox_world_line *const line = &journal->lines[i];
    if (line->seq > read->until) break;
    json_array_append_new(records, json_pack("{sI ss}", "seq", (json_int_t)line->seq, "kind", cox_record_kind_name(line->kind)));
  }
  read->first = journal->count > 0 ? journal->lines[0].seq : 0;
  read->done(read, records, NULL);
  json_decref(records);
  return 0;
}

/* ---- who follows ---- */

static void take(struct cox_world *world, const json_t *line) {
  struct cox_world_journal *const journal = &world->journal;
  const uint64_t seq = (uint64_t)number(line, "seq");
  if (seq <= journal->since) cox_world_break(world, told, NULL, "number %" PRIu64 " is told after number %" PRIu64, seq, journal->since);
  if (journal->told < journal->count && journal->lines[journal->told].seq < seq) {
    const struct cox_world_line *const missed = &journal->lines[journal->told];
    cox_world_break(world, told, NULL, "number %" PRIu64 " (%s) was committed, and number %" PRIu64 " is told next", missed->seq,
                    cox_record_kind_name(missed->kind), seq);
  }
  const bool is_stored = journal->told < journal->count && journal->lines[journal->told].seq == seq;
  if (is_stored) journal->told++;
  else if (world->undos == journal->undos && world->disk.refused == journal->refused) { /* no store has failed since the last look */
    cox_world_break(world, told, NULL, "number %" PRIu64 " (%s) is told and not committed", seq, json_string_value(json_object_get(line, "kind")));
  }
  journal->since = seq;
}

static void take_all(struct cox_world *world, const json_t *lines) {
  size_t i;
  json_t *line;
  json_array_foreach(lines, i, line) take(world, line);
}

struct reading {
  struct cox_store_read read; /* first: it is handed back by this */
  json_t *records;
};

static void on_page(struct cox_store_read *read, json_t *records, const struct cox_err *err) {
  (void)err;
  ((struct reading *)(void *)read)->records = json_incref(records);
}

static void read_older(struct cox_world *world, uint64_t until) {
  struct cox_world_journal *const journal = &world->journal;
  struct reading reading = {.read = {.since = journal->since, .until = until, .max = PAGE, .done = on_page}};
  uint64_t from, to;
  cox_broker_events_stored(world->broker, &reading.read, NULL);
  const uint64_t next = cox_store_read_end(&reading.read, reading.records, journal->since, until, &from, &to);
  take_all(world, reading.records);
  json_decref(reading.records);
  journal->since = next;
}

/* False: there is nothing more. */
static bool turn(struct cox_world *world) {
  struct cox_world_journal *const journal = &world->journal;
  json_t *const page = cox_broker_events_json(world->broker, journal->since, PAGE, NULL);
  const uint64_t oldest = (uint64_t)number(page, "oldest"), last = (uint64_t)number(page, "last"), next = (uint64_t)number(page, "next");
  bool goes_on = true;
  if (journal->since > last) { /* what was told last had not been stored, and its process has ended */
    if (first_after(journal, last) < journal->told) {
      cox_world_break(world, told, NULL, "number %" PRIu64 " was committed and told, and the journal is said to end at number %" PRIu64,
                      journal->lines[journal->told - 1].seq, last);
    }
    journal->since = last;
  } else if (journal->since + 1 < oldest) {
    read_older(world, oldest - 1);
  } else if (next > journal->since) {
    take_all(world, json_object_get(page, "events"));
    journal->since = next;
  } else {
    goes_on = false;
  }
  json_decref(page);
  return goes_on && !world->is_over;
}

void cox_world_journal_follow(struct cox_world *world) {
  struct cox_world_journal *const journal = &world->journal;
  int turns = 0;
  while (turn(world)) {
    if (++turns == PAGES_MAX) cox_world_break(world, told, NULL, "who follows has no end of it at number %" PRIu64, journal->since);
  }
  /* What has been committed a moment ago is told at the next turn of cox-command. */
  const bool is_quiet = world->disk.first == NULL && !world->broker->commands.is_woken && !world->is_command_planned;
  if (is_quiet && journal->told < journal->count) {
    cox_world_break(world, told, NULL, "number %" PRIu64 " (%s) was committed and is not told", journal->lines[journal->told].seq,
                    cox_record_kind_name(journal->lines[journal->told].kind));
  }
  if (!is_quiet || cox_broker_is_degraded(world->broker, NULL)) return;
  journal->undos = world->undos;
  journal->refused = world->disk.refused;
}

void cox_world_journal_fini(struct cox_world *world) { free(world->journal.lines); }
