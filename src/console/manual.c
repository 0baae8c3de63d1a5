/* `coxswain man`: coxswain(1), made from the command table. */
#include <stdio.h>
#include <string.h>

#include "console/client_commands.h"
#include "console/text.h"

static int run(void *ctx, int argc, char **argv);

const struct cox_cli_entry cox_cli_man = {
    .name = "man",
    .synopsis = "",
    .summary = "Prints the manual page coxswain(1)",
    .detail = "To read it:  coxswain man | man -l -",
    .run = run,
};

/* ---- troff ---- */

/* Text as troff reads it: nothing in it is a request, hyphens can be copied, other alphabets by their numbers. */
static void add_text(struct cox_buf *out, const char *text) {
  bool is_line_start = true;
  while (*text != '\0') {
    const char *const start = text;
    uint32_t code;
    cox_text_next(&text, &code);
    if (is_line_start && (code == '.' || code == '\'')) cox_buf_addf(out, "\\&");
    if (code == '-') cox_buf_addf(out, "\\-");
    else if (code == '\\') cox_buf_addf(out, "\\e");
    else if (code >= 0x80) cox_buf_addf(out, "\\[u%04X]", (unsigned)code);
    else cox_buf_add(out, start, (size_t)(text - start));
    is_line_start = code == '\n';
  }
}

static void add_line(struct cox_buf *out, const char *request, const char *text) {
  if (request != NULL) cox_buf_addf(out, "%s ", request);
  add_text(out, text);
  cox_buf_addf(out, "\n");
}

/* Lines that are indented are shown as they stand. */
static void add_detail(struct cox_buf *out, const char *detail) {
  bool is_filled = true;
  while (*detail != '\0') {
    char line[512];
    const size_t len = strcspn(detail, "\n");
    snprintf(line, sizeof line, "%.*s", (int)len, detail);
    const bool is_code = line[0] == ' ';
    if (is_code == is_filled) cox_buf_addf(out, is_code ? ".nf\n" : ".fi\n");
    is_filled = !is_code;
    if (len == 0) cox_buf_addf(out, ".PP\n");
    else add_line(out, NULL, line);
    detail += len + (detail[len] == '\n');
  }
  if (!is_filled) cox_buf_addf(out, ".fi\n");
}

static void add_options(struct cox_buf *out, const struct cox_cli_option *options) {
  for (; options != NULL && options->name != NULL; options++) {
    cox_buf_addf(out, ".TP\n");
    if (options->letter != '\0') cox_buf_addf(out, "\\fB\\-%c\\fR, ", options->letter);
    cox_buf_addf(out, "\\fB\\-\\-");
    add_text(out, options->name);
    cox_buf_addf(out, "\\fR");
    if (options->arg != NULL) cox_buf_addf(out, " \\fI");
    if (options->arg != NULL) add_text(out, options->arg);
    cox_buf_addf(out, "%s\n", options->arg != NULL ? "\\fR" : "");
    add_line(out, NULL, options->help);
  }
}

static void add_entry(struct cox_buf *out, const char *parent, const struct cox_cli_entry *entry) {
  cox_buf_addf(out, ".SS \"");
  add_text(out, parent);
  if (*parent != '\0') cox_buf_addf(out, " ");
  add_text(out, entry->name);
  cox_buf_addf(out, "\"\n");
  if (entry->run != NULL) {
    cox_buf_addf(out, "\\fBcoxswain %s%s", parent, *parent != '\0' ? " " : "");
    add_text(out, entry->name);
    cox_buf_addf(out, "\\fR ");
    add_text(out, entry->synopsis != NULL ? entry->synopsis : "");
    cox_buf_addf(out, "\n.PP\n");
  }
  add_text(out, entry->summary);
  cox_buf_addf(out, ".\n");
  if (entry->detail != NULL) cox_buf_addf(out, ".PP\n");
  if (entry->detail != NULL) add_detail(out, entry->detail);
  add_options(out, entry->options);
  for (size_t i = 0; i < entry->child_count; i++) add_entry(out, entry->name, &entry->children[i]);
}

/* ---- what the table does not say ---- */

static const char *const environment[][2] = {
    {"COXSWAIN_SOCKET, COXSWAIN_ADMIN, COXSWAIN_CONFIG, COXSWAIN_TOKEN", "Where clients find the daemon, and its bearer token."},
    {"COXSWAIN_<KEY>", "One key of the configuration, as COXSWAIN_ADMIN__LISTEN for admin.listen."},
    {"NO_COLOR", "No colours."},
    {"XDG_STATE_HOME", "The history of the console is in coxswain/history below it (~/.local/state)."},
    {"NOTIFY_SOCKET, WATCHDOG_USEC", "Set by service managers, as in sd_notify(3)."},
};

static const char *const files[][2] = {
    {"./coxswain.lua, /etc/coxswain/coxswain.lua", "The configuration, when none is named."},
    {"coxswain.sock", "The control socket (admin.socket), beside the configuration unless said otherwise; for the daemon's user and root."},
};

static const char *const exits[][2] = {{"0", "Done."}, {"1", "Failed."}, {"2", "Wrong usage."}, {"3", "No daemon reachable."}};

static void add_pairs(struct cox_buf *out, const char *title, const char *const pairs[][2], size_t count) {
  add_line(out, ".SH", title);
  for (size_t i = 0; i < count; i++) {
    cox_buf_addf(out, ".TP\n");
    add_line(out, ".B", pairs[i][0]);
    add_line(out, NULL, pairs[i][1]);
  }
}

static void add_page(struct cox_buf *out, const struct cox_cli_entry *entries, size_t count) {
  cox_buf_addf(out, ".TH COXSWAIN 1 \"\" \"coxswain " COX_VERSION "\" \"User Commands\"\n.SH NAME\n"
                    "coxswain \\- keeps a fleet of ML nodes in the state that the network's phase asks for\n"
                    ".SH SYNOPSIS\n\\fBcoxswain\\fR \\fISUBCOMMAND\\fR [options]\n.SH DESCRIPTION\n"
                    "A broker daemon and its clients. Mechanism is built in; every decision is a Lua script that can be edited while the daemon runs. "
                    "Data goes to standard output, diagnostics to standard error.\n.SH SUBCOMMANDS\n");
  for (size_t i = 0; i < count; i++) add_entry(out, "", &entries[i]);
  cox_buf_addf(out, ".SH FINDING THE DAEMON\nClient subcommands take these options; then the environment is asked, then the files below, then "
                    "http://127.0.0.1:9200.\n");
  add_options(out, cox_cli_client_options);
  add_pairs(out, "ENVIRONMENT", environment, sizeof environment / sizeof *environment);
  add_pairs(out, "FILES", files, sizeof files / sizeof *files);
  add_pairs(out, "EXIT STATUS", exits, sizeof exits / sizeof *exits);
}

static int run(void *ctx, int argc, char **argv) {
  struct cox_cli_args args;
  int exit_code = COX_EXIT_DONE;
  if (!cox_cli_args_parse(&args, &cox_cli_man, 0, 0, argc, argv, &exit_code)) return exit_code;
  const struct cox_cli_env *const env = ctx;
  struct cox_buf out = {0};
  add_page(&out, env->entries, env->entry_count);
  fputs(out.data, stdout);
  cox_buf_fini(&out);
  cox_cli_args_fini(&args);
  return COX_EXIT_DONE;
}
