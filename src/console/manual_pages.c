/* coxswain.lua(5), made from the schema of the configuration, and coxswain-scripts(7), made from the authors' guide. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "console/manual.h"

enum { GUIDE_MAX = 1 << 20 };

static const char *text_of(const json_t *object, const char *key) {
  const char *const text = json_string_value(json_object_get(object, key));
  return text != NULL ? text : "";
}

static void add_key(struct cox_buf *out, const json_t *key) {
  const bool is_top = strchr(text_of(key, "path"), '.') == NULL, is_group = json_is_true(json_object_get(key, "is_group"));
  const char *const help = text_of(key, "help"), *const fallback = text_of(key, "default"), *const kind = text_of(key, "only_kind");
  if (is_top && is_group) cox_troff_line(out, ".SS", text_of(key, "path"));
  else cox_buf_addf(out, ".TP\n");
  if (!is_top || !is_group) cox_troff_line(out, ".B", text_of(key, "path"));
  cox_troff_line(out, NULL, *help != '\0' ? help : "(nobody said what this is for)");
  if (is_group) return;
  cox_buf_addf(out, ".br\n");
  cox_troff_text(out, "Accepted: ");
  cox_troff_text(out, text_of(key, "accepted"));
  cox_troff_text(out, *fallback != '\0' ? ". Default: " : ". No default");
  cox_troff_text(out, fallback);
  cox_buf_addf(out, ".");
  if (*kind != '\0') cox_buf_addf(out, " Only for feed.kind \\(dq%s\\(dq.", kind);
  cox_buf_addf(out, "\n");
}

static const char before_keys[] =
    ".SH NAME\ncoxswain.lua \\- the configuration of coxswain(1)\n"
    ".SH SYNOPSIS\n\\fB/etc/coxswain/coxswain.lua\\fR\n"
    ".SH DESCRIPTION\nA Lua file that returns one table. It runs once, in a sandbox with a budget of one second, and may compute what it "
    "returns. Paths in it are relative to its folder. Unknown keys and wrong values are errors: \\fBcoxswain check \\-c\\fR \\fIFILE\\fR lists "
    "all of them, with their lines. \\fBcoxswain init\\fR \\fIDIR\\fR writes one with comments.\n"
    ".PP\nOne key is laid over by \\fB\\-D\\fR \\fIkey\\fR\\fB=\\fR\\fIvalue\\fR, or by the environment: COXSWAIN_ADMIN__LISTEN is admin.listen.\n"
    ".SH EXAMPLE\n.nf\n"
    "return {\n"
    "  participant  = { address = \\(dqgonka1example\\(dq, pubkey = \\(dqAexample\\(dq },\n"
    "  callback_url = \\(dqhttp://10.0.0.5:9100\\(dq,\n"
    "  nodes        = \\(dqnode\\-config.json\\(dq,\n"
    "  feed         = { kind = \\(dqcometbft\\(dq, rpc = \\(dqhttp://127.0.0.1:26657\\(dq, rest = \\(dqhttp://127.0.0.1:1317\\(dq },\n"
    "}\n.fi\n.SH KEYS\n";

static const char after_keys[] =
    ".SH NODES\nAn entry of the list of nodes has \\fBid\\fR, \\fBhost\\fR, \\fBinference_port\\fR, \\fBpoc_port\\fR, \\fBmax_concurrent\\fR and "
    "\\fBmodels\\fR (from the model's name to { args = {\\&...} }); and if wanted \\fBinference_segment\\fR, \\fBpoc_segment\\fR, "
    "\\fBhardware\\fR (a list of { type, count }), \\fBversion\\fR and \\fBkind\\fR, the driver.\n"
    ".SH SIGNALS\nSIGHUP: the nodes file, the scripts and certificates are read again. Other changes need a restart.\n"
    ".SH SEE ALSO\n\\fBcoxswain\\fR(1), \\fBcoxswain\\-scripts\\fR(7)\n";

int cox_manual_config(const struct cox_cli_env *env, const char *program, struct cox_buf *out) {
  json_t *const keys = env->describe_config != NULL ? env->describe_config() : NULL;
  if (keys == NULL) return cox_cli_fail(program, "this program does not know its configuration");
  cox_buf_addf(out, ".TH COXSWAIN.LUA 5 \"\" \"coxswain " COX_VERSION "\" \"File Formats\"\n%s", before_keys);
  size_t i;
  json_t *key;
  json_array_foreach(keys, i, key) add_key(out, key);
  cox_buf_addf(out, "%s", after_keys);
  json_decref(keys);
  return COX_EXIT_DONE;
}

/* ---- for authors ---- */

static int read_guide(const char *program, const char *folder, struct cox_buf *text) {
  char path[PATH_MAX + 16], block[16384];
  snprintf(path, sizeof path, "%s/README.md", folder);
  FILE *const file = fopen(path, "re");
  if (file == NULL) return cox_cli_fail(program, "the guide %s cannot be read: %s", path, strerror(errno));
  for (size_t count; (count = fread(block, 1, sizeof block, file)) > 0;) cox_buf_add(text, block, count);
  fclose(file);
  return text->data != NULL ? COX_EXIT_DONE : cox_cli_fail(program, "the guide %s is empty", path);
}

int cox_manual_scripts(const struct cox_cli_env *env, const char *program, struct cox_buf *out) {
  char folder[PATH_MAX];
  struct cox_err err;
  struct cox_buf text = {.limit = GUIDE_MAX};
  if (env->find_scripts == NULL || env->find_scripts(folder, sizeof folder, &err) != 0) {
    return cox_cli_fail(program, "%s", env->find_scripts != NULL ? err.text : "this program has no scripts");
  }
  const int exit_code = read_guide(program, folder, &text);
  if (exit_code == COX_EXIT_DONE) {
    cox_buf_addf(out, ".TH COXSWAIN\\-SCRIPTS 7 \"\" \"coxswain " COX_VERSION "\" \"Miscellaneous\"\n"
                      ".SH NAME\ncoxswain\\-scripts \\- policy, commands, drivers and jobs of coxswain(1)\n.SH DESCRIPTION\n");
    cox_troff_markdown(out, text.data);
    cox_buf_addf(out, ".SH SEE ALSO\n\\fBcoxswain\\fR(1), \\fBcoxswain.lua\\fR(5)\n");
  }
  cox_buf_fini(&text);
  return exit_code;
}
