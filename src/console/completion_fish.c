/* The completion of fish. */
#include <string.h>

#include "console/completion.h"

struct writing {
  struct cox_buf *out;
  const char *condition; /* when the words of this entry are offered */
};

static void add_quoted(struct cox_buf *out, const char *text) {
  cox_buf_addf(out, "'");
  cox_completion_escape(out, text, "'\\", "\\");
  cox_buf_addf(out, "'");
}

static void add_option(void *arg, const struct cox_cli_option *option) {
  const struct writing *const writing = arg;
  cox_buf_addf(writing->out, "complete -c coxswain -n '%s' -l %s", writing->condition, option->name);
  if (option->letter != '\0') cox_buf_addf(writing->out, " -s %c", option->letter);
  if (option->arg != NULL) cox_buf_addf(writing->out, cox_completion_is_file(option) ? " -r -F" : " -x");
  cox_buf_addf(writing->out, " -d ");
  add_quoted(writing->out, option->help);
  cox_buf_addf(writing->out, "\n");
}

static void add_word(const struct writing *writing, const char *word, const char *help) {
  cox_buf_addf(writing->out, "complete -c coxswain -n '%s' -a ", writing->condition);
  add_quoted(writing->out, word);
  if (help != NULL) cox_buf_addf(writing->out, " -d ");
  if (help != NULL) add_quoted(writing->out, help);
  cox_buf_addf(writing->out, "\n");
}

/* The entry's name where it may stand, and what may follow it. */
static void add_entry(void *arg, const char *path, const struct cox_cli_entry *entry) {
  struct cox_buf condition = {0};
  struct writing writing = {.out = arg, .condition = "__fish_use_subcommand"};
  if (*path != '\0') cox_buf_addf(&condition, "__fish_seen_subcommand_from %s", path);
  if (*path != '\0') writing.condition = condition.data;
  add_word(&writing, entry->name, entry->summary);
  cox_buf_fini(&condition);
  if (entry->child_count > 0) return;
  if (*path == '\0') cox_buf_addf(&condition, "__fish_seen_subcommand_from %s", entry->name);
  else cox_buf_addf(&condition, "__fish_seen_subcommand_from %s; and __fish_seen_subcommand_from %s", path, entry->name);
  writing.condition = condition.data;
  cox_completion_options(entry, add_option, &writing);
  if (cox_completion_kind(entry) == COX_COMPLETION_NODES) add_word(&writing, "(coxswain completion nodes 2>/dev/null)", NULL);
  if (cox_completion_kind(entry) == COX_COMPLETION_COMMANDS) add_word(&writing, "(coxswain completion commands 2>/dev/null)", NULL);
  if (strcmp(entry->name, "completion") == 0) add_word(&writing, "bash zsh fish", NULL);
  cox_buf_fini(&condition);
}

void cox_completion_fish(struct cox_buf *out, const struct cox_cli_entry *entries, size_t count) {
  cox_buf_addf(out, "# fish completion of coxswain, made by `coxswain completion fish`\ncomplete -c coxswain -f\n");
  cox_completion_each(entries, count, add_entry, out);
}
