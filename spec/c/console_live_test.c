/* The live view: exact frames, the plain lines for pipes, and what a real terminal gets. */
#include "console_fake.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "console/live.h"
#include "console/live_draw.h"
#include "console/live_lines.h"
#include "console/text.h"

static struct cox_buf buf;
static json_t *nodes, *world;

static int setup(void **state) {
  (void)state;
  buf = (struct cox_buf){0};
  nodes = json_array();
  world = console_world(7, 700, 705);
  unsetenv("NO_COLOR");
  setenv("TERM", "xterm", 1);
  return 0;
}

static int teardown(void **state) {
  (void)state;
  cox_buf_fini(&buf);
  json_decref(nodes);
  json_decref(world);
  return 0;
}

static json_t *add(const char *id, const char *intended, const char *current) {
  json_t *const node = console_node(id, intended, current);
  json_array_append_new(nodes, node);
  return node;
}

static const char *draw(int width, int height) {
  const struct cox_term term = {.is_terminal = true, .width = width, .height = height};
  cox_buf_clear(&buf);
  cox_live_draw(nodes, world, CONSOLE_NOW_MS, &term, &buf);
  return buf.data;
}

static void three_nodes(void) {
  console_state(add("node1", "POC/GENERATING", "POC/GENERATING"), "status_timestamp", json_string("2026-01-02T03:04:02.800Z"));
  json_t *const moving = add("node2", "POC/GENERATING", "INFERENCE");
  console_state(moving, "reconcile_info", json_pack("{ss, ss, si, ss}", "status", "POC", "poc_status", "GENERATING", "attempt", 14,
                                                    "started_at", "2026-01-02T03:04:04.000Z"));
  json_t *const failed = add("node3", "POC/GENERATING", "FAILED");
  console_state(failed, "failure_reason", json_string("POST /api/v1/stop: 500"));
  console_state(failed, "next_attempt_at", json_string("2026-01-02T03:04:09.000Z"));
  console_state(failed, "admin_state", json_pack("{sb, si}", "enabled", 0, "epoch", 7));
}

static void a_frame_shows_the_phase_its_progress_a_summary_and_each_node(void **state) {
  (void)state;
  three_nodes();
  assert_string_equal(draw(90, 24),
                      "block 705 · PoCGenerate · epoch 7 · start_poc is due\n"
                      "███████████████░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░  11 blocks to PoCGenerateWindDown (716)\n"
                      "1 of 3 converged · 1 attempt in flight · 1 failed\n"
                      "NODE   INTENDED        CURRENT         SINCE  ATTEMPT  ADMIN     FAILURE\n"
                      "node1  POC/GENERATING  POC/GENERATING   2.2s\n"
                      "node2  POC/GENERATING  INFERENCE              1.0s\n"
                      "node3  POC/GENERATING  FAILED                          disabled  next try in 4.0s: POST /…\n");
}

static void a_disable_that_ends_by_itself_says_when(void **state) {
  (void)state;
  json_t *const resting = add("node1", "STOPPED", "STOPPED");
  console_state(resting, "admin_state", json_pack("{sb, si, ss}", "enabled", 0, "epoch", 7, "expires_at", "2026-01-02T05:04:05.000Z"));
  assert_non_null(strstr(draw(90, 24), "disabled, 2h00m left"));
}

static void twenty_columns_show_what_matters_most(void **state) {
  (void)state;
  three_nodes();
  assert_string_equal(draw(20, 24),
                      "block 705 · PoCGene…\n"
                      "11 blocks to PoCGen…\n"
                      "1 of 3 converged · …\n"
                      "NODE   CURRENT\n"
                      "node1  POC/GENERATI…\n"
                      "node2  INFERENCE\n"
                      "node3  FAILED\n");
}

static void what_is_not_converged_stands_first_when_not_all_fit(void **state) {
  (void)state;
  char id[32];
  for (int i = 0; i < 1000; i++) {
    snprintf(id, sizeof id, "node%03d", i);
    const char *const current = i == 900 ? "FAILED" : i == 500 ? "INFERENCE" : i % 2 ? "POC/GENERATING" : "STOPPED";
    add(id, current, current);
  }
  json_t *const waiting = json_array_get(nodes, 500);
  console_state(waiting, "intended_status", json_string("STOPPED"));
  console_explain(waiting, "settled", json_false());
  assert_string_equal(draw(80, 9),
                      "block 705 · PoCGenerate · epoch 7 · start_poc is due\n"
                      "████████████░░░░░░░░░░░░░░░░░░░░░░░░░░░░  11 blocks to PoCGenerateWindDown (716)\n"
                      "999 of 1000 converged · 0 attempts in flight · 1 failed\n"
                      "NODE     INTENDED        CURRENT         SINCE  ATTEMPT  ADMIN  FAILURE\n"
                      "node900  FAILED          FAILED\n"
                      "node500  STOPPED         INFERENCE\n"
                      "node000  STOPPED         STOPPED\n"
                      "node001  POC/GENERATING  POC/GENERATING\n"
                      "and 996 more: 497 STOPPED, 499 POC/GENERATING\n");
}

static void a_frame_never_leaves_the_terminal(void **state) {
  (void)state;
  three_nodes();
  add("\x1b]0;owned\x07節点-with-a-name-that-is-rather-long", "INFERENCE", "\x1b[2JX");
  for (int i = 0; i < 40; i++) add("same", "INFERENCE", "INFERENCE");
  for (int width = 1; width <= 100; width += 3) {
    for (int height = 1; height <= 50; height += 7) {
      int lines = 0;
      char *const copy = strdup(draw(width, height));
      char *rest = NULL;
      for (char *line = strtok_r(copy, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest), lines++) {
        assert_true(cox_text_width(line) <= width);
        assert_null(strchr(line, '\x1b'));
      }
      free(copy);
      assert_true(lines <= height);
    }
  }
}

static void a_world_without_epoch_or_block_is_said_to_be_so(void **state) {
  (void)state;
  json_decref(world);
  world = json_object();
  assert_non_null(strstr(draw(60, 10), "no block has come yet\n"));
  json_object_set_new(world, "height", json_integer(5));
  assert_string_equal(draw(60, 2), "block 5 · phase not known · not synced\nthe next boundary is not known\n");
  json_decref(world);
  world = NULL; /* a daemon that does not tell its world */
  assert_string_equal(draw(60, 1), "0 of 0 converged · 0 attempts in flight · 0 failed\n");
}

static void the_bar_runs_from_boundary_to_boundary(void **state) {
  (void)state;
  const struct {
    int64_t height;
    const char *label;
  } cases[] = {
      {715, "1 block to PoCGenerateWindDown (716)"}, {716, "6 blocks to PoCValidate (722)"},   {722, "8 blocks to PoCValidateWindDown (730)"},
      {731, "1 block to Inference (732)"},           {732, "68 blocks to PoCGenerate (800)"}, {690, "10 blocks to PoCGenerate (700)"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    json_object_set_new(world, "height", json_integer(cases[i].height));
    assert_non_null(strstr(draw(80, 24), cases[i].label));
  }
  assert_null(strstr(draw(80, 24), "█")); /* 690: where this stretch began is not known */
  json_decref(world);
  world = console_world(0, 0, 50);
  assert_non_null(strstr(draw(56, 24), "████████████░░░░░░░░░░░░  50 blocks to PoCGenerate (100)\n"));
}

static void broken_objects_are_drawn_without_harm(void **state) {
  (void)state;
  const char *const odd[] = {"{}", "[]", "{\"node\":5,\"state\":[]}", "{\"node\":{\"id\":7},\"state\":{\"explain\":{\"target\":{}},\"attempts\":{}}}",
                             "{\"state\":{\"reconcile_info\":{\"attempt\":\"x\",\"started_at\":12},\"status_timestamp\":\"never\"}}"};
  for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) json_array_append_new(nodes, json_loads(odd[i], 0, NULL));
  assert_non_null(strstr(draw(80, 24), "of 5 converged"));
}

/* ---- lines ---- */

static const char *lines_of(struct cox_live_lines *lines, int64_t after_ms) {
  cox_buf_clear(&buf);
  cox_buf_addf(&buf, "%s", "");
  cox_live_lines_update(lines, nodes, world, CONSOLE_NOW_MS + after_ms, &buf);
  return buf.data;
}

static void on_a_pipe_each_change_is_one_line(void **state) {
  (void)state;
  struct cox_live_lines lines = {0};
  json_t *const node = add("node\x1b[1m1", "POC/GENERATING", "INFERENCE");
  assert_string_equal(lines_of(&lines, 0),
                      "2026-01-02T03:04:05.000Z phase PoCGenerate epoch 7 block 705, 11 blocks to PoCGenerateWindDown\n"
                      "2026-01-02T03:04:05.000Z node node\\x1b[1m1 INFERENCE\n"
                      "2026-01-02T03:04:05.000Z fleet block 705: 0 of 1 converged · 0 attempts in flight · 0 failed\n");
  assert_string_equal(lines_of(&lines, 1000), "");
  console_state(node, "current_status", json_string("FAILED"));
  console_state(node, "failure_reason", json_string("no\nanswer"));
  assert_string_equal(lines_of(&lines, 2000), "2026-01-02T03:04:07.000Z node node\\x1b[1m1 FAILED (was INFERENCE): no\\nanswer\n");
  assert_string_equal(lines_of(&lines, 10000), "2026-01-02T03:04:15.000Z fleet block 705: 0 of 1 converged · 0 attempts in flight · 1 failed\n");
  json_array_clear(nodes);
  add("other", "INFERENCE", "INFERENCE");
  assert_string_equal(lines_of(&lines, 11000),
                      "2026-01-02T03:04:16.000Z node other INFERENCE\n"
                      "2026-01-02T03:04:16.000Z node node\\x1b[1m1 was removed\n");
  json_decref(world);
  world = console_world(7, 700, 716);
  assert_string_equal(lines_of(&lines, 12000), "2026-01-02T03:04:17.000Z phase PoCGenerateWindDown epoch 7 block 716, 6 blocks to PoCValidate\n");
  cox_live_lines_fini(&lines);
}

static void a_thousand_nodes_on_a_pipe_are_said_once(void **state) {
  (void)state;
  struct cox_live_lines lines = {0};
  char id[32];
  for (int i = 0; i < 1000; i++) {
    snprintf(id, sizeof id, "node%d", i);
    add(id, "INFERENCE", "INFERENCE");
  }
  size_t count = 0;
  for (const char *at = lines_of(&lines, 0); *at != '\0'; at++) count += *at == '\n';
  assert_int_equal(count, 1002);
  assert_string_equal(lines_of(&lines, 1), "");
  cox_live_lines_fini(&lines);
}

/* ---- a terminal ---- */

static int open_terminal(int *master, unsigned short columns, unsigned short rows) {
  *master = posix_openpt(O_RDWR | O_NOCTTY);
  assert_true(*master >= 0);
  assert_int_equal(grantpt(*master), 0);
  assert_int_equal(unlockpt(*master), 0);
  const int slave = open(ptsname(*master), O_RDWR | O_NOCTTY);
  assert_true(slave >= 0);
  struct termios raw;
  tcgetattr(slave, &raw);
  cfmakeraw(&raw);
  tcsetattr(slave, TCSANOW, &raw);
  const struct winsize size = {.ws_col = columns, .ws_row = rows};
  assert_int_equal(ioctl(slave, TIOCSWINSZ, &size), 0);
  return slave;
}

/* What is there to be read now. */
static const char *read_terminal(int master, char *text, size_t size) {
  size_t len = 0;
  struct pollfd ready = {.fd = master, .events = POLLIN};
  while (len < size - 1 && poll(&ready, 1, len == 0 ? 10000 : 0) == 1) {
    const ssize_t count = read(master, text + len, size - 1 - len);
    if (count <= 0) break;
    len += (size_t)count;
  }
  text[len] = '\0';
  return text;
}

static void a_terminal_is_redrawn_in_place_and_gets_its_cursor_back(void **state) {
  (void)state;
  int master;
  char text[16384];
  setenv("NO_COLOR", "1", 1);
  const int slave = open_terminal(&master, 41, 8);
  struct cox_live *const live = cox_live_create(slave);
  add("node1", "INFERENCE", "INFERENCE");
  assert_true(cox_live_update(live, nodes, world, CONSOLE_NOW_MS));
  assert_string_equal(read_terminal(master, text, sizeof text),
                      "\x1b[?25lblock 705 · PoCGenerate · epoch 7 · sta…\x1b[K\r\n"
                      "11 blocks to PoCGenerateWindDown (716)\x1b[K\r\n"
                      "1 of 1 converged · 0 attempts in flight…\x1b[K\r\n"
                      "NODE   INTENDED   CURRENT\x1b[K\r\n"
                      "node1  INFERENCE  INFERENCE\x1b[K\r\n\x1b[J");
  assert_true(cox_live_update(live, nodes, world, CONSOLE_NOW_MS));
  assert_true(strncmp(read_terminal(master, text, sizeof text), "\r\x1b[5A", 5) == 0);
  const struct winsize larger = {.ws_col = 60, .ws_row = 8};
  assert_int_equal(ioctl(slave, TIOCSWINSZ, &larger), 0);
  assert_true(cox_live_update(live, nodes, world, CONSOLE_NOW_MS));
  assert_true(strncmp(read_terminal(master, text, sizeof text), "\x1b[2J\x1b[H", 7) == 0);
  cox_live_destroy(live);
  assert_string_equal(read_terminal(master, text, sizeof text), "\x1b[?25h");
  close(slave);
  close(master);
}

static void colours_go_by_the_terminal_and_the_environment(void **state) {
  (void)state;
  int master, pipes[2];
  struct cox_term term;
  const int slave = open_terminal(&master, 80, 24);
  cox_term_look(slave, &term);
  assert_true(term.is_terminal && term.has_colour && term.width == 80 && term.height == 24);
  setenv("NO_COLOR", "1", 1);
  cox_term_look(slave, &term);
  assert_true(term.is_terminal && !term.has_colour);
  setenv("TERM", "dumb", 1);
  cox_term_look(slave, &term);
  assert_true(!term.is_terminal && term.width == 80);
  setenv("TERM", "xterm", 1);
  assert_int_equal(pipe(pipes), 0);
  cox_term_look(pipes[1], &term);
  assert_true(!term.is_terminal && !term.has_colour && term.width == 0);
  close(pipes[0]), close(pipes[1]), close(slave), close(master);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
  const struct CMUnitTest tests[] = {
      TEST(a_frame_shows_the_phase_its_progress_a_summary_and_each_node),
      TEST(a_disable_that_ends_by_itself_says_when),
      TEST(twenty_columns_show_what_matters_most),
      TEST(what_is_not_converged_stands_first_when_not_all_fit),
      TEST(a_frame_never_leaves_the_terminal),
      TEST(a_world_without_epoch_or_block_is_said_to_be_so),
      TEST(the_bar_runs_from_boundary_to_boundary),
      TEST(broken_objects_are_drawn_without_harm),
      TEST(on_a_pipe_each_change_is_one_line),
      TEST(a_thousand_nodes_on_a_pipe_are_said_once),
      TEST(a_terminal_is_redrawn_in_place_and_gets_its_cursor_back),
      TEST(colours_go_by_the_terminal_and_the_environment),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
