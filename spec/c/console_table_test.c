/* Text of unknown origin, and tables: nothing acts on the terminal, nothing is wider than it. */
#include "console_fake.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "console/moment.h"
#include "console/table.h"
#include "console/text.h"

static struct cox_buf buf;

static int setup(void **state) {
  (void)state;
  buf = (struct cox_buf){0};
  return 0;
}

static int teardown(void **state) {
  (void)state;
  cox_buf_fini(&buf);
  return 0;
}

static const char *clean(const char *text) {
  cox_buf_clear(&buf);
  assert_true(cox_text_clean(&buf, text));
  return buf.data;
}

static void control_characters_are_shown_and_never_passed_on(void **state) {
  (void)state;
  assert_string_equal(clean("plain"), "plain");
  assert_string_equal(clean("\x1b[31mred\x07\n\r\t\x7f"), "\\x1b[31mred\\x07\\n\\r\\t\\x7f");
  assert_string_equal(clean("\xc2\x9b" "31m"), "\\u009b31m");                     /* CSI as one C1 character */
  assert_string_equal(clean("a\xe2\x80\xae" "b"), "a\\u202eb");                   /* right-to-left override */
  assert_string_equal(clean("\xff\xc0\x80\xed\xa0\x80"), "\\xff\\xc0\\x80\\xed\\xa0\\x80"); /* no UTF-8: overlong, surrogate */
  assert_string_equal(clean("\xe2\x82"), "\\xe2\\x82");                           /* cut in the middle */
  assert_string_equal(clean("Zoë 節点 👍"), "Zoë 節点 👍");
  assert_string_equal(clean(""), "");
  assert_string_equal(clean(NULL), "");
}

/* Whatever bytes come, what goes out is printable. */
static void random_bytes_come_out_harmless(void **state) {
  (void)state;
  uint64_t random = 88172645463325252u;
  for (int round = 0; round < 2000; round++) {
    char text[65];
    for (size_t i = 0; i < 64; i++) {
      random ^= random << 13, random ^= random >> 7, random ^= random << 17;
      text[i] = (char)(random % 255 + 1);
    }
    text[64] = '\0';
    for (const char *at = clean(text); *at != '\0';) {
      uint32_t code;
      assert_true(cox_text_next(&at, &code));
      assert_false(cox_text_is_harmful(code));
    }
  }
}

static void widths_are_counted_in_columns(void **state) {
  (void)state;
  assert_int_equal(cox_text_width("node1"), 5);
  assert_int_equal(cox_text_width("é"), 1);
  assert_int_equal(cox_text_width("e\xcc\x81"), 1); /* e and a combining accent */
  assert_int_equal(cox_text_width("節点"), 4);
  assert_int_equal(cox_text_width("👍"), 2);
  assert_int_equal(cox_text_width("…"), 1);
}

static const char *cut(const char *text, int columns, int taken) {
  cox_buf_clear(&buf);
  assert_int_equal(cox_text_cut(&buf, text, columns), taken);
  return buf.data;
}

static void what_is_too_long_ends_in_an_ellipsis(void **state) {
  (void)state;
  assert_string_equal(cut("inference", 9, 9), "inference");
  assert_string_equal(cut("inference", 5, 5), "infe…");
  assert_string_equal(cut("inference", 1, 1), "…");
  assert_string_equal(cut("節点節点", 6, 5), "節点…");
  assert_string_equal(cut("節点", 4, 4), "節点");
  assert_string_equal(cut("節点", 2, 1), "…");
}

static const char *wrap(const char *text, int indent, int width) {
  cox_buf_clear(&buf);
  cox_buf_addf(&buf, "%s", "");
  cox_text_wrap(&buf, text, indent, width);
  return buf.data;
}

static void long_texts_wrap_at_words_and_break_only_where_they_must(void **state) {
  (void)state;
  assert_string_equal(wrap("one two three", 2, 10), "one two\n  three");
  assert_string_equal(wrap("one two three", 2, 0), "one two three");
  assert_string_equal(wrap("abcdefgh", 0, 4), "abcd\nefgh");
  assert_string_equal(wrap("節点節", 9, 10), "節\n         点\n         節"); /* one column is left for two */
  assert_string_equal(wrap("", 4, 10), "");
}

static void ages_and_times(void **state) {
  (void)state;
  char age[COX_MOMENT_AGE];
  assert_string_equal(cox_moment_age(-5, age), "0.0s");
  assert_string_equal(cox_moment_age(3210, age), "3.2s");
  assert_string_equal(cox_moment_age(59999, age), "59s");
  assert_string_equal(cox_moment_age(723000, age), "12m03s");
  assert_string_equal(cox_moment_age(11520000, age), "3h12m");
  assert_string_equal(cox_moment_age(360000000, age), "4d04h");
  assert_true(strlen(cox_moment_age(INT64_MAX, age)) < COX_MOMENT_AGE);
  assert_true(cox_moment_parse("2026-01-02T03:04:05.000Z") == CONSOLE_NOW_MS);
  assert_true(cox_moment_parse("2026-01-02T03:04:05.678Z") == CONSOLE_NOW_MS + 678);
  assert_true(cox_moment_parse("yesterday") == 0);
  assert_true(cox_moment_parse("2026-01-02T03:04:05.678Zx") == 0);
  assert_true(cox_moment_parse(NULL) == 0);
}

/* ---- tables ---- */

static const struct cox_column columns[] = {
    {.title = "NODE", .least = 8},
    {.title = "STATUS"},
    {.title = "AGE", .rank = 2, .is_right = true},
    {.title = "FAILURE", .least = 10, .rank = 1},
};

static struct cox_table *filled(void) {
  struct cox_table *const table = cox_table_create(columns, 4);
  assert_non_null(table);
  const struct cox_cell rows[][4] = {
      {{"node1", 0}, {"INFERENCE", COX_STYLE_GOOD}, {"3.2s", 0}, {"", 0}},
      {{"a-node-with-a-long-name", 0}, {"FAILED", COX_STYLE_BAD}, {"12m03s", 0}, {"POST /api/v1/stop: 500 Internal Server Error", 0}},
      {{"\x1b[2J節点", 0}, {"POC/GENERATING", 0}, {NULL, 0}, {"", 0}},
  };
  for (size_t i = 0; i < 3; i++) assert_true(cox_table_add(table, rows[i]));
  return table;
}

static const char *rendered(int width, bool has_colour) {
  const struct cox_term term = {.is_terminal = width > 0, .has_colour = has_colour, .width = width};
  struct cox_table *const table = filled();
  cox_buf_clear(&buf);
  cox_table_render(table, &term, &buf);
  cox_table_destroy(table);
  return buf.data;
}

static void off_the_terminal_a_table_is_aligned_text_without_tabs_and_nothing_is_cut(void **state) {
  (void)state;
  assert_string_equal(rendered(0, false),
                      "NODE                     STATUS             AGE  FAILURE\n"
                      "node1                    INFERENCE         3.2s\n"
                      "a-node-with-a-long-name  FAILED          12m03s  POST /api/v1/stop: 500 Internal Server Error\n"
                      "\\x1b[2J節点              POC/GENERATING\n");
}

static void on_a_terminal_the_widest_columns_are_cut(void **state) {
  (void)state;
  assert_string_equal(rendered(60, false),
                      "NODE               STATUS             AGE  FAILURE\n"
                      "node1              INFERENCE         3.2s\n"
                      "a-node-with-a-lo…  FAILED          12m03s  POST /api/v1/sto…\n"
                      "\\x1b[2J節点        POC/GENERATING\n");
}

static void on_a_narrow_terminal_columns_are_left_out_by_rank(void **state) {
  (void)state;
  assert_string_equal(rendered(36, false),
                      "NODE      STATUS          FAILURE\n"
                      "node1     INFERENCE\n"
                      "a-node-…  FAILED          POST /api…\n"
                      "\\x1b[2J…  POC/GENERATING\n");
  assert_string_equal(rendered(24, false),
                      "NODE      STATUS\n"
                      "node1     INFERENCE\n"
                      "a-node-…  FAILED\n"
                      "\\x1b[2J…  POC/GENERATING\n");
}

static int widest_line(const char *text) {
  int widest = 0;
  char *const copy = strdup(text);
  char *rest = NULL;
  for (char *line = strtok_r(copy, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
    const int width = cox_text_width(line);
    if (width > widest) widest = width;
  }
  free(copy);
  return widest;
}

static void no_line_is_ever_wider_than_the_terminal(void **state) {
  (void)state;
  for (int width = 1; width < 120; width++) assert_true(widest_line(rendered(width, false)) <= width);
}

static void colours_stand_around_the_text_and_not_around_the_spaces(void **state) {
  (void)state;
  assert_non_null(strstr(rendered(0, true), "node1                    \x1b[32mINFERENCE\x1b[0m         3.2s\n"));
  assert_null(strchr(rendered(0, false), '\x1b'));
}

static void columns_that_say_nothing_are_the_first_to_go(void **state) {
  (void)state;
  const struct cox_term term = {.is_terminal = true, .width = 24};
  struct cox_table *const table = cox_table_create(columns, 4);
  const struct cox_cell cells[] = {{"node1", 0}, {"INFERENCE", 0}, {"3.2s", 0}, {"", 0}};
  assert_true(cox_table_add(table, cells));
  cox_table_render(table, &term, &buf);
  assert_string_equal(buf.data, "NODE   STATUS      AGE\nnode1  INFERENCE  3.2s\n");
  cox_table_destroy(table);
}

static void a_table_without_rows_is_its_title(void **state) {
  (void)state;
  const struct cox_term term = {0};
  struct cox_table *const table = cox_table_create(columns, 4);
  cox_table_render(table, &term, &buf);
  assert_string_equal(buf.data, "NODE  STATUS  AGE  FAILURE\n");
  cox_table_destroy(table);
  cox_table_destroy(NULL);
}

static void a_thousand_rows_are_laid_out(void **state) {
  (void)state;
  const struct cox_term term = {.is_terminal = true, .width = 40};
  struct cox_table *const table = cox_table_create(columns, 4);
  for (int i = 0; i < 1000; i++) {
    char id[32];
    snprintf(id, sizeof id, "node%d", i);
    const struct cox_cell cells[] = {{id, 0}, {"INFERENCE", 0}, {"1.0s", 0}, {"x", 0}};
    assert_true(cox_table_add(table, cells));
  }
  cox_table_render(table, &term, &buf);
  size_t lines = 0;
  for (const char *at = buf.data; *at != '\0'; at++) lines += *at == '\n';
  assert_int_equal(lines, 1001);
  cox_table_destroy(table);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
  const struct CMUnitTest tests[] = {
      TEST(control_characters_are_shown_and_never_passed_on),
      TEST(random_bytes_come_out_harmless),
      TEST(widths_are_counted_in_columns),
      TEST(what_is_too_long_ends_in_an_ellipsis),
      TEST(long_texts_wrap_at_words_and_break_only_where_they_must),
      TEST(ages_and_times),
      TEST(off_the_terminal_a_table_is_aligned_text_without_tabs_and_nothing_is_cut),
      TEST(on_a_terminal_the_widest_columns_are_cut),
      TEST(on_a_narrow_terminal_columns_are_left_out_by_rank),
      TEST(no_line_is_ever_wider_than_the_terminal),
      TEST(colours_stand_around_the_text_and_not_around_the_spaces),
      TEST(columns_that_say_nothing_are_the_first_to_go),
      TEST(a_table_without_rows_is_its_title),
      TEST(a_thousand_rows_are_laid_out),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
