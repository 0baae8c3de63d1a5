/* Compiled scripts that are kept: what comes from kept code does, says and fails as what comes from the text. */
#include "fake_core.h"

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdlib.h>
#include <string.h>

#include "script/chunks.h"
#include "script/sandbox.h"
#include "script/sources.h"
#include "script/vm.h"

static lua_State *L;

static int setup(void **state) {
  (void)state;
  L = luaL_newstate();
  luaL_openlibs(L);
  return L != NULL ? 0 : -1;
}

static int teardown(void **state) {
  (void)state;
  cox_chunks_keep(false);
  lua_close(L);
  return 0;
}

/* ---- loading one ---- */

static struct cox_source source_of(const char *text) {
  const size_t len = strlen(text);
  return (struct cox_source){.text = (char *)(uintptr_t)text, .len = len, .hash = cox_sources_hash(text, len)};
}

/* Leaves the function, or the error. `given` is what Lua is to read when nothing is kept of `source`. */
static int load_as(const struct cox_source *source, const char *given, const char *name) {
  return cox_chunks_load(L, source, given, strlen(given), name);
}

static int load(const char *text, const char *name) {
  const struct cox_source source = source_of(text);
  return load_as(&source, text, name);
}

/* Calls what is on top without arguments; its number. */
static lua_Integer call(void) {
  assert_int_equal(lua_pcall(L, 0, 1, 0), LUA_OK);
  const lua_Integer number = lua_tointeger(L, -1);
  lua_pop(L, 1);
  return number;
}

/* Whether the second time comes from kept code: it is asked with a text that says something else. */
static bool is_kept(const char *text, const char *other, lua_Integer first) {
  const struct cox_source source = source_of(text);
  assert_int_equal(load_as(&source, text, "@a.lua"), LUA_OK);
  assert_int_equal(call(), first);
  assert_int_equal(load_as(&source, other, "@a.lua"), LUA_OK);
  return call() == first;
}

/* ---- when ---- */

static void nothing_is_kept_unless_it_is_asked_for(void **state) {
  (void)state;
  assert_false(is_kept("return 1", "return 2", 1));
  cox_chunks_keep(true);
  assert_true(is_kept("return 1", "return 2", 1));
  cox_chunks_keep(false);
  assert_false(is_kept("return 1", "return 2", 1));
}

static void beginning_anew_forgets_what_was_kept(void **state) {
  (void)state;
  const struct cox_source source = source_of("return 1");
  cox_chunks_keep(true);
  assert_true(is_kept("return 1", "return 2", 1));
  cox_chunks_keep(true);
  assert_int_equal(load_as(&source, "return 3", "@a.lua"), LUA_OK);
  assert_int_equal(call(), 3);
}

static void another_text_of_that_name_is_another_function(void **state) {
  (void)state;
  cox_chunks_keep(true);
  assert_int_equal(load("return 1", "@a.lua"), LUA_OK);
  assert_int_equal(call(), 1);
  assert_int_equal(load("return 2", "@a.lua"), LUA_OK);
  assert_int_equal(call(), 2);
  assert_int_equal(load("return 1", "@a.lua"), LUA_OK);
  assert_int_equal(call(), 1);
}

static void two_texts_with_one_hash_and_two_lengths_are_two(void **state) {
  (void)state;
  struct cox_source one = source_of("return 1"), other = source_of("return 22");
  other.hash = one.hash;
  cox_chunks_keep(true);
  assert_int_equal(load_as(&one, one.text, "@a.lua"), LUA_OK);
  assert_int_equal(call(), 1);
  assert_int_equal(load_as(&other, other.text, "@a.lua"), LUA_OK);
  assert_int_equal(call(), 22);
}

/* ---- the same function ---- */

/* All that Lua knows of a function, names and lines too. */
struct image {
  char *bytes;
  size_t len;
};

static int write_image(lua_State *of, const void *piece, size_t len, void *arg) {
  (void)of;
  struct image *const image = arg;
  if (len == 0) return 0;
  image->bytes = realloc(image->bytes, image->len + len);
  assert_non_null(image->bytes);
  memcpy(image->bytes + image->len, piece, len);
  image->len += len;
  return 0;
}

/* Of the function on top, which it pops. */
static struct image take_image(void) {
  struct image image = {0};
  assert_int_equal(lua_dump(L, write_image, &image, 0), 0);
  lua_pop(L, 1);
  return image;
}

static void compare_images(const struct cox_source *source, struct image *text, struct image *kept) {
  if (text->len != kept->len || memcmp(text->bytes, kept->bytes, text->len) != 0) fail_msg("%s is another function from kept code", source->name);
  free(text->bytes);
  free(kept->bytes);
}

static void compare_script(const struct cox_source *source) {
  char name[300];
  snprintf(name, sizeof name, "@%s", source->name);
  cox_chunks_keep(false);
  assert_int_equal(load_as(source, source->text, name), LUA_OK);
  struct image text = take_image();
  cox_chunks_keep(true);
  assert_int_equal(load_as(source, source->text, name), LUA_OK);
  lua_pop(L, 1);
  assert_int_equal(load_as(source, "return 'not kept'", name), LUA_OK);
  struct image kept = take_image();
  compare_images(source, &text, &kept);
}

static void every_shipped_script_is_the_same_function(void **state) {
  (void)state;
  struct cox_faults faults = {0};
  struct cox_sources *const sources = cox_sources_read("scripts", "lua", &faults);
  assert_non_null(sources);
  assert_true(sources->count > 20);
  for (size_t i = 0; i < sources->count; i++) compare_script(&sources->list[i]);
  cox_sources_release(sources);
  cox_faults_fini(&faults);
}

/* ---- the same words ---- */

/* What a text says when it is compiled or called: the error with its traceback. */
static char *last_words(const char *text) {
  lua_settop(L, 0);
  const int rc = load(text, "@policy/a.lua");
  if (rc == LUA_OK) {
    lua_getglobal(L, "debug");
    lua_getfield(L, -1, "traceback");
    lua_remove(L, -2);
    lua_insert(L, 1);
    assert_int_equal(lua_pcall(L, 0, 0, 1), LUA_ERRRUN);
  }
  char *const words = strdup(lua_tostring(L, -1));
  assert_non_null(words);
  return words;
}

static void compare_words(const char *text, const char *expected) {
  cox_chunks_keep(false);
  char *const first = last_words(text);
  cox_chunks_keep(true);
  free(last_words(text));
  char *const again = last_words(text);
  assert_non_null(strstr(first, expected));
  assert_string_equal(again, first);
  free(first);
  free(again);
}

static void errors_have_the_same_place_and_the_same_words(void **state) {
  (void)state;
  compare_words("local function inner(t)\n\n  return t.x.y\nend\nlocal n = inner({})\nreturn n", "policy/a.lua:3: attempt to index a nil value (field 'x')");
  compare_words("local top\nlocal function inner()\n  return top.x\nend\nreturn 1 + inner()", "(upvalue 'top')");
  compare_words("\n\nno_such()", "policy/a.lua:3: attempt to call a nil value (global 'no_such')");
  compare_words("coroutine.wrap(function()\n  error('said', 1)\nend)()", "policy/a.lua:2: said");
}

static void what_does_not_compile_is_said_each_time(void **state) {
  (void)state;
  compare_words("local a = 1\nthis is no Lua", "policy/a.lua:2: syntax error near 'is'");
}

static void a_script_that_is_code_already_is_refused_all_the_same(void **state) {
  (void)state;
  compare_words("\x1bLuaT", "attempt to load a binary chunk");
}

static void each_name_has_errors_of_its_own(void **state) {
  (void)state;
  cox_chunks_keep(true);
  assert_int_equal(load("error('said')", "@a.lua"), LUA_OK);
  assert_int_equal(lua_pcall(L, 0, 0, 0), LUA_ERRRUN);
  assert_string_equal(lua_tostring(L, -1), "a.lua:1: said");
  assert_int_equal(load("error('said')", "@b.lua"), LUA_OK);
  assert_int_equal(lua_pcall(L, 0, 0, 0), LUA_ERRRUN);
  assert_string_equal(lua_tostring(L, -1), "b.lua:1: said");
}

/* ---- in script machines ---- */

static int run_counter(lua_State *of) {
  lua_Integer *const out = lua_touserdata(of, 1);
  cox_sandbox_require(of, "policy.counter");
  lua_call(of, 0, 1);
  *out = lua_tointeger(of, -1);
  return 0;
}

/* What a machine of its own makes of that source. */
static lua_Integer count_once(struct cox_sources *sources, int calls, struct cox_err *err) {
  const struct cox_vm_options options = {.context = COX_CONTEXT_POLICY, .sources = sources, .clock = cox_clock_system()};
  struct cox_vm *const vm = cox_vm_create(&options, err);
  lua_Integer number = 0;
  assert_non_null(vm);
  for (; calls > 0; calls--) {
    if (cox_vm_call(vm, run_counter, &number, 60, err) != 0) number = -1;
  }
  cox_vm_destroy(vm);
  return number;
}

static struct cox_sources *counter_of(const char *text) {
  json_t *const folders = json_pack("[s]", "scripts");
  struct cox_faults faults = {0};
  struct cox_sources *sources = cox_sources_begin(folders);
  assert_true(cox_sources_add(sources, "policy/counter.lua", "scripts/policy/counter.lua", text, strlen(text), 0));
  sources = cox_sources_end(sources, "lua", &faults);
  assert_non_null(sources);
  json_decref(folders);
  cox_faults_fini(&faults);
  return sources;
}

static void machines_share_code_and_no_state(void **state) {
  (void)state;
  struct cox_err err;
  struct cox_sources *const sources = counter_of("#!/usr/bin/lua\nlocal n = 0\nreturn function() n = n + 1 return n end");
  cox_chunks_keep(true);
  for (int i = 0; i < 3; i++) assert_int_equal(count_once(sources, 2, &err), 2);
  cox_sources_release(sources);
}

static void the_sandbox_is_around_kept_code_too(void **state) {
  (void)state;
  struct cox_err first = {0}, again = {0};
  struct cox_sources *const sources = counter_of("#!/usr/bin/lua\nreturn function()\n  os.exit(1)\nend");
  cox_chunks_keep(true);
  assert_int_equal(count_once(sources, 1, &first), -1);
  assert_int_equal(count_once(sources, 1, &again), -1);
  assert_int_equal(again.line, 3);
  assert_string_equal(again.file, first.file);
  assert_string_equal(again.text, first.text);
  cox_sources_release(sources);
}

int main(void) {
  const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
      TEST(nothing_is_kept_unless_it_is_asked_for),
      TEST(beginning_anew_forgets_what_was_kept),
      TEST(another_text_of_that_name_is_another_function),
      TEST(two_texts_with_one_hash_and_two_lengths_are_two),
      TEST(every_shipped_script_is_the_same_function),
      TEST(errors_have_the_same_place_and_the_same_words),
      TEST(what_does_not_compile_is_said_each_time),
      TEST(a_script_that_is_code_already_is_refused_all_the_same),
      TEST(each_name_has_errors_of_its_own),
      TEST(machines_share_code_and_no_state),
      TEST(the_sandbox_is_around_kept_code_too),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
