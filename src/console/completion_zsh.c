/* The completion of zsh. */
#include <string.h>

#include "console/completion.h"

/* 'name:help', in single quotes. */
static void add_described(struct cox_buf *out, const char *name, const char *help) {
  struct cox_buf text = {0};
  cox_completion_escape(&text, help, ":\\", "\\");
  cox_buf_addf(out, " '%s:", name);
  for (const char *at = text.data != NULL ? text.data : ""; *at != '\0'; at++) {
    if (*at == '\'') cox_buf_addf(out, "'\\''");
    else cox_buf_add(out, at, 1);
  }
  cox_buf_addf(out, "'");
  cox_buf_fini(&text);
}

static void add_option(void *arg, const struct cox_cli_option *option) {
  struct cox_buf name = {0};
  cox_buf_addf(&name, "--%s", option->name);
  add_described(arg, name.data, option->help);
  cox_buf_fini(&name);
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

static void add_case(void *arg, const char *path, const struct cox_cli_entry *entry) {
  struct cox_buf *const out = arg;
  static const char *const asked[] = {
      "", " found=(${(f)\"$(coxswain completion nodes 2>/dev/null)\"});", " found=(${(f)\"$(coxswain completion commands 2>/dev/null)\"});"};
  cox_buf_addf(out, "    \"%s%s%s\")%s words_=(", path, *path != '\0' ? " " : "", entry->name, asked[cox_completion_kind(entry)]);
  for (size_t i = 0; i < entry->child_count; i++) add_described(out, entry->children[i].name, entry->children[i].summary);
  if (entry->child_count == 0) cox_completion_options(entry, add_option, out);
  if (strcmp(entry->name, "completion") == 0) cox_buf_addf(out, " bash zsh fish");
  cox_buf_addf(out, " ) ;;\n");
}

static void add_path(void *arg, const char *path, const struct cox_cli_entry *entry) {
  cox_buf_addf(arg, "|\"%s%s%s\"", path, *path != '\0' ? " " : "", entry->name);
}

void cox_completion_zsh(struct cox_buf *out, const struct cox_cli_entry *entries, size_t count) {
  cox_buf_addf(out, "#compdef coxswain\n# zsh completion of coxswain, made by `coxswain completion zsh`\n"
                    "_coxswain() {\n  local path_=\"\" i\n  local -a words_ found\n"
                    "  for ((i = 2; i < CURRENT; i++)); do\n    case \"${path_:+$path_ }${words[i]}\" in\n      \"\"");
  cox_completion_each(entries, count, add_path, out);
  cox_buf_addf(out, ") path_=${path_:+$path_ }${words[i]} ;;\n    esac\n  done\n  case \"${words[CURRENT-1]}\" in\n    --no-such-option");
  cox_completion_each(entries, count, add_files, out);
  cox_buf_addf(out, ") _files; return ;;\n  esac\n  case \"$path_\" in\n    \"\") words_=(");
  for (size_t i = 0; i < count; i++) add_described(out, entries[i].name, entries[i].summary);
  cox_buf_addf(out, " ) ;;\n");
  cox_completion_each(entries, count, add_case, out);
  cox_buf_addf(out, "  esac\n  (( $#found )) && compadd -a found\n  _describe -V coxswain words_\n}\n"
                    "if [[ $zsh_eval_context[-1] == loadautofunc ]]; then _coxswain \"$@\"; else compdef _coxswain coxswain; fi\n");
}
