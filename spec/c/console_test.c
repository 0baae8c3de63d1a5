/* Console sessions in the real sandbox: lines, values, variables, the snapshot, completion, and lines that are cut. */
#include "fake_core.h"

#include <stdlib.h>
#include <poll.h>
#include <string.h>
#include <time.h>

#include "base/thread.h"
#include "script/console.h"
#include "script/script.h"

static struct cox_script *script;
static struct fake *f;
static const struct cox_console *console;
static struct cox_console_session *session;
static struct cox_buf text;

static void register_node(const char *id, int port) {
  assert_int_equal(fake_send(f, "register_node", json_pack("{so}", "node", fake_node(id, port))), COX_ANSWER_DONE);
}

static int setup(void **state) {
  (void)state;
  f = fake_create(-1);
  struct cox_faults faults = {0};
  const struct cox_script_options options = {.scripts_dir = "scripts", .library_dir = "lua", .clock = &f->clock};
  script = cox_script_create(&options, &faults);
  if (script == NULL) return -1;
  fake_use_policy(f, cox_script_policy(script), NULL, NULL);
  cox_script_set_broker(script, f->broker);
  console = cox_script_console(script);
  register_node("node1", 5000);
  register_node("node-2", 5010);
  const struct cox_console_caller caller = {.uid = 0, .name = "spec"};
  struct cox_err err = {0};
  session = console->open(console->ctx, &caller, &err);
  return session != NULL ? 0 : -1;
}

static int teardown(void **state) {
  (void)state;
  console->close(session);
  fake_destroy(f);
  cox_script_destroy(script);
  cox_buf_fini(&text);
  return 0;
}

static enum cox_console_outcome eval(const char *code) {
  cox_buf_clear(&text);
  cox_buf_add(&text, "", 0);
  console->begin(session);
  return console->eval(session, code, strlen(code), 80, &text);
}

static void expect(const char *code, const char *shown) {
  const enum cox_console_outcome outcome = eval(code);
  assert_string_equal(text.data, shown);
  assert_int_equal(outcome, COX_CONSOLE_DONE);
}

static void expect_error(const char *code, const char *part) {
  assert_int_equal(eval(code), COX_CONSOLE_ERROR);
  if (strstr(text.data, part) == NULL) fail_msg("\"%s\" does not hold \"%s\"", text.data, part);
}

static void expressions_show_their_values(void **state) {
  (void)state;
  expect("1 + 1", "2");
  expect("=1 + 1", "2");
  expect("  = 'a', nil, 2.5", "\"a\"\nnil\n2.5");
  expect("return 7", "7");
  expect("", "");
  expect("-- nothing", "");
  expect("{ b = 1, a = { 2, 3 } }", "{ a = { 2, 3 }, b = 1 }");
  expect("nothing_of_the_kind", "nil -- nothing has the name nothing_of_the_kind: `help` lists what there is");
  expect("nil", "nil");
}

static void a_command_that_is_typed_like_a_word_is_told_how_it_is_sent(void **state) {
  (void)state;
  expect_error("reconcile", "reconcile is a command of the broker: send it with `command reconcile`");
  expect_error("  reconcile node_id=node1 ", "send it with `command reconcile node_id=node1`");
  expect_error("reconcile = = 1", "console:1:"); /* Lua, or nearly */
  expect("reconcile = 7", "");
  expect("reconcile", "7"); /* now it is the session's own */
}

static void what_a_line_prints_comes_before_its_value(void **state) {
  (void)state;
  expect("print('a', 1) return 2", "a\t1\n2");
  expect("for i = 1, 3 do print(i) end", "1\n2\n3");
  expect("print('\\27[31m\\0\\u{9b}')", "?[31m???"); /* nothing acts on the terminal */
}

static void variables_stay_from_line_to_line_and_end_with_the_session(void **state) {
  (void)state;
  expect("x = 5", "");
  expect("function double(n) return 2 * n end", "");
  expect("double(x)", "10");
  const struct cox_console_caller caller = {.uid = 0, .name = "other"};
  struct cox_console_session *const first = session, *const other = console->open(console->ctx, &caller, NULL);
  session = other;
  expect("x == nil", "true");
  session = first;
  console->close(other);
}

static void chunks_that_are_not_whole_ask_for_more(void **state) {
  (void)state;
  static const char *const unfinished[] = {"for i = 1, 2 do", "f(", "x = {", "1 +", "=1 +", "function f(a)\n  return a", "[[a", "if x then"};
  for (size_t i = 0; i < sizeof unfinished / sizeof *unfinished; i++) assert_int_equal(eval(unfinished[i]), COX_CONSOLE_INCOMPLETE);
  expect("function f(a)\n  return a * 2\nend\nreturn f(21)", "42");
  expect_error("x = = 2", "console:1:");
  expect_error(")", "unexpected symbol");
  expect_error("\x1bLua", "");
}

static void nodes_are_read_from_the_snapshot_of_the_line(void **state) {
  (void)state;
  expect("#nodes", "2");
  expect("nodes.node1.current_status", "\"UNKNOWN\"");
  expect("nodes['node-2'].id, nodes[2].id", "\"node-2\"\n\"node-2\"");
  expect("nodes.nobody, nodes[3], nodes[0], nodes[-1]", "nil\nnil\nnil\nnil");
  expect("for id, node in pairs(nodes) do print(id, node.host) end", "node1\t10.0.0.1\nnode-2\t10.0.0.1");
  expect("for i, node in ipairs(nodes) do print(i, node.id) end", "1\tnode1\n2\tnode-2");
  expect_error("nodes.node1 = 1", "they change by broker.command");
  expect("nodes.node1.host = 'x' return nodes.node1.host", "\"10.0.0.1\""); /* a copy */
  expect("=nodes", "node1                    UNKNOWN\nnode-2                   UNKNOWN");
  expect("world", "{}");
}

static void the_sandbox_holds(void **state) {
  (void)state;
  expect("io, os, debug, load, dofile, package", "nil\nnil\nnil\nnil\nnil\nnil");
  expect_error("require 'os'", "no module");
  expect_error("setmetatable({}, { __gc = function() end })", "__gc");
  expect_error("string.rep = nil", "cannot be set");
  expect_error("error({ message = 'a table' })", "a table");
  expect("getmetatable(nodes)", "\"nodes\"");
}

static void errors_say_where(void **state) {
  (void)state;
  expect_error("local x = nil\nreturn x.y", "console:2: attempt to index a nil value (local 'x')");
  expect_error("error('boom', 0)", "boom");
  assert_int_equal(eval("print('first') error('then')"), COX_CONSOLE_ERROR);
  assert_string_equal(text.data, "first\nconsole:1: then");
}

static json_t *complete(const char *line) {
  console->begin(session);
  return console->complete(session, line, strlen(line));
}

static void expect_words(const char *line, int start, const char *words) {
  json_t *const found = complete(line);
  char *const got = json_dumps(json_object_get(found, "words"), JSON_COMPACT);
  assert_string_equal(got, words);
  assert_int_equal(json_integer_value(json_object_get(found, "start")), start);
  free(got);
  json_decref(found);
}

static void tab_offers_globals_fields_ids_and_commands(void **state) {
  (void)state;
  expect_words("nod", 0, "[\"nodes\"]");
  expect_words("x = wor", 4, "[\"world\"]");
  expect_words("nodes.no", 5, "[\".node1\",\"[\\\"node-2\\\"]\"]");
  expect_words("nodes.node1.current", 12, "[\"current_status\"]");
  expect_words("nodes[\"node-2\"].max_c", 16, "[\"max_concurrent\"]");
  expect_words("#nodes[\"no", 8, "[\"node-2\\\"]\",\"node1\\\"]\"]");
  expect_words("broker.command(\"recon", 16, "[\"reconcile\\\"\"]");
  expect_words("string.for", 7, "[\"format\"]");
  expect("mine = { alpha = { beta = 1 } }", "");
  expect_words("mine.alpha.be", 11, "[\"beta\"]");
  expect_words("whil", 0, "[\"while\"]");
  expect_words("nothing.at.all", 11, "[]");
  expect_words("1 + ", 4, "[]");
}

static void tab_runs_nothing_of_the_users(void **state) {
  (void)state;
  expect("ran = 0 trap = setmetatable({}, { __index = function() ran = ran + 1 return {} end })", "");
  expect_words("trap.a.b", 7, "[]");
  expect("ran", "0");
}

static void help_knows_the_commands(void **state) {
  (void)state;
  assert_int_equal(eval("help()"), COX_CONSOLE_DONE);
  assert_non_null(strstr(text.data, "start_poc"));
  assert_non_null(strstr(text.data, "broker.command"));
  json_t *const commands = console->commands(console->ctx);
  assert_true(json_array_size(commands) >= 12);
  assert_true(json_is_string(json_object_get(json_array_get(commands, 0), "help")));
  size_t i, admin = 0;
  json_t *command;
  json_array_foreach(commands, i, command) {
    const char *const scope = json_string_value(json_object_get(command, "scope"));
    assert_non_null(scope);
    admin += strcmp(scope, "admin") == 0;
  }
  assert_int_equal(admin, 3); /* those that register, change and remove nodes; the others need only operate */
  json_decref(commands);
  assert_int_equal(eval("help('reconcile')"), COX_CONSOLE_DONE);
  assert_non_null(strstr(text.data, "  arguments: node_id?\n"));
  assert_non_null(strstr(text.data, "Ends the backoff"));
}

/* Lines of the journal that say that this session sent the command. */
static size_t told_by_us(const char *command) {
  json_t *const told = cox_broker_events_json(f->broker, 0, 1000, NULL);
  size_t i, found = 0;
  json_t *event;
  json_array_foreach(json_object_get(told, "events"), i, event) {
    const char *const caller = json_string_value(json_object_get(event, "caller")), *const name = json_string_value(json_object_get(event, "name"));
    found += name != NULL && strcmp(name, command) == 0 && strcmp(caller, "console spec") == 0;
  }
  json_decref(told);
  return found;
}

/* The broker's loops run in threads of their own, as in the daemon. */
static void commands_change_things_and_answer(void **state) {
  (void)state;
  struct cox_err err;
  assert_int_equal(cox_broker_start(f->broker, &err), 0);
  expect("broker.command('set_admin_state', { node_id = 'node1', enabled = false }).status", "\"done\"");
  expect("nodes.node1.admin_state.enabled", "false");
  expect("broker.command('set_admin_state', { node_id = 'nobody', enabled = false }).status", "\"error\"");
  assert_int_equal(eval("broker.command('nothing')"), COX_CONSOLE_DONE);
  assert_non_null(strstr(text.data, "unknown command nothing"));
  expect_error("broker.command()", "name of a command");
  expect_error("broker.command('reconcile', 5)", "arguments are a table");
  expect("select(2, broker.command('reconcile', { f = print }))", "\"args.f must be plain data, not a function\"");
  for (int i = 0; i < 20000 && told_by_us("set_admin_state") < 2; i++) poll(NULL, 0, 1); /* a line is there soon after its answer */
  assert_int_equal(told_by_us("set_admin_state"), 2); /* the journal knows who did it */
  cox_broker_stop(f->broker, 1000);
}

struct canceller {
  struct cox_thread thread;
};

static void cancel_soon(void *arg) {
  (void)arg;
  const struct timespec pause = {.tv_nsec = 50000000};
  nanosleep(&pause, NULL);
  console->cancel(session);
}

static void cancel_during(const char *code) {
  struct canceller canceller = {0};
  struct cox_err err;
  cox_buf_clear(&text);
  console->begin(session);
  assert_int_equal(cox_thread_start(&canceller.thread, "canceller", cancel_soon, NULL, &err), 0);
  assert_int_equal(console->eval(session, code, strlen(code), 80, &text), COX_CONSOLE_ERROR);
  cox_thread_join(&canceller.thread);
  assert_non_null(strstr(text.data, "cancelled"));
}

static void endless_lines_are_cancelled_from_another_thread(void **state) {
  (void)state;
  expect("x = 1", "");
  cancel_during("while true do end");
  cancel_during("while true do pcall(error) end");
  cancel_during("local function f() return f() end f()");
  expect("x", "1"); /* the session goes on with what it had */
}

/* Nobody serves the queue: the loops do not run. */
static void a_line_that_waits_for_a_command_is_cancelled(void **state) {
  (void)state;
  cancel_during("local answer, why = broker.command('reconcile') error(why)");
  fake_run(f);
}

static void a_line_cancelled_before_it_began_does_not_run(void **state) {
  (void)state;
  cox_buf_clear(&text);
  console->begin(session);
  console->cancel(session);
  assert_int_equal(console->eval(session, "while true do end", 17, 80, &text), COX_CONSOLE_ERROR);
  expect("1", "1");
}

static void lines_are_cut_at_the_end_of_their_budget(void **state) {
  (void)state;
  struct cox_console_context *const context = console->ctx;
  context->line_budget_s = 0.05;
  expect_error("while true do end", "cut: the line ran longer than 0.05 s");
  expect_error("while true do pcall(error) end", "cut: ");
  expect_error("('x'):rep(300):find(('.-'):rep(30) .. 'y')", "cut: "); /* in C, where no hook reaches */
  expect("1", "1");
}

static void a_line_that_takes_all_memory_begins_the_session_anew(void **state) {
  (void)state;
  expect("x = 1", "");
  expect_error("t = {} for i = 1, 1e9 do t[i] = { i } end", "memory");
  assert_non_null(strstr(text.data, "it begins anew"));
  expect("x == nil", "true");
  expect_error("local x = ('x'):rep(1000) while true do print(x) end", "at most 256 KiB");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(expressions_show_their_values),
      TEST(a_command_that_is_typed_like_a_word_is_told_how_it_is_sent),
      TEST(what_a_line_prints_comes_before_its_value),
      TEST(variables_stay_from_line_to_line_and_end_with_the_session),
      TEST(chunks_that_are_not_whole_ask_for_more),
      TEST(nodes_are_read_from_the_snapshot_of_the_line),
      TEST(the_sandbox_holds),
      TEST(errors_say_where),
      TEST(tab_offers_globals_fields_ids_and_commands),
      TEST(tab_runs_nothing_of_the_users),
      TEST(help_knows_the_commands),
      TEST(commands_change_things_and_answer),
      TEST(endless_lines_are_cancelled_from_another_thread),
      TEST(a_line_that_waits_for_a_command_is_cancelled),
      TEST(a_line_cancelled_before_it_began_does_not_run),
      TEST(lines_are_cut_at_the_end_of_their_budget),
      TEST(a_line_that_takes_all_memory_begins_the_session_anew),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
