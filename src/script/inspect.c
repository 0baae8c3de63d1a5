#include "script/inspect.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "script/api.h"
#include "script/cases.h"
#include "script/declared.h"
#include "script/library.h"
#include "script/sandbox.h"

#define BUDGET_S 5.0

enum { LOCATED_MAX = 100 };

#define CONTEXTS (COX_CONTEXT_JOBS + 1)

struct inspecting {
  struct cox_sources *sources;
  struct cox_vm *vms[CONTEXTS];
  json_t *modules, *apis;             /* what require finds; what scripts see */
  json_t *commands, *drivers, *jobs;  /* as declared */
  struct cox_faults *faults;
};

static bool is_below(const struct cox_source *source, const char *folder) {
  const size_t len = strlen(folder);
  return strncmp(source->name, folder, len) == 0 && source->name[len] == '/';
}

static bool does_wait(const struct inspecting *in, const struct cox_source *source) {
  char stem[256];
  if (!is_below(source, "commands")) return false;
  snprintf(stem, sizeof stem, "%.*s", (int)(strlen(source->name) - strlen("commands/.lua")), source->name + strlen("commands/"));
  return json_is_true(json_object_get(json_object_get(in->commands, stem), "waits"));
}

/* Files of no known folder may be required from anywhere: jobs see the most. */
static struct cox_vm *vm_for(const struct inspecting *in, const struct cox_source *source) {
  enum cox_context context = COX_CONTEXT_JOBS;
  if (is_below(source, "policy") || (is_below(source, "commands") && !does_wait(in, source))) context = COX_CONTEXT_POLICY;
  else if (is_below(source, "drivers")) context = COX_CONTEXT_DRIVERS;
  return in->vms[context];
}

static void add_err(const struct inspecting *in, const struct cox_source *source, const struct cox_err *err) {
  cox_faults_add(in->faults, err->file[0] != '\0' ? err->file : source->path, err->line, "%s", err->text);
}

/* ---- single files ---- */

static int compile(lua_State *L) {
  cox_sandbox_load(L, *(const struct cox_source *const *)lua_touserdata(L, 1));
  return 0;
}

static void check_name(const struct inspecting *in, const struct cox_source *source) {
  if (is_below(source, "coxswain")) {
    cox_faults_add(in->faults, source->path, 1, "this file is never found: coxswain.… is the trusted library; move it to another folder");
  }
  if (strchr(source->name, '.') != source->name + strlen(source->name) - 4) {
    cox_faults_add(in->faults, source->path, 1, "no script can require this file: a name with a dot in it stands for a folder");
  }
}

static void check_text(const struct inspecting *in, const struct cox_source *source) {
  struct cox_vm *const vm = vm_for(in, source);
  struct cox_err err;
  const struct cox_source *pointer = source;
  if (cox_vm_call(vm, compile, &pointer, BUDGET_S, &err) != 0) {
    add_err(in, source, &err);
    return;
  }
  json_t *const args = json_pack("{ss, so, sb, sO, sO}", "name", source->name, "text", json_stringn(source->text, source->len), "waits",
                                 does_wait(in, source), "modules", in->modules, "apis", json_object_get(in->apis, "apis"));
  json_t *const list = cox_library_call(vm, "coxswain.review", "file", args, BUDGET_S, &err);
  if (list == NULL) add_err(in, source, &err);
  size_t i;
  json_t *fault;
  json_array_foreach(list, i, fault) {
    cox_faults_add(in->faults, source->path, (int)json_integer_value(json_object_get(fault, "line")), "%s",
                   json_string_value(json_object_get(fault, "message")));
  }
  json_decref(list);
}

static void check_files(const struct inspecting *in) {
  for (size_t i = 0; i < in->sources->count; i++) {
    const struct cox_source *const source = &in->sources->list[i];
    if (source->is_trusted) continue;
    check_name(in, source);
    check_text(in, source);
  }
}

/* ---- the whole ---- */

static json_t *keys_of(json_t *object) {
  json_t *const list = json_array();
  const char *key;
  json_t *value;
  json_object_foreach(object, key, value) json_array_append_new(list, json_string(key));
  return list;
}

struct tally {
  size_t count;
};

static void tally_one(void *arg, const struct cox_source *source, const char *stem) {
  (void)source, (void)stem;
  ((struct tally *)arg)->count++;
}

/* What each driver reaches; null when not all of them load. */
static json_t *reaches_of(const struct inspecting *in) {
  struct tally drivers = {0};
  cox_sources_each(in->sources, "drivers", tally_one, &drivers);
  json_t *reaches = NULL;
  if (drivers.count == json_object_size(in->drivers)) {
    json_t *const args = json_pack("{so}", "names", keys_of(in->drivers));
    reaches = cox_library_call(in->vms[COX_CONTEXT_DRIVERS], "coxswain.review", "reaches", args, BUDGET_S, NULL);
  }
  return reaches != NULL ? reaches : json_null();
}

static void check_whole(const struct inspecting *in, const json_t *nodes, bool loads, struct cox_inspection *found) {
  struct cox_err err;
  json_t *const args = json_pack("{ss, so, sO, so}", "module", "policy.phases", "reaches", reaches_of(in), "commands", in->commands, "nodes",
                                 nodes != NULL ? json_deep_copy(nodes) : json_array());
  json_t *const messages = cox_library_call(in->vms[COX_CONTEXT_POLICY], "coxswain.review", "policy", args, BUDGET_S, &err);
  if (messages == NULL && loads) cox_faults_add(in->faults, err.file, err.line, "%s", err.text); /* else its reason is known */
  size_t i;
  json_t *message;
  json_array_foreach(messages, i, message) {
    cox_faults_add(in->faults, cox_sources_path(in->sources, "policy/phases.lua"), 0, "%s", json_string_value(message));
  }
  json_t *const counted =
      cox_library_call(in->vms[COX_CONTEXT_POLICY], "coxswain.review", "count", json_pack("{sO}", "modules", in->modules), BUDGET_S, &err);
  found->cases = (size_t)json_integer_value(json_object_get(counted, "cases"));
  json_decref(messages);
  json_decref(counted);
}

/* ---- lines ---- */

static const struct cox_source *source_at(const struct inspecting *in, const char *path) {
  for (size_t i = 0; i < in->sources->count; i++) {
    if (strcmp(in->sources->list[i].path, path) == 0) return &in->sources->list[i];
  }
  return NULL;
}

/* Faults of what a file returned know no line: it is looked for in the text. */
static const struct cox_source *source_to_look_at(const struct inspecting *in, const struct cox_err *fault) {
  return fault->line == 0 ? source_at(in, fault->file) : NULL;
}

static void find_line(const struct inspecting *in, struct cox_err *fault) {
  const struct cox_source *const source = source_to_look_at(in, fault);
  if (source == NULL) return;
  json_t *const args = json_pack("{so, ss}", "text", json_stringn(source->text, source->len), "message", fault->text);
  json_t *const place = cox_library_call(in->vms[COX_CONTEXT_POLICY], "coxswain.review", "locate", args, BUDGET_S, NULL);
  fault->line = (int)json_integer_value(json_object_get(place, "line"));
  json_decref(place);
}

void cox_inspect_locate(struct cox_sources *sources, const struct cox_clock *clock, struct cox_faults *faults) {
  struct inspecting in = {.sources = sources};
  const struct cox_vm_options options = {.context = COX_CONTEXT_POLICY, .sources = sources, .clock = clock};
  struct cox_err err;
  bool is_wanted = false;
  for (size_t i = 0; i < faults->count; i++) is_wanted = is_wanted || source_to_look_at(&in, &faults->list[i]) != NULL;
  if (!is_wanted || (in.vms[COX_CONTEXT_POLICY] = cox_vm_create(&options, &err)) == NULL) return;
  for (size_t i = 0; i < faults->count && i < LOCATED_MAX; i++) find_line(&in, &faults->list[i]);
  cox_vm_destroy(in.vms[COX_CONTEXT_POLICY]);
}

static int by_place(const void *left, const void *right) {
  const struct cox_err *const a = left, *const b = right;
  const int order = strcmp(a->file, b->file);
  if (order != 0 || a->line != b->line) return order != 0 ? order : (a->line > b->line) - (a->line < b->line);
  return strcmp(a->text, b->text);
}

/* From number `from` on: sorted, each once. What fails to load is found by everything that requires it. */
static void tidy(struct cox_faults *faults, size_t from) {
  size_t kept = from;
  if (faults->count <= from) return;
  qsort(faults->list + from, faults->count - from, sizeof *faults->list, by_place);
  for (size_t i = from; i < faults->count; i++) {
    if (kept == from || by_place(&faults->list[kept - 1], &faults->list[i]) != 0) faults->list[kept++] = faults->list[i];
  }
  faults->count = kept;
}

/* ---- all of it ---- */

struct cox_sources *cox_inspect_read(const struct cox_script_options *options, struct cox_faults *faults) {
  if (options->folders == NULL) return cox_sources_read(options->scripts_dir, options->library_dir, faults);
  return cox_sources_read_folders(options->folders, options->library_dir, faults);
}

static bool open_vms(struct inspecting *in, const struct cox_clock *clock) {
  struct cox_err err;
  for (enum cox_context i = COX_CONTEXT_POLICY; i < CONTEXTS; i++) {
    const struct cox_vm_options options = {.context = i, .sources = in->sources, .clock = clock};
    in->vms[i] = cox_vm_create(&options, &err);
    if (in->vms[i] != NULL) continue;
    cox_faults_add(in->faults, NULL, 0, "%s", err.text);
    return false;
  }
  return true;
}

/* The faults of loading are known already. */
static void read_declared(struct inspecting *in) {
  struct cox_faults known = {0};
  in->commands = json_object();
  in->drivers = json_object();
  in->jobs = json_object();
  cox_declared_load(in->vms[COX_CONTEXT_POLICY], COX_DECLARED_COMMANDS, NULL, in->commands, &known);
  cox_declared_load(in->vms[COX_CONTEXT_DRIVERS], COX_DECLARED_DRIVERS, NULL, in->drivers, &known);
  cox_declared_load(in->vms[COX_CONTEXT_JOBS], COX_DECLARED_JOBS, NULL, in->jobs, &known);
  cox_faults_fini(&known);
}

/* "policy/phases.lua" → "policy.phases" */
static void read_modules(struct inspecting *in) {
  in->modules = json_array();
  for (size_t i = 0; i < in->sources->count; i++) {
    char name[512];
    snprintf(name, sizeof name, "%.*s", (int)(strlen(in->sources->list[i].name) - 4), in->sources->list[i].name);
    for (char *p = name; *p != '\0'; p++) {
      if (*p == '/') *p = '.';
    }
    json_array_append_new(in->modules, json_string(name));
  }
}

static void count(const struct inspecting *in, struct cox_inspection *found) {
  for (size_t i = 0; i < in->sources->count; i++) found->files += !in->sources->list[i].is_trusted;
  found->commands = json_object_size(in->commands);
  found->drivers = json_object_size(in->drivers);
  found->jobs = json_object_size(in->jobs);
}

static void finish(struct inspecting *in) {
  for (enum cox_context i = COX_CONTEXT_POLICY; i < CONTEXTS; i++) cox_vm_destroy(in->vms[i]);
  json_decref(in->modules);
  json_decref(in->apis);
  json_decref(in->commands);
  json_decref(in->drivers);
  json_decref(in->jobs);
  cox_sources_release(in->sources);
}

void cox_inspect(const struct cox_script_options *options, const json_t *nodes, struct cox_inspection *found, struct cox_faults *faults) {
  const size_t before = faults->count;
  struct inspecting in = {.faults = faults};
  struct cox_faults known = {0}; /* cox_script_create has found the same */
  *found = (struct cox_inspection){0};
  cox_script_destroy(cox_script_create(options, faults));
  in.sources = cox_inspect_read(options, &known);
  cox_faults_fini(&known);
  if (in.sources == NULL || !open_vms(&in, options->clock)) goto out;
  in.apis = cox_api_describe();
  read_modules(&in);
  read_declared(&in);
  count(&in, found);
  const bool loads = faults->count == before;
  check_files(&in);
  cox_cases_check(in.vms[COX_CONTEXT_POLICY], BUDGET_S, in.faults);
  check_whole(&in, nodes, loads, found);
  for (size_t i = before; i < faults->count; i++) find_line(&in, &faults->list[i]);
out:
  tidy(faults, before);
  if (in.sources != NULL) finish(&in);
}
