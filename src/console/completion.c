/* `coxswain completion`: prints a shell's completion; also the words that it asks for while it runs. */
#include "console/completion.h"

#include <stdio.h>
#include <string.h>

#include "console/client_commands.h"
#include "console/node_view.h"
#include "console/request.h"

enum cox_completion_kind cox_completion_kind(const struct cox_cli_entry *entry) {
  const char *const synopsis = entry->synopsis != NULL ? entry->synopsis : "";
  if (strncmp(synopsis, "ID", 2) == 0) return COX_COMPLETION_NODES;
  return strncmp(synopsis, "NAME", 4) == 0 ? COX_COMPLETION_COMMANDS : COX_COMPLETION_NONE;
}

bool cox_completion_is_file(const struct cox_cli_option *option) {
  static const char *const files[] = {"FILE", "PATH", "DIR", "P", "L"};
  for (size_t i = 0; option->arg != NULL && i < sizeof files / sizeof *files; i++) {
    if (strcmp(option->arg, files[i]) == 0) return true;
  }
  return false;
}

void cox_completion_each(const struct cox_cli_entry *entries, size_t count, void (*each)(void *arg, const char *path, const struct cox_cli_entry *entry),
                         void *arg) {
  for (size_t i = 0; i < count; i++) {
    each(arg, "", &entries[i]);
    for (size_t k = 0; k < entries[i].child_count; k++) each(arg, entries[i].name, &entries[i].children[k]);
  }
}

void cox_completion_options(const struct cox_cli_entry *entry, void (*each)(void *arg, const struct cox_cli_option *option), void *arg) {
  static const struct cox_cli_option help = {.name = "help", .letter = 'h', .help = "prints what it does"};
  const struct cox_cli_option *const lists[] = {entry->options, entry->is_client ? cox_cli_client_options : NULL};
  for (size_t i = 0; i < 2; i++) {
    for (const struct cox_cli_option *option = lists[i]; option != NULL && option->name != NULL; option++) each(arg, option);
  }
  each(arg, &help);
}

void cox_completion_escape(struct cox_buf *out, const char *text, const char *special, const char *mark) {
  for (; *text != '\0'; text++) {
    if (strchr(special, *text) != NULL) cox_buf_addf(out, "%s", mark);
    cox_buf_add(out, text, 1);
  }
}

/* ---- the subcommand ---- */

static int run(void *ctx, int argc, char **argv);

const struct cox_cli_entry cox_cli_completion = {
    .name = "completion",
    .synopsis = "bash|zsh|fish",
    .summary = "Prints the completion of a shell",
    .detail = "For bash in ~/.bashrc, for zsh and fish once:\n"
              "  source <(coxswain completion bash)\n"
              "  coxswain completion zsh >\"${fpath[1]}/_coxswain\"\n"
              "  coxswain completion fish >~/.config/fish/completions/coxswain.fish\n\n"
              "While you type, they ask `coxswain completion nodes` and `coxswain completion commands` for what a running daemon knows.",
    .run = run,
};

/* The words that the completions ask for; only they need a daemon. */
static const struct cox_cli_entry words_entry = {
    .name = "completion",
    .synopsis = "",
    .summary = "Prints the ids of a running daemon's nodes, or the names of its commands, one a line",
    .is_client = true,
    .run = run,
};

/* One line for each; words with any character that a shell could act on are left out, for the shell expands the list. Nothing is said
 * about a daemon that cannot be asked: who presses Tab does not want to hear of it.                                                  */
static int print_words(struct cox_cli_session *session, const char *path, const char *const keys[2]) {
  int exit_code;
  if (freopen("/dev/null", "w", stderr) == NULL) return COX_EXIT_FAILED;
  json_t *const list = cox_cli_fetch_list(session, path, &exit_code);
  size_t i;
  json_t *item;
  json_array_foreach(list, i, item) {
    const json_t *const object = keys[0] != NULL ? json_object_get(item, keys[0]) : item;
    const char *const word = cox_node_view_text(object, keys[1]);
    if (strspn(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.:") == strlen(word)) puts(word);
  }
  json_decref(list);
  return exit_code;
}

static int print_shell(const struct cox_cli_session *session, const char *shell) {
  struct cox_buf out = {0};
  const struct cox_cli_env *const env = session->env;
  if (strcmp(shell, "bash") == 0) cox_completion_bash(&out, env->entries, env->entry_count);
  else if (strcmp(shell, "zsh") == 0) cox_completion_zsh(&out, env->entries, env->entry_count);
  else if (strcmp(shell, "fish") == 0) cox_completion_fish(&out, env->entries, env->entry_count);
  else return cox_cli_misuse(session->args.program, "there is no completion for %s: choose bash, zsh or fish", shell);
  fputs(out.data, stdout);
  cox_buf_fini(&out);
  return COX_EXIT_DONE;
}

/* `what` is "nodes" or "commands". */
static int run_words(struct cox_cli_session *session, const char *what, int argc, char **argv) {
  char program[64];
  int exit_code;
  snprintf(program, sizeof program, "%.40s %s", argv[0], what);
  argv[1] = program; /* its own name for help and errors */
  if (!cox_cli_args_parse(&session->args, &words_entry, 0, 0, argc - 1, argv + 1, &exit_code)) return exit_code;
  exit_code = cox_cli_target_find(&session->target, session->env, &session->args);
  if (exit_code == COX_EXIT_DONE && strcmp(what, "nodes") == 0) {
    exit_code = print_words(session, "/admin/v1/nodes", (const char *const[2]){"node", "id"});
  } else if (exit_code == COX_EXIT_DONE) {
    exit_code = print_words(session, "/v1/commands", (const char *const[2]){NULL, "name"});
  }
  cox_cli_target_fini(&session->target);
  cox_cli_args_fini(&session->args);
  return exit_code;
}

static int run(void *ctx, int argc, char **argv) {
  struct cox_cli_session session = {.env = ctx};
  const char *const word = argc > 1 ? argv[1] : "";
  int exit_code;
  if (strcmp(word, "nodes") == 0 || strcmp(word, "commands") == 0) return run_words(&session, word, argc, argv);
  if (!cox_cli_args_parse(&session.args, &cox_cli_completion, 1, 1, argc, argv, &exit_code)) return exit_code;
  exit_code = print_shell(&session, session.args.rest[0]);
  cox_cli_args_fini(&session.args);
  return exit_code;
}
