/* `coxswain report`: the fleet's past as a page, from the journal. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "console/client_commands.h"
#include "console/moment.h"
#include "console/report.h"
#include "console/request.h"

enum { PAGE = 1000 };
#define DAY_MS INT64_C(86400000)

static int run(void *ctx, int argc, char **argv);

static const struct cox_cli_option options[] = {
    {"since", 0, "WHEN", "how far back: 30m, 24h, 7d, or a time such as 2026-01-31T12:00:00Z (24h)"},
    {"output", 'o', "FILE", "writes there instead of standard output"},
    {"format", 0, "html|csv|json", "the page, or its data (html)"},
    {"json", 0, NULL, "the same as --format json"},
    {"events", 0, "FILE", "reads what `coxswain events --json` printed instead of asking a daemon; - is standard input"},
    {0},
};

const struct cox_cli_entry cox_cli_report = {
    .name = "report",
    .synopsis = "[--since WHEN] [-o FILE] [--format html|csv|json]",
    .summary = "Draws the fleet's timeline against the phases, with attempts, load times and missed phases",
    .detail = "A missed phase is a target that was replaced before its node had reached it. The page is one file that needs nothing else:\n"
              "  coxswain report --since 7d -o report.html",
    .options = options,
    .is_client = true,
    .run = run,
};

/* ---- records ---- */

static int take_file(const char *program, const char *path, struct cox_report *report) {
  FILE *const file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
  char *line = NULL;
  size_t room = 0;
  int exit_code = COX_EXIT_DONE, number = 0;
  if (file == NULL) return cox_cli_fail(program, "reading %s failed: %s", path, strerror(errno));
  while (exit_code == COX_EXIT_DONE && getline(&line, &room, file) >= 0) {
    json_error_t fault;
    json_t *const record = json_loads(line, 0, &fault);
    number++;
    if (record != NULL) cox_report_add(report, record);
    else if (line[strspn(line, " \t\r\n")] != '\0') exit_code = cox_cli_fail(program, "%s:%d: not a record as `coxswain events --json` prints them: %s", path, number, fault.text);
    json_decref(record);
  }
  free(line);
  if (file != stdin) fclose(file);
  return exit_code;
}

static int take_journal(struct cox_cli_session *session, struct cox_report *report) {
  uint64_t since = 0;
  for (;;) {
    char path[96];
    int exit_code;
    size_t i;
    json_t *page = NULL, *record;
    snprintf(path, sizeof path, "/v1/events?format=json&since=%" PRIu64 "&max=%d", since, PAGE);
    if (cox_cli_request(session, "GET", path, NULL, &page, &exit_code) == 0) return exit_code;
    json_array_foreach(json_object_get(page, "events"), i, record) cox_report_add(report, record);
    const uint64_t next = (uint64_t)json_integer_value(json_object_get(page, "next")), last = (uint64_t)json_integer_value(json_object_get(page, "last"));
    json_decref(page);
    if (next >= last || next <= since) return COX_EXIT_DONE;
    since = next;
  }
}

static int take_records(void *ctx, int argc, char **argv, const struct cox_cli_args *args, struct cox_report *report) {
  const char *const file = cox_cli_args_value(args, "events");
  struct cox_cli_session session;
  int exit_code;
  if (file != NULL) return take_file(args->program, file, report);
  if (!cox_cli_session_begin(&session, &cox_cli_report, 0, 0, ctx, argc, argv, &exit_code)) return exit_code;
  exit_code = take_journal(&session, report);
  cox_cli_session_end(&session);
  return exit_code;
}

/* ---- output ---- */

static bool render(const json_t *data, const char *format, struct cox_buf *out) {
  if (strcmp(format, "html") == 0) return cox_report_html(data, out);
  if (strcmp(format, "csv") == 0) return cox_report_csv(data, out);
  char *const text = json_dumps(data, JSON_INDENT(2));
  const bool is_whole = text != NULL && cox_buf_addf(out, "%s\n", text);
  free(text);
  return is_whole;
}

static int put(const char *program, const char *path, const struct cox_buf *text) {
  if (path == NULL || strcmp(path, "-") == 0) {
    fwrite(text->data, 1, text->len, stdout);
    return COX_EXIT_DONE;
  }
  FILE *const file = fopen(path, "we");
  const bool is_written = file != NULL && fwrite(text->data, 1, text->len, file) == text->len;
  const bool is_closed = file != NULL && fclose(file) == 0;
  return is_written && is_closed ? COX_EXIT_DONE : cox_cli_fail(program, "writing %s failed: %s", path, strerror(errno));
}

static const char *format_of(const struct cox_cli_args *args) {
  const char *const format = cox_cli_args_value(args, "format");
  return cox_cli_args_has(args, "json") ? "json" : format != NULL ? format : "html";
}

static int make(void *ctx, int argc, char **argv, const struct cox_cli_args *args, int64_t from_ms, int64_t now_ms) {
  struct cox_report report;
  struct cox_buf text = {0};
  cox_report_init(&report, from_ms, now_ms);
  int exit_code = take_records(ctx, argc, argv, args, &report);
  /* What a file does not tell any more is not the present. */
  if (cox_cli_args_has(args, "events") && report.last_ms > from_ms) report.until_ms = report.last_ms;
  if (exit_code == COX_EXIT_DONE) {
    json_t *const data = cox_report_data(&report);
    exit_code = render(data, format_of(args), &text) ? put(args->program, cox_cli_args_value(args, "output"), &text)
                                                     : cox_cli_fail(args->program, "out of memory");
    json_decref(data);
  }
  cox_report_fini(&report);
  cox_buf_fini(&text);
  return exit_code;
}

static int run(void *ctx, int argc, char **argv) {
  const struct cox_cli_env *const env = ctx;
  struct cox_cli_args args;
  int exit_code;
  if (!cox_cli_args_parse(&args, &cox_cli_report, 0, 0, argc, argv, &exit_code)) return exit_code;
  const int64_t now_ms = cox_clock_wall_ms(env->clock != NULL ? env->clock : cox_clock_system());
  const char *const when = cox_cli_args_value(&args, "since"), *const format = format_of(&args);
  const int64_t from_ms = cox_moment_since(when != NULL ? when : "24h", now_ms);
  if (from_ms <= 0 || from_ms >= now_ms) {
    exit_code = cox_cli_misuse(args.program, "--since must be a time of the past, as 30m, 24h, 7d or 2026-01-31T12:00:00Z, not %s", when);
  } else if (strcmp(format, "html") != 0 && strcmp(format, "csv") != 0 && strcmp(format, "json") != 0) {
    exit_code = cox_cli_misuse(args.program, "--format must be html, csv or json, not %s", format);
  } else {
    exit_code = make(ctx, argc, argv, &args, from_ms, now_ms);
  }
  cox_cli_args_fini(&args);
  return exit_code;
}
