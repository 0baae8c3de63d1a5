#include "console/cli_help.h"

#include <stdio.h>
#include <string.h>

#include "console/text.h"

enum { WIDTH = 100, TEXT_MAX = 96, LEFT_MAX = 36 /* an option that is wider has a line of its own */ };

static int widest(const struct cox_cli_entry *entries, size_t count) {
  int width = 0;
  for (size_t i = 0; i < count; i++) {
    if ((int)strlen(entries[i].name) > width) width = (int)strlen(entries[i].name);
  }
  return width;
}

static void add_line(struct cox_buf *out, const char *left, int width, const char *right) {
  const bool is_wide = (int)strlen(left) > width;
  if (is_wide) cox_buf_addf(out, "  %s\n", left);
  cox_buf_addf(out, "  %-*s  ", width, is_wide ? "" : left);
  cox_text_wrap(out, right, width + 4, WIDTH);
  cox_buf_add(out, "\n", 1);
}

void cox_cli_help_group(struct cox_buf *out, const char *path, const struct cox_cli_entry *parent,
                        const struct cox_cli_entry *entries, size_t count) {
  const int width = widest(entries, count);
  cox_buf_addf(out, "Usage: %s SUBCOMMAND [options]\n\n", path);
  cox_text_wrap(out, parent != NULL ? parent->summary : "Keeps a fleet of ML nodes in the state that the network's phase asks for", 0, WIDTH);
  cox_buf_addf(out, ".\n\n");
  for (size_t i = 0; i < count; i++) add_line(out, entries[i].name, width, entries[i].summary);
  cox_buf_addf(out, "\n`%s SUBCOMMAND --help` tells more about one of them", path);
  cox_buf_addf(out, parent != NULL ? ".\n" : "; `%s --version` prints the version.\n", path);
  if (parent == NULL) cox_buf_addf(out, "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 no daemon reachable.\n");
}

static void name_option(const struct cox_cli_option *option, char text[TEXT_MAX]) {
  const char *const arg = option->arg != NULL ? option->arg : "", *const space = option->arg != NULL ? " " : "";
  if (option->letter != '\0') snprintf(text, TEXT_MAX, "-%c, --%s%s%s", option->letter, option->name, space, arg);
  else snprintf(text, TEXT_MAX, "    --%s%s%s", option->name, space, arg);
}

static int widest_option(const struct cox_cli_option *options, int width) {
  for (; options != NULL && options->name != NULL; options++) {
    char text[TEXT_MAX];
    name_option(options, text);
    if ((int)strlen(text) > width && strlen(text) <= LEFT_MAX) width = (int)strlen(text);
  }
  return width;
}

static void add_options(struct cox_buf *out, const struct cox_cli_option *options, int width) {
  for (; options != NULL && options->name != NULL; options++) {
    char text[TEXT_MAX];
    name_option(options, text);
    add_line(out, text, width, options->help);
  }
}

/* Paragraphs are filled; what is indented (an example) and empty lines stand as they are. */
static void add_detail(struct cox_buf *out, const char *detail) {
  while (*detail != '\0') {
    struct cox_buf text = {0};
    const bool is_filled = *detail != ' ' && *detail != '\n';
    do {
      const size_t len = strcspn(detail, "\n");
      cox_buf_addf(&text, "%s%.*s", text.len > 0 ? " " : "", (int)len, detail);
      detail += len + (detail[len] == '\n');
    } while (is_filled && *detail != '\0' && *detail != ' ' && *detail != '\n');
    if (is_filled) cox_text_wrap(out, text.data, 0, WIDTH);
    else cox_buf_addf(out, "%s", text.data != NULL ? text.data : "");
    cox_buf_addf(out, "\n");
    cox_buf_fini(&text);
  }
}

void cox_cli_help_entry(struct cox_buf *out, const char *path, const struct cox_cli_entry *entry) {
  const struct cox_cli_option help = {.name = "help", .letter = 'h', .help = "prints this"};
  char text[TEXT_MAX];
  name_option(&help, text);
  const struct cox_cli_option *const finding = entry->is_client ? cox_cli_client_options : NULL;
  const int width = widest_option(finding, widest_option(entry->options, (int)strlen(text)));
  cox_buf_addf(out, "Usage: %s%s%s\n\n%s.\n", path, *entry->synopsis != '\0' ? " " : "", entry->synopsis, entry->summary);
  if (entry->detail != NULL) cox_buf_addf(out, "\n");
  if (entry->detail != NULL) add_detail(out, entry->detail);
  cox_buf_addf(out, "\nOptions:\n");
  add_options(out, entry->options, width);
  add_line(out, text, width, help.help);
  if (!entry->is_client) return;
  cox_buf_addf(out, "\nFinding the daemon:\n");
  add_options(out, finding, width);
  cox_buf_addf(out, "\n");
  add_detail(out, "In this order: the options above; COXSWAIN_SOCKET, COXSWAIN_ADMIN, COXSWAIN_CONFIG, COXSWAIN_TOKEN of the environment; "
                  "./coxswain.lua; /etc/coxswain/coxswain.lua; http://127.0.0.1:9200.");
}
