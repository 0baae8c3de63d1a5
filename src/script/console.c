#include "script/console.h"

#include <assert.h>
#include <lauxlib.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/lock.h"
#include "script/convert.h"
#include "script/sandbox.h"
#include "script/vm.h"

enum { MEMORY_MAX = 32 * 1024 * 1024, WRITTEN_MAX = 256 * 1024, WAIT_US = 20000, NODES_MAX = 1 << 20 };
#define LINE_BUDGET_S 5.0
#define COMPLETE_BUDGET_S 1.0

struct cox_console_session {
  struct cox_console_context *context;
  struct cox_console_caller caller;
  struct cox_vm *vm; /* NULL: the last line tore it, or took all its memory; the next one gets a fresh one */
  /* while a line runs */
  json_t *nodes, *by_id; /* the snapshot: [{"node","state"}], {id: the same}; NULL: nobody asked yet */
  json_t *made;          /* what was pushed last: pushing may throw, and then somebody must hold it */
  bool is_completing;    /* then one node at a time is read */
  int64_t deadline_us;
  struct cox_buf *text;
  struct cox_mutex mutex; /* guards the next two: cancel comes from another thread */
  struct cox_guard *guard; /* of the VM; NULL: there is none */
  bool is_cancelled;
};

static const char session_key;

static struct cox_console_session *session_of(lua_State *L) {
  struct cox_console_session *const session = cox_vm_of(L)->owner;
  return session;
}

static bool is_cancelled(struct cox_console_session *session) {
  cox_mutex_lock(&session->mutex);
  const bool is = session->is_cancelled;
  cox_mutex_unlock(&session->mutex);
  return is;
}

/* ---- reading: everything of one line comes from one snapshot ---- */

static void forget_snapshot(struct cox_console_session *session) {
  json_decref(session->nodes);
  json_decref(session->by_id);
  json_decref(session->made);
  session->nodes = session->by_id = session->made = NULL;
}

static void take_snapshot(struct cox_console_session *session) {
  if (session->nodes != NULL) return;
  session->nodes = cox_broker_nodes_json(session->context->broker);
  session->by_id = json_object();
  size_t i;
  json_t *object;
  json_array_foreach(session->nodes, i, object) {
    json_object_set(session->by_id, json_string_value(json_object_get(json_object_get(object, "node"), "id")), object);
  }
}

/* Configuration and state in one table. */
static int push_node(lua_State *L, const json_t *object) {
  if (object == NULL) {
    lua_pushnil(L);
    return 1;
  }
  lua_createtable(L, 0, 40);
  const json_t *const parts[] = {json_object_get(object, "node"), json_object_get(object, "state")};
  for (size_t i = 0; i < 2; i++) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)parts[i], key, value) {
      cox_convert_push(L, value);
      lua_setfield(L, -2, key);
    }
  }
  return 1;
}

/* A value that was just made; takes it. */
static json_t *keep(struct cox_console_session *session, json_t *value) {
  json_decref(session->made);
  session->made = value;
  return value;
}

static int node(lua_State *L) {
  struct cox_console_session *const session = session_of(L);
  const char *const id = luaL_checkstring(L, 1);
  if (session->is_completing) return push_node(L, keep(session, cox_broker_node_json(session->context->broker, id)));
  take_snapshot(session);
  return push_node(L, json_object_get(session->by_id, id));
}

static int node_at(lua_State *L) {
  struct cox_console_session *const session = session_of(L);
  const lua_Integer index = luaL_checkinteger(L, 1);
  take_snapshot(session);
  return push_node(L, index >= 1 && index <= NODES_MAX ? json_array_get(session->nodes, (size_t)index - 1) : NULL);
}

static int count(lua_State *L) {
  struct cox_console_session *const session = session_of(L);
  take_snapshot(session);
  lua_pushinteger(L, (lua_Integer)json_array_size(session->nodes));
  return 1;
}

static int push_made(lua_State *L, json_t *value) {
  cox_convert_push(L, keep(session_of(L), value));
  return 1;
}

static int ids(lua_State *L) { return push_made(L, cox_broker_ids_json(session_of(L)->context->broker)); }
static int world(lua_State *L) { return push_made(L, cox_broker_world_json(session_of(L)->context->broker)); }

static int commands(lua_State *L) {
  const struct cox_console_context *const context = session_of(L)->context;
  return push_made(L, context->commands(context->ctx));
}

static int write_text(lua_State *L) {
  struct cox_console_session *const session = session_of(L);
  size_t len;
  const char *const text = luaL_checklstring(L, 1, &len);
  if (session->is_completing) return 0;
  if (len > WRITTEN_MAX || session->text->len > WRITTEN_MAX - len || !cox_buf_add(session->text, text, len)) {
    return luaL_error(L, "a line may print at most %d KiB", WRITTEN_MAX / 1024);
  }
  return 0;
}

/* ---- commands: the only way to change anything ---- */

/* Shared by the session that waits and the command loop that answers; the last one frees it. */
struct ticket {
  atomic_uint references;
  struct cox_mutex mutex; /* guards the rest */
  struct cox_cond cond;
  json_t *answer; /* NULL: not yet */
};

static void release(struct ticket *ticket) {
  if (atomic_fetch_sub(&ticket->references, 1) != 1) return;
  json_decref(ticket->answer);
  cox_cond_fini(&ticket->cond);
  cox_mutex_fini(&ticket->mutex);
  free(ticket);
}

static void answered(void *arg, const struct cox_answer *answer) {
  struct ticket *const ticket = arg;
  cox_mutex_lock(&ticket->mutex);
  ticket->answer = cox_answer_json(answer);
  cox_cond_signal(&ticket->cond);
  cox_mutex_unlock(&ticket->mutex);
  release(ticket);
}

/* The answer (a new reference), or NULL with the reason: cancelled, or no time left. */
static json_t *wait_for(struct cox_console_session *session, struct ticket *ticket, const char *name, struct cox_err *err) {
  json_t *answer = NULL;
  for (;;) {
    cox_mutex_lock(&ticket->mutex);
    if (ticket->answer == NULL) cox_cond_wait_us(&ticket->cond, &ticket->mutex, WAIT_US);
    answer = json_incref(ticket->answer);
    cox_mutex_unlock(&ticket->mutex);
    if (answer != NULL) return answer;
    const bool is_late = cox_clock_mono_us(cox_clock_system()) > session->deadline_us;
    if (!is_late && !is_cancelled(session)) continue;
    cox_err_set(err, COX_ETIME, "command %s was sent and not answered %s; it may still be carried out", name,
                is_late ? "within the time of a line" : "before the line was cancelled");
    return NULL;
  }
}

static json_t *call(struct cox_console_session *session, const char *name, json_t *args, struct cox_err *err) {
  struct ticket *const ticket = calloc(1, sizeof *ticket);
  if (ticket == NULL) {
    cox_err_set(err, COX_ENOMEM, "command %s was not sent: out of memory", name);
    return NULL;
  }
  atomic_init(&ticket->references, 2);
  cox_mutex_init(&ticket->mutex);
  cox_cond_init(&ticket->cond);
  char caller[64];
  snprintf(caller, sizeof caller, "console %.50s", session->caller.name);
  const int rc = cox_broker_submit_as(session->context->broker, caller, name, args, NULL, answered, ticket, err);
  if (rc != 0) release(ticket);
  json_t *const answer = rc == 0 ? wait_for(session, ticket, name, err) : NULL;
  release(ticket);
  return answer;
}

static int command(lua_State *L) {
  struct cox_console_session *const session = session_of(L);
  const char *const name = luaL_checkstring(L, 1);
  struct cox_err err = {0};
  if (session->is_completing) return luaL_error(L, "no command is sent by Tab");
  lua_settop(L, 2);
  json_t *const args = lua_isnil(L, 2) ? json_object() : cox_convert_take(L, 2, "args", &err);
  json_t *const answer = args != NULL ? call(session, name, args, &err) : NULL;
  json_decref(args);
  if (answer != NULL) return push_made(L, answer);
  lua_pushnil(L);
  lua_pushstring(L, err.text);
  return 2;
}

/* ---- the VM ---- */

static const struct cox_binding bindings[] = {
    {"node", node, "(id: string) → table?", "A node's configuration and state in one table."},
    {"node_at", node_at, "(index: integer) → table?", "The same by its place in the list."},
    {"count", count, "() → integer", "How many nodes there are."},
    {"ids", ids, "() → string[]", "The ids of all nodes."},
    {"world", world, "() → table", "What policy decides from besides the node."},
    {"command", command, "(name: string, args?: table) → table?, string?", "Sends a command and waits for its answer."},
    {"commands", commands, "() → table[]", "Name, help and priority of each command."},
    {"write", write_text, "(text: string)", "Adds to what the line shows."},
    {NULL, NULL, NULL, NULL},
};

static int open_console(lua_State *L) {
  cox_sandbox_require(L, "coxswain.console");
  lua_getfield(L, -1, "open");
  cox_bindings_push(L, bindings);
  lua_call(L, 1, 1);
  cox_vm_keep(L, &session_key);
  return 0;
}

static void set_guard(struct cox_console_session *session, struct cox_guard *guard) {
  cox_mutex_lock(&session->mutex);
  session->guard = guard;
  if (guard != NULL && session->is_cancelled) cox_guard_cancel(guard);
  cox_mutex_unlock(&session->mutex);
}

static void drop_vm(struct cox_console_session *session) {
  set_guard(session, NULL);
  cox_vm_destroy(session->vm);
  session->vm = NULL;
}

static int make_vm(struct cox_console_session *session, struct cox_err *err) {
  if (session->vm != NULL) return 0;
  struct cox_sources *const sources = session->context->hold_sources(session->context->ctx);
  session->vm = cox_vm_create(&(struct cox_vm_options){.context = COX_CONTEXT_CONSOLE,
                                                       .memory_max = MEMORY_MAX,
                                                       .sources = sources,
                                                       .clock = session->context->clock,
                                                       .owner = session},
                              err);
  cox_sources_release(sources);
  if (session->vm == NULL) return err->code;
  const int rc = cox_vm_call(session->vm, open_console, NULL, COMPLETE_BUDGET_S, err);
  if (rc == 0) set_guard(session, &session->vm->guard);
  else drop_vm(session);
  return rc;
}

/* ---- lines ---- */

struct line {
  struct cox_console_session *session;
  const char *code;
  size_t len;
  int width;
  enum cox_console_outcome outcome;
  json_t *found; /* of complete */
};

/* Two pieces for lua_load: a "return " and the code. */
struct pieces {
  const char *text[2];
  size_t len[2];
  int next;
};

static const char *read_piece(lua_State *L, void *arg, size_t *len) {
  (void)L;
  struct pieces *const pieces = arg;
  while (pieces->next < 2) {
    const int i = pieces->next++;
    *len = pieces->len[i];
    if (*len > 0) return pieces->text[i];
  }
  *len = 0;
  return NULL;
}

static int load(lua_State *L, const char *before, const char *code, size_t len) {
  struct pieces pieces = {.text = {before, code}, .len = {strlen(before), len}};
  return lua_load(L, read_piece, &pieces, "=console", "t");
}

static bool is_unfinished(lua_State *L) {
  static const char mark[] = "<eof>";
  size_t len;
  const char *const message = lua_tolstring(L, -1, &len);
  return message != NULL && len >= sizeof mark - 1 && strcmp(message + len - (sizeof mark - 1), mark) == 0;
}

/* Leaves the chunk; raises what is wrong with it. False: it is not whole, nothing is left. Tried as an expression first: "1 +" is
 * the beginning of one, though as a statement it is simply wrong.                                                               */
static bool compile(lua_State *L, const struct line *line) {
  const char *code = line->code;
  size_t len = line->len;
  while (len > 0 && (*code == ' ' || *code == '\t')) code++, len--;
  const bool is_value = len > 0 && *code == '=';
  if (load(L, "return ", code + is_value, len - is_value) == LUA_OK) return true;
  const bool is_begun = is_unfinished(L);
  if (is_value && !is_begun) lua_error(L);
  lua_pop(L, 1);
  if (is_value) return false;
  if (load(L, "", code, len) == LUA_OK) return true;
  if (!is_begun && !is_unfinished(L)) lua_error(L);
  lua_pop(L, 1);
  return false;
}

static int run_line(lua_State *L) {
  struct line *const line = lua_touserdata(L, 1);
  cox_vm_push_kept(L, &session_key);
  const int session = lua_gettop(L);
  lua_getfield(L, session, "begin");
  lua_pushinteger(L, line->width);
  lua_call(L, 1, 0);
  lua_getfield(L, session, "advise");
  lua_pushlstring(L, line->code, line->len);
  lua_call(L, 1, 1);
  if (lua_isstring(L, -1)) lua_error(L);
  lua_pop(L, 1);
  if (!compile(L, line)) {
    line->outcome = COX_CONSOLE_INCOMPLETE;
    return 0;
  }
  lua_getfield(L, session, "env");
  if (lua_setupvalue(L, -2, 1) == NULL) lua_pop(L, 1);
  const int bottom = lua_gettop(L);
  lua_call(L, 0, LUA_MULTRET);
  const int values = lua_gettop(L) - bottom + 1;
  if (values == 0) return 0;
  luaL_checkstack(L, 2, "too many values");
  lua_getfield(L, session, "show");
  lua_insert(L, bottom);
  lua_call(L, values, 1);
  lua_pushcfunction(L, write_text);
  lua_insert(L, -2);
  lua_call(L, 1, 0);
  return 0;
}

/* What a script made may hold anything: nothing of it may act on a terminal. */
static void clean(struct cox_buf *text) {
  for (size_t i = 0; i < text->len; i++) {
    const unsigned char byte = (unsigned char)text->data[i];
    const bool is_c1 = byte == 0xC2 && (unsigned char)text->data[i + 1] >= 0x80 && (unsigned char)text->data[i + 1] < 0xA0;
    if (is_c1) text->data[i] = text->data[i + 1] = '?';
    else if ((byte < 0x20 && byte != '\n' && byte != '\t') || byte == 0x7F) text->data[i] = '?';
  }
  while (text->len > 0 && text->data[text->len - 1] == '\n') text->data[--text->len] = '\0';
}

static void add_failure(struct cox_console_session *session, int rc, const struct cox_err *err, struct cox_buf *text) {
  if (text->len > 0 && text->data[text->len - 1] != '\n') cox_buf_addf(text, "\n");
  const double budget_s = session->context->line_budget_s;
  if (is_cancelled(session)) cox_buf_addf(text, "cancelled");
  else if (rc == COX_ETIME) cox_buf_addf(text, "cut: the line ran longer than %g s; the broker went on meanwhile", budget_s);
  else if (err->file[0] != '\0' && err->line > 0 && err->file[0] != '=') cox_buf_addf(text, "%s:%d: %s", err->file, err->line, err->text);
  else cox_buf_addf(text, "%s", err->text);
}

static enum cox_console_outcome eval(struct cox_console_session *session, const char *code, size_t len, int width, struct cox_buf *text) {
  struct line line = {.session = session, .code = code, .len = len, .width = width, .outcome = COX_CONSOLE_DONE};
  struct cox_err err = {0};
  session->text = text;
  session->deadline_us = cox_clock_mono_us(cox_clock_system()) + (int64_t)(session->context->line_budget_s * 1e6);
  int rc = make_vm(session, &err);
  if (rc == 0) rc = cox_vm_call(session->vm, run_line, &line, session->context->line_budget_s, &err);
  session->text = NULL;
  forget_snapshot(session);
  if (rc != 0) {
    line.outcome = COX_CONSOLE_ERROR;
    add_failure(session, rc, &err, text);
  }
  const struct cox_vm *const vm = session->vm;
  /* What took all memory is still there: no other line would get any. */
  if (vm != NULL && (vm->is_lost || (rc == COX_ENOMEM && !vm->is_string_too_long))) {
    drop_vm(session);
    cox_buf_addf(text, "\nthe session's variables are gone: it begins anew");
  }
  clean(text);
  return line.outcome;
}

/* ---- completion ---- */

static int run_complete(lua_State *L) {
  struct line *const line = lua_touserdata(L, 1);
  cox_vm_push_kept(L, &session_key);
  lua_getfield(L, -1, "complete");
  lua_pushlstring(L, line->code, line->len);
  lua_call(L, 1, 1);
  struct cox_err err;
  line->found = cox_convert_take(L, -1, "completion", &err);
  return 0;
}

static json_t *complete(struct cox_console_session *session, const char *text, size_t len) {
  struct line line = {.session = session, .code = text, .len = len};
  session->is_completing = true;
  if (make_vm(session, NULL) == 0) cox_vm_call(session->vm, run_complete, &line, COMPLETE_BUDGET_S, NULL);
  session->is_completing = false;
  forget_snapshot(session);
  const bool is_good = json_is_array(json_object_get(line.found, "words"));
  if (is_good) return line.found;
  json_decref(line.found);
  return json_pack("{si, s[]}", "start", (int)len, "words");
}

/* ---- sessions ---- */

static struct cox_console_session *open_session(void *ctx, const struct cox_console_caller *caller, struct cox_err *err) {
  struct cox_console_session *const session = calloc(1, sizeof *session);
  if (session == NULL) {
    cox_err_set(err, COX_ENOMEM, "opening a console session failed: out of memory");
    return NULL;
  }
  session->context = ctx;
  session->caller = *caller;
  cox_mutex_init(&session->mutex);
  return session;
}

static void close_session(struct cox_console_session *session) {
  drop_vm(session);
  cox_mutex_fini(&session->mutex);
  free(session);
}

static void begin(struct cox_console_session *session) {
  cox_mutex_lock(&session->mutex);
  session->is_cancelled = false;
  if (session->guard != NULL) cox_guard_uncancel(session->guard);
  cox_mutex_unlock(&session->mutex);
}

static void cancel(struct cox_console_session *session) {
  cox_mutex_lock(&session->mutex);
  session->is_cancelled = true;
  if (session->guard != NULL) cox_guard_cancel(session->guard);
  cox_mutex_unlock(&session->mutex);
}

static json_t *list_commands(void *ctx) {
  const struct cox_console_context *const context = ctx;
  return context->commands(context->ctx);
}

struct cox_console cox_console_make(struct cox_console_context *context) {
  if (context->line_budget_s == 0) context->line_budget_s = LINE_BUDGET_S;
  return (struct cox_console){
      .ctx = context,
      .open = open_session,
      .close = close_session,
      .begin = begin,
      .cancel = cancel,
      .eval = eval,
      .complete = complete,
      .commands = list_commands,
  };
}
