#include "console/request.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "console/text.h"

enum { ANSWER_MAX = 256 << 20, FILE_MAX = 64 << 20, WORDS_MAX = 300 };

bool cox_cli_session_begin(struct cox_cli_session *session, const struct cox_cli_entry *entry, int least, int most, void *ctx,
                           int argc, char **argv, int *exit_code) {
  *session = (struct cox_cli_session){.env = ctx};
  if (!cox_cli_args_parse(&session->args, entry, least, most, argc, argv, exit_code)) return false;
  *exit_code = cox_cli_target_find(&session->target, session->env, &session->args);
  if (*exit_code == COX_EXIT_DONE) return true;
  cox_cli_args_fini(&session->args);
  return false;
}

void cox_cli_session_end(struct cox_cli_session *session) {
  cox_cli_target_fini(&session->target);
  cox_cli_args_fini(&session->args);
}

int64_t cox_cli_session_now_ms(const struct cox_cli_session *session) {
  const struct cox_clock *const clock = session->env->clock;
  return cox_clock_wall_ms(clock != NULL ? clock : cox_clock_system());
}

static int report_no_exchange(const struct cox_cli_session *session, int code, const struct cox_err *err) {
  const struct cox_cli_target *const target = &session->target;
  const char *const program = session->args.program;
  if (code != COX_ENOENT) {
    const bool is_usage = code == COX_EINVAL;
    cox_cli_fail(program, "%s", err->text[0] != '\0' ? err->text : "asking the daemon failed");
    return is_usage ? COX_EXIT_USAGE : COX_EXIT_FAILED;
  }
  if (session->is_patient) return COX_EXIT_NO_DAEMON;
  if (strncmp(err->text, "no daemon at", 12) == 0 && target->config == NULL) {
    cox_cli_fail(program, "%s", err->text);
  } else {
    cox_cli_fail(program, "no daemon at %s: start one with `coxswain run -c %s`", cox_cli_target_place(target),
                 target->config != NULL ? target->config : "FILE");
  }
  return COX_EXIT_NO_DAEMON;
}

/* The API's words for it are about a header. */
static int report_stranger(const struct cox_cli_session *session) {
  const struct cox_cli_target *const target = &session->target;
  static const char ways[] = "give --token-file FILE, COXSWAIN_TOKEN, or the daemon's configuration with -c FILE";
  if (target->token == NULL) return cox_cli_fail(session->args.program, "the daemon at %s wants a token: %s", cox_cli_target_place(target), ways);
  return cox_cli_fail(session->args.program, "the daemon at %s does not know the token it was given: %s", cox_cli_target_place(target), ways);
}

int cox_cli_report_refusal(const struct cox_cli_session *session, int status, const json_t *answer) {
  const char *const program = session->args.program;
  const char *const words = json_string_value(json_object_get(answer, "error"));
  if (status == 401) return report_stranger(session);
  if (words != NULL) return cox_cli_fail(program, "%s", words);
  return cox_cli_fail(program, "the daemon at %s answered %d without a reason", cox_cli_target_place(&session->target), status);
}

/* A bare value is an answer, too: DELETE says true or false. */
static json_t *parse_answer(const struct cox_cli_session *session, int status, const struct cox_buf *raw, int *exit_code) {
  json_error_t fault;
  if (raw->len == 0) return NULL;
  json_t *const value = json_loadb(raw->data, raw->len, JSON_DECODE_ANY, &fault);
  if (value != NULL) return value;
  *exit_code = cox_cli_fail(session->args.program, "%s answered %d with something that is not JSON, is it a coxswain? It said: %.*s",
                            cox_cli_target_place(&session->target), status, WORDS_MAX, raw->data);
  return NULL;
}

int cox_cli_request_any(struct cox_cli_session *session, const char *method, const char *path, const json_t *body, json_t **answer,
                        int *exit_code) {
  struct cox_buf raw = {.limit = ANSWER_MAX};
  struct cox_err err = {0};
  int status = 0;
  *answer = NULL;
  char *const text = body != NULL ? json_dumps(body, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
  if (body != NULL && text == NULL) {
    *exit_code = cox_cli_fail(session->args.program, "out of memory");
    goto out;
  }
  *exit_code = COX_EXIT_DONE;
  status = session->target.client.call(&session->target.client, method, path, text, &raw, &err);
  if (status < 0) {
    *exit_code = report_no_exchange(session, status, &err);
    status = 0;
  } else {
    *answer = parse_answer(session, status, &raw, exit_code);
    if (*exit_code != COX_EXIT_DONE) status = 0;
  }
out:
  free(text);
  cox_buf_fini(&raw);
  return status;
}

int cox_cli_request(struct cox_cli_session *session, const char *method, const char *path, const json_t *body, json_t **answer,
                    int *exit_code) {
  const int status = cox_cli_request_any(session, method, path, body, answer, exit_code);
  if (status == 0 || (status >= 200 && status < 300)) return status;
  *exit_code = cox_cli_report_refusal(session, status, *answer);
  json_decref(*answer);
  *answer = NULL;
  return 0;
}

void cox_cli_add_segment(struct cox_buf *path, const char *id) {
  static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_~";
  const bool is_dots = strspn(id, ".") == strlen(id); /* "." and ".." would be resolved away */
  for (const char *at = id; *at != '\0'; at++) {
    const bool is_plain = strchr(plain, *at) != NULL || (*at == '.' && !is_dots);
    if (is_plain) cox_buf_add(path, at, 1);
    else cox_buf_addf(path, "%%%02X", (unsigned char)*at);
  }
}

/* jansson escapes the control characters below space only; DEL, C1 and marks that turn the writing direction are left. Inside
 * of JSON text they can only stand in strings, where \u is understood.                                                         */
static void escape_rest(const char *text, struct cox_buf *out) {
  while (*text != '\0') {
    const char *const start = text;
    uint32_t code;
    const bool is_char = cox_text_next(&text, &code);
    if (is_char && code >= 0x7F && cox_text_is_harmful(code)) cox_buf_addf(out, "\\u%04x", (unsigned)code);
    else cox_buf_add(out, start, (size_t)(text - start));
  }
}

void cox_cli_print_json(const json_t *value, bool is_one_line) {
  struct cox_buf out = {0};
  char *const text = json_dumps(value, JSON_ENCODE_ANY | (is_one_line ? JSON_COMPACT : JSON_INDENT(2)));
  if (text != NULL) escape_rest(text, &out);
  if (out.data != NULL) fprintf(stdout, "%s\n", out.data);
  free(text);
  cox_buf_fini(&out);
}

static bool read_all(FILE *file, struct cox_buf *out) {
  char block[16384];
  for (size_t count; (count = fread(block, 1, sizeof block, file)) > 0;) {
    if (!cox_buf_add(out, block, count)) return false;
  }
  return ferror(file) == 0;
}

json_t *cox_cli_read_json(const char *program, const char *path) {
  const bool is_stdin = strcmp(path, "-") == 0;
  struct cox_buf text = {.limit = FILE_MAX};
  json_error_t fault;
  json_t *value = NULL;
  FILE *const file = is_stdin ? stdin : fopen(path, "re");
  if (file == NULL || !read_all(file, &text)) {
    cox_cli_fail(program, "reading %s failed: %s", path, errno != 0 ? strerror(errno) : "it is larger than 64 MiB");
  } else {
    value = json_loadb(text.data != NULL ? text.data : "", text.len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &fault);
    if (value == NULL) cox_cli_fail(program, "%s:%d: not JSON: %s", is_stdin ? "standard input" : path, fault.line, fault.text);
  }
  if (file != NULL && !is_stdin) fclose(file);
  cox_buf_fini(&text);
  return value;
}
