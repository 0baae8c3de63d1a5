/* The completion of bash. */
#include <string.h>

#include "console/completion.h"

static void add_path(void *arg, const char *path, const struct cox_cli_entry *entry) {
  struct cox_buf *const out = arg;
  if (*path == '\0' || entry->name[0] != '\0') cox_buf_addf(out, "|\"%s%s%s\"", path, *path != '\0' ? " " : "", entry->name);
}

/* Words that name an entry: each path may be followed by one. */
static void add_steps(struct cox_buf *out, const struct cox_cli_entry *entries, size_t count) {
  cox_buf_addf(out, "    case \"${path:+$path }${COMP_WORDS[i]}\" in\n      \"\"");
  cox_completion_each(entries, count, add_path, out);
  cox_buf_addf(out, ") path=${path:+$path }${COMP_WORDS[i]} ;;\n    esac\n");
}

static void add_option(void *arg, const struct cox_cli_option *option) {
  struct cox_buf *const out = arg;
  cox_buf_addf(out, " --%s", option->name);
  if (option->letter != '\0') cox_buf_addf(out, " -%c", option->letter);
}

static void add_words(void *arg, const char *path, const struct cox_cli_entry *entry) {
  struct cox_buf *const out = arg;
  static const char *const asked[] = {"", " $(coxswain completion nodes 2>/dev/null)", " $(coxswain completion commands 2>/dev/null)"};
  cox_buf_addf(out, "    \"%s%s%s\") words=\"", path, *path != '\0' ? " " : "", entry->name);
  for (size_t i = 0; i < entry->child_count; i++) cox_buf_addf(out, "%s ", entry->children[i].name);
  if (entry->child_count == 0) cox_completion_options(entry, add_option, out);
  if (strcmp(entry->name, "completion") == 0) cox_buf_addf(out, " bash zsh fish");
  cox_buf_addf(out, "%s\" ;;\n", asked[cox_completion_kind(entry)]);
}

static void add_file_option(void *arg, const struct cox_cli_option *option) {
  struct cox_buf *const out = arg;
  if (!cox_completion_is_file(option)) return;
  cox_buf_addf(out, "|--%s", option->name);
  if (option->letter != '\0') cox_buf_addf(out, "|-%c", option->letter);
}

static void add_files(void *arg, const char *path, const struct cox_cli_entry *entry) {
  (void)path;
  cox_completion_options(entry, add_file_option, arg);
}

void cox_completion_bash(struct cox_buf *out, const struct cox_cli_entry *entries, size_t count) {
  cox_buf_addf(out, "# bash completion of coxswain, made by `coxswain completion bash`\n"
                    "_coxswain() {\n"
                    "  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} path=\"\" words=\"\" i\n"
                    "  for ((i = 1; i < COMP_CWORD; i++)); do\n");
  add_steps(out, entries, count);
  cox_buf_addf(out, "  done\n  case \"$prev\" in\n    --no-such-option");
  cox_completion_each(entries, count, add_files, out);
  cox_buf_addf(out, ") mapfile -t COMPREPLY < <(compgen -f -- \"$cur\"); return ;;\n  esac\n  case \"$path\" in\n    \"\") words=\"");
  for (size_t i = 0; i < count; i++) cox_buf_addf(out, "%s ", entries[i].name);
  cox_buf_addf(out, "help --help --version\" ;;\n");
  cox_completion_each(entries, count, add_words, out);
  cox_buf_addf(out, "  esac\n  mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n}\ncomplete -F _coxswain coxswain\n");
}
