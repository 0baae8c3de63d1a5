#include "console/checkup.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "console/term.h"
#include "console/text.h"

enum { ANSWER_MAX = 8 << 20, WORDS_MAX = 1024 };

static const char *const names[] = {"good", "look", "bad"};

void cox_checkup_init(struct cox_checkup *checkup, const struct cox_cli_env *env) {
  *checkup = (struct cox_checkup){.env = env, .findings = json_array()};
  cox_mutex_init(&checkup->mutex);
}

void cox_checkup_fini(struct cox_checkup *checkup) {
  json_decref(checkup->findings);
  cox_mutex_fini(&checkup->mutex);
}

json_t *cox_checkup_add(struct cox_checkup *checkup, const char *check, const char *on, enum cox_health health, const char *format, ...) {
  char text[WORDS_MAX];
  struct cox_buf clean = {0};
  va_list words;
  va_start(words, format);
  vsnprintf(text, sizeof text, format, words);
  va_end(words);
  cox_text_clean(&clean, text);
  json_t *const finding = json_pack("{ss, ss*, ss, ss}", "check", check, "on", on, "health", names[health], "words",
                                    clean.data != NULL ? clean.data : "");
  cox_mutex_lock(&checkup->mutex);
  json_array_append_new(checkup->findings, finding);
  cox_mutex_unlock(&checkup->mutex);
  cox_buf_fini(&clean);
  return finding;
}

static const char *text_of(const json_t *finding, const char *key) {
  const char *const text = json_string_value(json_object_get(finding, key));
  return text != NULL ? text : "";
}

static bool is_of(const json_t *finding, enum cox_health health) { return strcmp(text_of(finding, "health"), names[health]) == 0; }

size_t cox_checkup_count(struct cox_checkup *checkup, enum cox_health health) {
  size_t count = 0, i;
  json_t *finding;
  json_array_foreach(checkup->findings, i, finding) count += is_of(finding, health);
  return count;
}

static void print_finding(const struct cox_term *term, const json_t *finding, enum cox_health health) {
  static const enum cox_style styles[] = {COX_STYLE_GOOD, COX_STYLE_BUSY, COX_STYLE_BAD};
  static const char *const marks[] = {"good", "look", "BAD "};
  struct cox_buf line = {0}, on = {0};
  cox_text_clean(&on, text_of(finding, "on"));
  cox_term_begin(term, styles[health], &line);
  cox_buf_addf(&line, "%s", marks[health]);
  cox_term_end(term, styles[health], &line);
  cox_buf_addf(&line, "  %s%s%s: ", text_of(finding, "check"), on.data != NULL && *on.data != '\0' ? " " : "", on.data != NULL ? on.data : "");
  cox_text_wrap(&line, text_of(finding, "words"), 6, 0);
  printf("%s\n", line.data);
  cox_buf_fini(&line);
  cox_buf_fini(&on);
}

void cox_checkup_print(struct cox_checkup *checkup) {
  struct cox_term term;
  cox_term_look(STDOUT_FILENO, &term);
  for (enum cox_health health = COX_HEALTH_GOOD; health <= COX_HEALTH_BAD; health++) {
    size_t i;
    json_t *finding;
    json_array_foreach(checkup->findings, i, finding) {
      if (is_of(finding, health)) print_finding(&term, finding, health);
    }
  }
}

/* ---- asking ---- */

void cox_ask(const struct cox_cli_env *env, const char *url, const char *path, struct cox_asked *out) {
  const struct cox_clock *const clock = cox_clock_system();
  const struct cox_client client = {.base_url = url, .is_foreign = true, .timeout_ms = COX_ASK_MS, .call = env->call};
  struct cox_buf raw = {.limit = ANSWER_MAX};
  *out = (struct cox_asked){0};
  const int64_t start_us = cox_clock_mono_us(clock);
  const int status = env->call(&client, "GET", path, NULL, &raw, &out->err);
  out->latency_ms = (int)((cox_clock_mono_us(clock) - start_us) / 1000);
  out->status = status > 0 ? status : 0;
  if (raw.len > 0) out->answer = json_loadb(raw.data, raw.len, JSON_DECODE_ANY, NULL);
  cox_buf_fini(&raw);
}

void cox_asked_fini(struct cox_asked *asked) {
  json_decref(asked->answer);
  asked->answer = NULL;
}

bool cox_is_loopback(const char *url) {
  const char *const scheme = strstr(url, "://"), *const host = scheme != NULL ? scheme + 3 : url;
  const size_t len = strcspn(host, "/");
  return strncmp(host, "127.", 4) == 0 || strncmp(host, "[::1]", 5) == 0 || strcmp(host, "::1") == 0 ||
         (len >= 9 && strncmp(host, "localhost", 9) == 0 && (len == 9 || host[9] == ':'));
}
