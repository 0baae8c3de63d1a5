#include "script/vm.h"

#include <assert.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/utf8.h"
#include "script/sandbox.h"

enum { MEMORY_MAX = 64 * 1024 * 1024, FRAMES_MAX = 12, CUT_FRAMES_MAX = 200 };
#define OPEN_BUDGET_S 1.0

/* Lua answers the first refusal with a full collection and asks again. */
static bool is_refused(struct cox_vm *vm, const void *old, size_t kind, size_t before, size_t wanted) {
  const bool is_too_long = old == NULL && kind == LUA_TSTRING && wanted > COX_VM_STRING_BYTES_MAX;
  const bool is_too_much = wanted > before && vm->used - before + wanted > vm->max;
  if (is_too_long || is_too_much) vm->is_string_too_long = is_too_long;
  return is_too_long || is_too_much;
}

/* For a new block `old_size` is the kind of object. */
static void *allocate(void *arg, void *old, size_t old_size, size_t new_size) {
  struct cox_vm *const vm = arg;
  const size_t before = old != NULL ? old_size : 0;
  if (new_size == 0) {
    vm->used -= before;
    return cox_heap_resize(&vm->heap, old, old_size, 0);
  }
  if (is_refused(vm, old, old_size, before, new_size)) {
    const unsigned depth = atomic_load(&vm->guard.depth);
    if (depth > 0) cox_vm_note(vm, vm->guard.active[depth - 1]);
    return NULL;
  }
  void *fresh = cox_heap_resize(&vm->heap, old, before, new_size);
  if (fresh == NULL && new_size <= before) fresh = old; /* Lua counts on it that what shrinks stays */
  if (fresh != NULL) vm->used = vm->used - before + new_size;
  return fresh;
}

struct cox_vm *cox_vm_of(lua_State *L) { return *(struct cox_vm **)lua_getextraspace(L); }

static int panic(lua_State *L) {
  fprintf(stderr, "coxswain: an unprotected Lua error, a bug of ours: %s\n", lua_tostring(L, -1));
  abort();
}

static int open_sandbox(lua_State *L) {
  cox_sandbox_open(L, *(const uint64_t *)lua_touserdata(L, 1));
  return 0;
}

struct cox_vm *cox_vm_create(const struct cox_vm_options *options, struct cox_err *err) {
  struct cox_vm *vm = calloc(1, sizeof *vm);
  if (vm == NULL) goto out_of_memory;
  vm->context = options->context;
  vm->max = options->memory_max != 0 ? options->memory_max : MEMORY_MAX;
  vm->sources = cox_sources_hold(options->sources);
  vm->clock = options->clock;
  vm->owner = options->owner;
  vm->guard.is_left = options->is_left;
  cox_guard_init(&vm->guard, vm->context == COX_CONTEXT_POLICY ? COX_GUARD_RESCUE_TICKS : COX_GUARD_PATIENT_TICKS);
  vm->L = lua_newstate(allocate, vm);
  if (vm->L == NULL) goto out_of_memory;
  *(struct cox_vm **)lua_getextraspace(vm->L) = vm;
  lua_atpanic(vm->L, panic);
  uint64_t seed = options->seed;
  if (cox_vm_call(vm, open_sandbox, &seed, OPEN_BUDGET_S, err) == 0) return vm;
  cox_vm_destroy(vm);
  return NULL;
out_of_memory:
  cox_err_set(err, COX_ENOMEM, "making a script machine failed: out of memory");
  cox_vm_destroy(vm);
  return NULL;
}

void cox_vm_rest(struct cox_vm *vm) {
  cox_guard_fini(&vm->guard); /* its next call begins a tick for whoever makes it */
  vm->guard.is_left = NULL;
}

static void release(struct cox_vm *vm, struct cox_held *held);

void cox_vm_destroy(struct cox_vm *vm) {
  if (vm == NULL) return;
  cox_guard_fini(&vm->guard);
  while (vm->held != NULL) release(vm, vm->held); /* before the slots go */
  cox_heap_fini(&vm->heap); /* in place of lua_close: nothing of L lies outside of it */
  cox_sources_release(vm->sources);
  free(vm);
}

/* ---- what lies outside of the heap ---- */

static void release(struct cox_vm *vm, struct cox_held *held) {
  if (held->previous != NULL) held->previous->next = held->next;
  else vm->held = held->next;
  if (held->next != NULL) held->next->previous = held->previous;
  held->drop(held->value);
  free(held);
}

void cox_vm_hold(lua_State *L, struct cox_held **slot, void *value, void (*drop)(void *value)) {
  struct cox_vm *const vm = cox_vm_of(L);
  assert(*slot == NULL);
  struct cox_held *const held = malloc(sizeof *held);
  if (held == NULL) {
    drop(value);
    luaL_error(L, "out of memory");
    return;
  }
  *held = (struct cox_held){.next = vm->held, .value = value, .drop = drop};
  if (vm->held != NULL) vm->held->previous = held;
  vm->held = held;
  *slot = held;
}

static void drop_json(void *value) { json_decref(value); }

void cox_vm_take_json(lua_State *L, struct cox_held **slot, json_t *value) { cox_vm_hold(L, slot, value, drop_json); }
void cox_vm_hold_json(lua_State *L, struct cox_held **slot, json_t *value) { cox_vm_take_json(L, slot, json_incref(value)); }

void cox_vm_release(lua_State *L, struct cox_held **slot) {
  if (*slot != NULL) release(cox_vm_of(L), *slot);
  *slot = NULL;
}

static int release_holder(lua_State *L) {
  cox_vm_release(L, lua_touserdata(L, 1));
  return 0;
}

struct cox_held **cox_vm_push_holder(lua_State *L) {
  struct cox_held **const slot = lua_newuserdatauv(L, sizeof *slot, 0);
  *slot = NULL;
  if (luaL_newmetatable(L, "coxswain.held")) {
    lua_pushcfunction(L, release_holder);
    lua_setfield(L, -2, "__gc");
  }
  lua_setmetatable(L, -2);
  return slot;
}

/* ---- where it happened ---- */

static void forget_place(struct cox_vm *vm) {
  vm->place.file[0] = '\0';
  vm->place.line = 0;
  vm->trace[0] = '\0';
}

void cox_vm_forget(struct cox_vm *vm) {
  forget_place(vm);
  vm->lines = 0;
  vm->cut_file = NULL;
}

/* Appends the frames of one coroutine; the first one with a line is the place. */
static size_t note_frames(struct cox_vm *vm, lua_State *L, size_t len) {
  lua_Debug frame;
  for (int level = 0; level < FRAMES_MAX && len < sizeof vm->trace && lua_getstack(L, level, &frame) != 0; level++) {
    lua_getinfo(L, "Sln", &frame);
    if (frame.currentline <= 0) continue; /* of C: says nothing */
    const char *const file = cox_sources_path(vm->sources, frame.source + (*frame.source == '@'));
    if (len == 0) {
      forget_place(vm);
      snprintf(vm->place.file, sizeof vm->place.file, "%s", file);
      vm->place.line = frame.currentline;
    }
    const int added = snprintf(vm->trace + len, sizeof vm->trace - len, "%s%s:%d: in %s%s%s", len > 0 ? "\n" : "", file, frame.currentline,
                               frame.name != NULL ? frame.namewhat : "a function", frame.name != NULL ? " " : "",
                               frame.name != NULL ? frame.name : "");
    if (added > 0) len += (size_t)added;
  }
  return len;
}

void cox_vm_note(struct cox_vm *vm, lua_State *L) {
  size_t len = note_frames(vm, L, 0); /* without any frame (a stack shrinks on the way out) what was noted before stays */
  for (unsigned depth = atomic_load(&vm->guard.depth); depth > 0; depth--) {
    if (vm->guard.active[depth - 1] != L) len = note_frames(vm, vm->guard.active[depth - 1], len);
  }
}

/* ---- files that run out of time ---- */

/* The innermost file whose own code is on its way. Not below: a stack may be very deep. */
static const struct cox_source *find_cut_file(const struct cox_vm *vm, lua_State *L) {
  lua_Debug frame;
  for (int level = 0; level < CUT_FRAMES_MAX && lua_getstack(L, level, &frame) != 0; level++) {
    lua_getinfo(L, "S", &frame);
    if (strcmp(frame.what, "main") == 0 && *frame.source == '@') return cox_sources_find(vm->sources, frame.source + 1, false);
  }
  return NULL;
}

void cox_vm_note_cut(struct cox_vm *vm, lua_State *L) {
  cox_vm_note(vm, L);
  vm->cut_file = find_cut_file(vm, L);
  for (unsigned depth = atomic_load(&vm->guard.depth); depth > 0 && vm->cut_file == NULL; depth--) {
    vm->cut_file = find_cut_file(vm, vm->guard.active[depth - 1]);
  }
}

void cox_vm_spoil(struct cox_vm *vm, const struct cox_err *err) {
  if (vm->cut_file == NULL || vm->spoiled_count == COX_VM_SPOILED_MAX) return;
  struct cox_spoiled *const spoiled = &vm->spoiled[vm->spoiled_count++];
  spoiled->source = vm->cut_file;
  snprintf(spoiled->text, sizeof spoiled->text, "%s:%d: %.200s", err->file, err->line, err->text);
}

void cox_vm_check_spoiled(lua_State *L, const struct cox_source *source) {
  const struct cox_vm *const vm = cox_vm_of(L);
  for (unsigned i = 0; i < vm->spoiled_count; i++) {
    if (vm->spoiled[i].source != source) continue;
    lua_pushstring(L, vm->spoiled[i].text);
    lua_error(L);
  }
}

void cox_vm_blame(const struct cox_vm *vm, const struct cox_source *source, struct cox_err *err) {
  const struct cox_err found = *err;
  bool is_ours = found.file[0] == '\0';
  for (size_t i = 0; i < vm->sources->count && !is_ours; i++) {
    is_ours = vm->sources->list[i].is_trusted && strcmp(vm->sources->list[i].path, found.file) == 0;
  }
  if (!is_ours) return;
  if (found.file[0] == '\0') cox_err_at(err, found.code, source->path, 0, "%s", found.text);
  else cox_err_at(err, found.code, source->path, 0, "what it returned cannot be checked: %s (in %s:%d)", found.text, found.file, found.line);
}

int cox_vm_trace(lua_State *L) {
  struct cox_vm *const vm = cox_vm_of(L);
  if (!vm->guard.is_noted) cox_vm_note(vm, L); /* else the cut noted it */
  return 1;
}

/* ---- errors ---- */

void cox_vm_copy_text(char *out, size_t size, const char *text) {
  size_t len = 0;
  while (*text != '\0') {
    const size_t bytes = cox_utf8_bytes(text, SIZE_MAX), step = bytes > 0 ? bytes : 1;
    if (len + step >= size) break;
    if (bytes > 0) memcpy(out + len, text, bytes);
    else out[len] = '?';
    len += step;
    text += step;
  }
  out[len] = '\0';
}

/* "commands/start_poc.lua:12: why" → file, line, and the message behind them. */
static const char *split_place(const struct cox_vm *vm, const char *text, struct cox_err *err) {
  const char *const colon = strstr(text, ".lua:");
  if (colon == NULL) return text;
  char name[256];
  const size_t len = (size_t)(colon - text) + 4;
  if (len >= sizeof name || memchr(text, ' ', len) != NULL) return text;
  memcpy(name, text, len);
  name[len] = '\0';
  char *end;
  const long line = strtol(colon + 5, &end, 10);
  if (end == colon + 5 || *end != ':') return text;
  snprintf(err->file, sizeof err->file, "%s", cox_sources_path(vm->sources, name));
  err->line = (int)line;
  return end + 1 + (end[1] == ' ');
}

static const char *text_of(lua_State *L) {
  if (lua_type(L, -1) == LUA_TSTRING) return lua_tostring(L, -1);
  if (lua_type(L, -1) != LUA_TTABLE) return NULL;
  lua_pushliteral(L, "message");
  lua_rawget(L, -2);
  const char *const text = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
  lua_pop(L, 1); /* the table still holds it */
  return text;
}

static void describe_time(const struct cox_vm *vm, struct cox_err *err) {
  cox_err_at(err, COX_ETIME, vm->place.file, vm->place.line,
             "it ran longer than its time budget of %g ms; do less, or in smaller pieces", vm->guard.budget_s * 1000);
}

static void describe_memory(const struct cox_vm *vm, struct cox_err *err) {
  if (vm->is_string_too_long) {
    cox_err_at(err, COX_ENOMEM, vm->place.file, vm->place.line, "a string would be longer than %d MiB; build smaller ones",
               COX_VM_STRING_BYTES_MAX / 1024 / 1024);
    return;
  }
  cox_err_at(err, COX_ENOMEM, vm->place.file, vm->place.line,
             "the script needs more than its %zu MiB of memory; keep less, or in smaller pieces", vm->max / 1024 / 1024);
}

static void describe_error(const struct cox_vm *vm, lua_State *L, const char *text, struct cox_err *err) {
  *err = (struct cox_err){.code = COX_ESCRIPT};
  const char *const message = text != NULL ? split_place(vm, text, err) : NULL;
  if (err->line == 0) { /* where it was raised */
    memcpy(err->file, vm->place.file, sizeof err->file);
    err->line = vm->place.line;
  }
  if (message != NULL) cox_vm_copy_text(err->text, sizeof err->text, message);
  else if (lua_type(L, -1) == LUA_TNUMBER) snprintf(err->text, sizeof err->text, "%.14g", lua_tonumber(L, -1));
  else snprintf(err->text, sizeof err->text, "an error that is no text but a %s value", luaL_typename(L, -1));
}

int cox_vm_describe(struct cox_vm *vm, lua_State *L, int rc, struct cox_err *err) {
  struct cox_err unwanted;
  if (err == NULL) err = &unwanted;
  const char *const text = text_of(L);
  /* A script that catches it and raises it again does not make another error of it. */
  const bool is_memory = rc == LUA_ERRMEM || (text != NULL && strcmp(text, "not enough memory") == 0);
  if (cox_guard_is_expired(&vm->guard)) describe_time(vm, err);
  else if (is_memory) describe_memory(vm, err);
  else describe_error(vm, L, text, err);
  return err->code;
}

int cox_vm_lose(struct cox_vm *vm, struct cox_err *err) {
  cox_guard_rescued(&vm->guard);
  vm->is_lost = true;
  cox_log(COX_LOG_WARN, "script", "a script machine was given up: Lua did not come back from a function in C", NULL);
  return cox_err_at(err, COX_ETIME, vm->place.file, vm->place.line,
                    "it ran longer than its time budget of %g ms and could not be interrupted; its script machine was given up",
                    vm->guard.budget_s * 1000);
}

static void clear(struct cox_err *err) {
  if (err != NULL) *err = (struct cox_err){0};
}

int cox_vm_call(struct cox_vm *vm, lua_CFunction function, void *arg, double budget_s, struct cox_err *err) {
  lua_State *const L = vm->L;
  clear(err);
  if (vm->is_lost) return cox_err_set(err, COX_ESTOPPED, "this script machine was given up after a script that could not be interrupted");
  if (cox_guard_is_left(&vm->guard)) return cox_err_set(err, COX_ESTOPPED, "it was not run: nobody waits for it any more");
  int rc = cox_guard_enter(&vm->guard, L, budget_s, err);
  if (rc != 0) return rc;
  if (COX_GUARD_WAS_RESCUED(&vm->guard)) return cox_vm_lose(vm, err);
  const int top = lua_gettop(L);
  lua_pushcfunction(L, cox_vm_trace); /* light C functions: no memory is asked for */
  lua_pushcfunction(L, function);
  lua_pushlightuserdata(L, arg);
  const int status = lua_pcall(L, 1, 0, top + 1);
  rc = status == LUA_OK ? 0 : cox_vm_describe(vm, L, status, err);
  cox_guard_leave(&vm->guard);
  lua_settop(L, top);
  return rc;
}

void cox_vm_keep(lua_State *L, const void *key) { lua_rawsetp(L, LUA_REGISTRYINDEX, key); }
void cox_vm_push_kept(lua_State *L, const void *key) { lua_rawgetp(L, LUA_REGISTRYINDEX, key); }

void cox_vm_push_field(lua_State *L, int index, const char *name) {
  index = lua_absindex(L, index);
  lua_pushstring(L, name);
  lua_rawget(L, index);
}
