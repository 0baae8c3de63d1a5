/* `coxswain man`: coxswain(1), made from the command table, and the other pages. */
#include <stdio.h>
#include <string.h>

#include "console/client_commands.h"
#include "console/manual.h"

static int run(void *ctx, int argc, char **argv);

const struct cox_cli_entry cox_cli_man = {
    .name = "man",
    .synopsis = "[coxswain|coxswain.lua|coxswain-scripts]",
    .summary = "Prints a manual page: of the program, of the configuration, or for authors of scripts",
    .detail = "To read it:  coxswain man coxswain.lua | man -l -",
    .run = run,
};

/* ---- troff ---- */

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
    else cox_troff_line(out, NULL, line);
    detail += len + (detail[len] == '\n');
  }
  if (!is_filled) cox_buf_addf(out, ".fi\n");
}

static void add_options(struct cox_buf *out, const struct cox_cli_option *options) {
  for (; options != NULL && options->name != NULL; options++) {
    cox_buf_addf(out, ".TP\n");
    if (options->letter != '\0') cox_buf_addf(out, "\\fB\\-%c\\fR, ", options->letter);
    cox_buf_addf(out, "\\fB\\-\\-");
    cox_troff_text(out, options->name);
    cox_buf_addf(out, "\\fR");
    if (options->arg != NULL) cox_buf_addf(out, " \\fI");
    if (options->arg != NULL) cox_troff_text(out, options->arg);
    cox_buf_addf(out, "%s\n", options->arg != NULL ? "\\fR" : "");
    cox_troff_line(out, NULL, options->help);
  }
}

static void add_entry(struct cox_buf *out, const char *parent, const struct cox_cli_entry *entry) {
  cox_buf_addf(out, ".SS \"");
  cox_troff_text(out, parent);
  if (*parent != '\0') cox_buf_addf(out, " ");
  cox_troff_text(out, entry->name);
  cox_buf_addf(out, "\"\n");
  if (entry->run != NULL) {
    cox_buf_addf(out, "\\fBcoxswain %s%s", parent, *parent != '\0' ? " " : "");
    cox_troff_text(out, entry->name);
    cox_buf_addf(out, "\\fR ");
    cox_troff_text(out, entry->synopsis != NULL ? entry->synopsis : "");
    cox_buf_addf(out, "\n.PP\n");
  }
  cox_troff_text(out, entry->summary);
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
  cox_troff_line(out, ".SH", title);
  for (size_t i = 0; i < count; i++) {
    cox_buf_addf(out, ".TP\n");
    cox_troff_line(out, ".B", pairs[i][0]);
    cox_troff_line(out, NULL, pairs[i][1]);
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

static int print_page(const struct cox_cli_env *env, const char *program, const char *name) {
  struct cox_buf out = {0};
  int exit_code = COX_EXIT_DONE;
  if (strcmp(name, "coxswain") == 0) add_page(&out, env->entries, env->entry_count);
  else if (strcmp(name, "coxswain.lua") == 0) exit_code = cox_manual_config(env, program, &out);
  else if (strcmp(name, "coxswain-scripts") == 0) exit_code = cox_manual_scripts(env, program, &out);
  else exit_code = cox_cli_misuse(program, "there is no page %s: coxswain, coxswain.lua and coxswain-scripts", name);
  if (exit_code == COX_EXIT_DONE) fputs(out.data, stdout);
  cox_buf_fini(&out);
  return exit_code;
}

static int run(void *ctx, int argc, char **argv) {
  struct cox_cli_args args;
  int exit_code = COX_EXIT_DONE;
  if (!cox_cli_args_parse(&args, &cox_cli_man, 0, 1, argc, argv, &exit_code)) return exit_code;
  exit_code = print_page(ctx, args.program, args.rest_count > 0 ? args.rest[0] : "coxswain");
  cox_cli_args_fini(&args);
  return exit_code;
}
