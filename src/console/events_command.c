/* `coxswain events`: the journal, a line for each record. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "console/client_commands.h"
#include "console/moment.h"
#include "console/request.h"
#include "console/text.h"

enum {
  PAGE = 1000,
  SHOWN = 100, /* of the newest, when nobody says from where */
  SHOWN_MAX = 100000,
  FOLLOW_MS = 500,
  STOPPING = 503,
};

static int run(void *ctx, int argc, char **argv);

static const struct cox_cli_option options[] = {
    {"follow", 'f', NULL, "goes on until Ctrl-C, also when the daemon is started anew"},
    {"since", 0, "WHEN", "begins after the record of that number, or at a time: 10m, 24h, 2026-01-31T12:00:00Z"},
    {"last", 'n', "N", "begins with the last N of them (100)"},
    {"node", 0, "ID", "only what is about that node"},
    {"kind", 0, "KIND", "only that kind: command, target, attempt, status, admin, reload, gap, …"},
    {"json", 0, NULL, "prints JSON lines"},
    {0},
};

const struct cox_cli_entry cox_cli_events = {
    .name = "events",
    .synopsis = "[--follow] [--since WHEN|-n N] [--node ID] [--kind KIND] [--json]",
    .summary = "Shows the journal: commands, targets, attempts, changes of status, and why",
    .options = options,
    .is_client = true,
    .run = run,
};

/* ---- one record ---- */

static bool is_shown_apart(const char *key) {
  static const char *const keys[] = {"seq", "time", "kind", "node_id", "driver"};
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
    if (strcmp(keys[i], key) == 0) return true;
  }
  return false;
}

/* As in logfmt: what has blanks or quotes in it stands in quotes, so that where it ends is plain. */
static void add_value(struct cox_buf *line, const char *key, const json_t *value) {
  const char *const plain = json_string_value(value);
  const bool is_plain = plain != NULL && *plain != '\0' && strpbrk(plain, " \t\n\"=") == NULL;
  char *const text = is_plain ? NULL : json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
  cox_buf_addf(line, " %s=%s", key, text != NULL ? text : plain != NULL ? plain : "");
  free(text);
}

static void print_record(json_t *record) {
  struct cox_buf line = {0}, clean = {0};
  const char *const time = json_string_value(json_object_get(record, "time")), *const kind = json_string_value(json_object_get(record, "kind"));
  const char *const node = json_string_value(json_object_get(record, "node_id"));
  const char *key;
  json_t *value;
  cox_buf_addf(&line, "%lld %s %s%s%s", (long long)json_integer_value(json_object_get(record, "seq")), time != NULL ? time : "-",
               kind != NULL ? kind : "-", node != NULL ? " " : "", node != NULL ? node : "");
  json_object_foreach(record, key, value) {
    if (!is_shown_apart(key)) add_value(&line, key, value);
  }
  if (line.data != NULL && cox_text_clean(&clean, line.data)) puts(clean.data);
  cox_buf_fini(&line);
  cox_buf_fini(&clean);
}

static void print_page(json_t *page, bool is_json) {
  size_t i;
  json_t *record, *const gap = json_object_get(page, "gap");
  if (gap != NULL) {
    fprintf(stderr, "records %lld to %lld are not there any more\n", (long long)json_integer_value(json_object_get(gap, "from")),
            (long long)json_integer_value(json_object_get(gap, "to")));
  }
  json_array_foreach(json_object_get(page, "events"), i, record) {
    if (is_json) cox_cli_print_json(record, true);
    else print_record(record);
  }
}

/* ---- pages ---- */

static void add_filter(struct cox_buf *path, const struct cox_cli_args *args, const char *option) {
  const char *const value = cox_cli_args_value(args, option);
  if (value == NULL) return;
  cox_buf_addf(path, "&%s=", option);
  cox_cli_add_segment(path, value);
}

/* A new reference; NULL: `*exit_code` says why. */
static json_t *fetch(struct cox_cli_session *session, uint64_t since, unsigned max, int *exit_code) {
  struct cox_buf path = {0};
  json_t *page = NULL;
  cox_buf_addf(&path, "/v1/events?format=json&since=%llu&max=%u", (unsigned long long)since, max);
  add_filter(&path, &session->args, "kind");
  add_filter(&path, &session->args, "node");
  const int status = cox_cli_request_any(session, "GET", path.data, NULL, &page, exit_code);
  const bool is_page = status > 0 && status < 300 && json_is_array(json_object_get(page, "events"));
  if (status == STOPPING && session->is_patient) {
    *exit_code = COX_EXIT_NO_DAEMON;
  } else if (status >= 300) {
    *exit_code = cox_cli_report_refusal(session, status, page);
  } else if (status > 0 && !is_page) {
    *exit_code = cox_cli_fail(session->args.program, "%s answered something else than events: is it a coxswain?",
                              cox_cli_target_place(&session->target));
  }
  cox_buf_fini(&path);
  if (is_page) return page;
  json_decref(page);
  return NULL;
}

static uint64_t number(const json_t *page, const char *key) { return (uint64_t)json_integer_value(json_object_get(page, key)); }

/* What is known of the record after which to go on. */
enum known { UNKNOWN, AWAITED /* it is not there yet, and that was told */, SEEN };

/* The journal ends before that record. One that was seen is there for ever: it is another journal then. */
static enum known look_back(const struct cox_cli_session *session, uint64_t last, enum known known, uint64_t *since) {
  const unsigned long long end = last, asked = *since;
  const char *const program = session->args.program;
  if (known == UNKNOWN) fprintf(stderr, "%s: there is no record %llu yet, the journal ends at %llu\n", program, asked, end);
  if (known != SEEN) return AWAITED;
  fprintf(stderr, "%s: the journal began anew, it ends at record %llu: going on from its beginning\n", program, end);
  *since = 0;
  return SEEN;
}

/* Prints all there is now; false: `*exit_code` says why. */
static bool show(struct cox_cli_session *session, uint64_t *since, enum known *known, int *exit_code) {
  const bool is_json = cox_cli_args_has(&session->args, "json");
  for (;;) {
    json_t *const page = fetch(session, *since, PAGE, exit_code);
    if (page == NULL) return false;
    const uint64_t next = number(page, "next"), last = number(page, "last");
    if (last < *since) {
      *known = look_back(session, last, *known, since);
      json_decref(page);
      if (*known == SEEN) continue;
      return true;
    }
    *known = SEEN;
    print_page(page, is_json);
    json_decref(page);
    const bool is_end = next >= last || next <= *since;
    *since = next;
    if (is_end) return fflush(stdout) == 0;
  }
}

/* ---- following ---- */

static volatile sig_atomic_t is_stopped;

static void on_signal(int signal_number) {
  (void)signal_number;
  is_stopped = 1;
}

/* False: it is to end. A reader that has gone away (`| head`) is seen at once, and not with the next record. */
static bool pause_between(const struct cox_cli_env *env) {
  if (env->pause != NULL) return env->pause(env->pause_arg, FOLLOW_MS);
  struct pollfd reader = {.fd = STDOUT_FILENO}; /* no events: errors and hang-ups are always told */
  if (is_stopped == 0 && poll(&reader, 1, FOLLOW_MS) > 0) return false; /* a signal ends it, too */
  return is_stopped == 0;
}

/* A daemon that is started anew is waited for, and nothing of what it did meanwhile is missing. */
static void go_on(struct cox_cli_session *session, uint64_t since, int *exit_code) {
  enum known known = UNKNOWN;
  bool is_away = false;
  for (;;) {
    const bool is_shown = show(session, &since, &known, exit_code);
    if (!is_shown && (*exit_code != COX_EXIT_NO_DAEMON || !session->is_patient)) return;
    if (is_shown == is_away) {
      fprintf(stderr, "%s: %s\n", session->args.program, is_shown ? "the daemon is back" : "the daemon cannot be reached: waiting for it, Ctrl-C ends this");
    }
    is_away = !is_shown;
    session->is_patient = true;
    if (!pause_between(session->env)) break;
  }
  *exit_code = COX_EXIT_DONE;
}

static int follow(struct cox_cli_session *session, uint64_t since) {
  struct sigaction stop = {.sa_handler = on_signal}, before[2];
  int exit_code = COX_EXIT_DONE;
  is_stopped = 0;
  sigaction(SIGINT, &stop, &before[0]);
  sigaction(SIGTERM, &stop, &before[1]);
  go_on(session, since, &exit_code);
  sigaction(SIGINT, &before[0], NULL);
  sigaction(SIGTERM, &before[1], NULL);
  return is_stopped != 0 ? COX_EXIT_DONE : exit_code;
}

/* ---- where to begin ---- */

/* A number from `least` on; false: it is none. */
static bool parse_number(const char *text, uint64_t least, uint64_t most, uint64_t *out) {
  char *end;
  errno = 0;
  *out = strtoull(text, &end, 10);
  return *text >= '0' && *text <= '9' && errno == 0 && *end == '\0' && *out >= least && *out <= most;
}

/* Number and time of the first record behind `since`; 0: there is none. */
static bool look_behind(struct cox_cli_session *session, uint64_t since, uint64_t *seq, int64_t *at_ms, int *exit_code) {
  json_t *const page = fetch(session, since, 1, exit_code);
  const json_t *const record = json_array_get(json_object_get(page, "events"), 0);
  const char *const time = json_string_value(json_object_get(record, "time"));
  *seq = number(record, "seq");
  *at_ms = time != NULL ? cox_moment_parse(time) : 0;
  const bool is_good = page != NULL;
  json_decref(page);
  return is_good;
}

static bool find_end(struct cox_cli_session *session, uint64_t *last, int *exit_code) {
  json_t *const page = fetch(session, INT64_MAX, 1, exit_code);
  if (page == NULL) return false;
  *last = number(page, "last");
  json_decref(page);
  return true;
}

/* The place from which on records are as young as that: halved again and again, for a journal is long. */
static bool find_time(struct cox_cli_session *session, int64_t from_ms, uint64_t *since, int *exit_code) {
  uint64_t before = 0, behind = 0;
  if (!find_end(session, &behind, exit_code)) return false;
  while (before < behind) {
    const uint64_t middle = before + (behind - before) / 2;
    uint64_t seq;
    int64_t at_ms;
    if (!look_behind(session, middle, &seq, &at_ms, exit_code)) return false;
    if (seq == 0 || at_ms >= from_ms) behind = middle;
    else before = seq > middle ? seq : middle + 1;
  }
  *since = before;
  return true;
}

/* The numbers of those behind `since`, of which the last `count` are kept in `ring`; false: `*exit_code`. */
static bool count_from(struct cox_cli_session *session, uint64_t since, uint64_t *ring, uint64_t count, uint64_t *total, int *exit_code) {
  uint64_t last, next;
  *total = 0;
  do {
    json_t *const page = fetch(session, since, PAGE, exit_code);
    size_t i;
    json_t *record;
    if (page == NULL) return false;
    json_array_foreach(json_object_get(page, "events"), i, record) ring[(*total)++ % count] = number(record, "seq");
    next = number(page, "next");
    last = number(page, "last");
    json_decref(page);
    if (next <= since) return true;
    since = next;
  } while (next < last);
  return true;
}

/* Of one node or kind only the daemon knows where the last ones are: it is asked for a longer and longer end of the journal. */
static bool find_last(struct cox_cli_session *session, uint64_t count, uint64_t *since, int *exit_code) {
  const bool is_filtered = cox_cli_args_has(&session->args, "node") || cox_cli_args_has(&session->args, "kind");
  uint64_t last, total = 0;
  if (!find_end(session, &last, exit_code)) return false;
  *since = last > count ? last - count : 0;
  if (!is_filtered || *since == 0) return true;
  uint64_t *const ring = calloc(count, sizeof *ring);
  if (ring == NULL) *exit_code = cox_cli_fail(session->args.program, "out of memory");
  bool is_good = ring != NULL;
  for (uint64_t length = PAGE; is_good && total < count; length *= 8) {
    const uint64_t from = last > length ? last - length : 0;
    is_good = count_from(session, from, ring, count, &total, exit_code);
    *since = from;
    if (from == 0) break;
  }
  if (is_good && total >= count) *since = ring[total % count] - 1;
  free(ring);
  return is_good;
}

/* After which number to begin; false: `*exit_code` says why. */
static bool begin(struct cox_cli_session *session, uint64_t *since, int *exit_code) {
  const char *const text = cox_cli_args_value(&session->args, "since"), *const program = session->args.program;
  const char *const last = cox_cli_args_value(&session->args, "last");
  uint64_t count = SHOWN;
  if (text != NULL && last != NULL) {
    *exit_code = cox_cli_misuse(program, "give either --since or -n");
  } else if (last != NULL && !parse_number(last, 1, SHOWN_MAX, &count)) {
    *exit_code = cox_cli_misuse(program, "-n must be a whole number from 1 to %d, not %s", SHOWN_MAX, last);
  } else if (text == NULL) {
    return find_last(session, count, since, exit_code);
  } else if (parse_number(text, 0, INT64_MAX, since)) {
    return true;
  } else {
    const int64_t from_ms = cox_moment_since(text, cox_cli_session_now_ms(session));
    if (from_ms > 0) return find_time(session, from_ms, since, exit_code);
    *exit_code = cox_cli_misuse(program, "--since must be the number of a record, or a time as 10m, 24h or 2026-01-31T12:00:00Z, not %s", text);
  }
  return false;
}

static int run(void *ctx, int argc, char **argv) {
  struct cox_cli_session session;
  uint64_t since;
  enum known known = UNKNOWN;
  int exit_code;
  if (!cox_cli_session_begin(&session, &cox_cli_events, 0, 0, ctx, argc, argv, &exit_code)) return exit_code;
  if (begin(&session, &since, &exit_code)) {
    if (cox_cli_args_has(&session.args, "follow")) exit_code = follow(&session, since);
    else if (show(&session, &since, &known, &exit_code)) exit_code = COX_EXIT_DONE;
  }
  cox_cli_session_end(&session);
  return exit_code;
}
