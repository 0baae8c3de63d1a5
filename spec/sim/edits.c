#include "edits.h"

#include <stdlib.h>
#include <string.h>

static const struct {
  const char *file, *find, *instead;
} edits[EDITS] = {
    {"", "", ""},
    {"policy/eligibility.lua", "\"preserved: it serves", "\"preserved, so it serves"},
    {"drivers/mlnode.lua", "first = 0.2,", "first = 0.3,"},
    {"policy/models.lua", "id < first", "id > first"}, /* other targets */
    {"drivers/mlnode.lua", "REST_AFTER_LOAD_S  = 5 ", "REST_AFTER_LOAD_S  = 6 "},
    [EDITS_DRAINING] = {"policy/phases.lua", "function M.intent(node, world)\n",
     "local decide\n"
     "function M.intent(node, world)\n"
     "  local target, why = decide(node, world)\n"
     "  if target and target.status ~= 'INFERENCE' then target.drain_s = ({ 0, 5, 80 })[node.node_num % 3 + 1] end\n"
     "  return target, why\n"
     "end\n"
     "\n"
     "function decide(node, world)\n"},
    /* broken: they do not compile, a case fails, a case throws */
    {"commands/start_poc.lua", "return", "return return"},
    {"policy/models.lua", "is_kept = not taken[key]", "is_kept = not not taken[key]"},
    {"policy/eligibility.lua", "if node.preserved then", "if node.preserved.of.nobody then"},
};

/* What every set has beside what is shipped: a job that counts, and saves its count, and the command it says it by. */
static const struct {
  const char *name, *text;
} own[] = {
    {"jobs/" EDITS_JOB ".lua", "local n = 0\n"
                              "return {\n"
                              "  help = 'Counts.',\n"
                              "  save = function() return { n = n } end,\n"
                              "  restore = function(old) n = old.n end,\n"
                              "  run = function()\n"
                              "    while true do\n"
                              "      n = n + 1\n"
                              "      broker.command('" EDITS_JOB "', { n = n })\n"
                              "      time.sleep(3)\n"
                              "    end\n"
                              "  end,\n"
                              "}\n"},
    {"commands/" EDITS_JOB ".lua", "return { help = 'Takes note of a count.', args = { n = 'integer' }, run = function() end }\n"},
};

static bool add_own(struct cox_sources *sources) {
  for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
    if (!cox_sources_add(sources, own[i].name, own[i].name, own[i].text, strlen(own[i].text), 0)) return false;
  }
  return true;
}

/* Once per process, whatever lives it has. */
static const struct cox_sources *shipped(const char *scripts, const char *library, struct cox_faults *faults) {
  static struct cox_sources *read;
  if (read == NULL) read = cox_sources_read(scripts, library, faults);
  return read;
}

static bool add_edited(struct cox_sources *sources, const struct cox_source *file, unsigned which) {
  const char *const at = strcmp(file->name, edits[which].file) == 0 ? strstr(file->text, edits[which].find) : NULL;
  if (at == NULL) return cox_sources_add(sources, file->name, file->path, file->text, file->len, 0);
  const size_t before = (size_t)(at - file->text), found = strlen(edits[which].find), fresh = strlen(edits[which].instead);
  char *const text = malloc(file->len + fresh + 1);
  if (text == NULL) return false;
  memcpy(text, file->text, before);
  memcpy(text + before, edits[which].instead, fresh);
  memcpy(text + before + fresh, at + found, file->len - before - found);
  const bool is_added = cox_sources_add(sources, file->name, file->path, text, file->len - found + fresh, 0);
  free(text);
  return is_added;
}

/* An edit that changes nothing would make a reload that is not one. */
static bool applies(const struct cox_sources *from, unsigned which, struct cox_faults *faults) {
  const struct cox_source *const file = which > 0 ? cox_sources_find(from, edits[which].file, false) : NULL;
  if (which == 0 || (file != NULL && strstr(file->text, edits[which].find) != NULL)) return true;
  cox_faults_add(faults, edits[which].file, 0, "edit %u does not find its place: spec/sim/edits.c must follow the shipped scripts", which);
  return false;
}

static struct cox_sources *make(unsigned which, const char *scripts, const char *library, struct cox_faults *faults) {
  const struct cox_sources *const from = shipped(scripts, library, faults);
  if (from == NULL || !applies(from, which, faults)) return NULL;
  struct cox_sources *const sources = cox_sources_begin(from->folders);
  for (size_t i = 0; sources != NULL && i < from->count; i++) {
    if (from->list[i].is_trusted || add_edited(sources, &from->list[i], which)) continue;
    cox_sources_release(sources);
    return NULL;
  }
  if (sources == NULL || add_own(sources)) return sources != NULL ? cox_sources_end(sources, library, faults) : NULL;
  cox_sources_release(sources);
  return NULL;
}

/* Each life counts its own sets: the same bytes, without reading, checking and hashing them again. */
static struct cox_sources *copy(const struct cox_sources *from) {
  struct cox_sources *const sources = cox_sources_begin(from->folders);
  for (size_t i = 0; sources != NULL && i < from->count; i++) {
    const struct cox_source *const file = &from->list[i];
    if (!cox_sources_add(sources, file->name, file->path, file->text, file->len, file->from)) {
      cox_sources_release(sources);
      return NULL;
    }
    sources->list[i].hash = file->hash;
    sources->list[i].is_trusted = file->is_trusted;
    sources->list[i].shadows = file->shadows;
  }
  if (sources == NULL) return NULL;
  sources->hash = from->hash;
  sources->scripts_hash = from->scripts_hash;
  sources->drivers_hash = from->drivers_hash;
  return sources;
}

static const struct cox_sources *made(unsigned which, const char *scripts, const char *library, struct cox_faults *faults) {
  static const struct cox_sources *list[EDITS];
  if (list[which] == NULL) list[which] = make(which, scripts, library, faults);
  return list[which];
}

struct cox_sources *edits_read(unsigned which, const char *scripts, const char *library, struct cox_faults *faults) {
  const struct cox_sources *const sources = made(which, scripts, library, faults);
  return sources != NULL ? copy(sources) : NULL;
}

bool edits_hash(unsigned which, const char *scripts, const char *library, char text[COX_SOURCES_HASH_TEXT]) {
  struct cox_faults faults = {0};
  const struct cox_sources *const sources = made(which, scripts, library, &faults);
  if (sources != NULL) cox_sources_hash_text(sources->scripts_hash, text);
  cox_faults_fini(&faults);
  return sources != NULL;
}
