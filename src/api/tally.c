#include "api/tally.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/request.h"
#include "api/surface.h"
#include "base/clock.h"
#include "base/log.h"
#include "core/metrics.h"

enum { LINES_A_SECOND = 20 /* about refused requests: a client that does everything wrong must not fill the disk */ };

static const unsigned codes[] = {200, 201, 206, 304, 400, 401, 403, 404, 405, 409, 410, 412, 413, 422, 429, 500, 501, 503, 504, 0};
enum { CODES = sizeof codes / sizeof *codes }; /* the last one: any other */

static size_t code_index(unsigned code) {
  size_t i = 0;
  while (codes[i] != 0 && codes[i] != code) i++;
  return i;
}

int cox_tally_init(struct cox_tally *tally, struct cox_err *err) {
  size_t routes;
  cox_routes(&routes);
  tally->counts = calloc((routes + 1) * CODES, sizeof *tally->counts);
  return tally->counts != NULL ? 0 : cox_err_set(err, COX_ENOMEM, "starting the API failed: out of memory");
}

void cox_tally_fini(struct cox_tally *tally) { free(tally->counts); }

/* May another line be written in this second? */
static bool may_say(struct cox_tally *tally) {
  const int64_t second = cox_clock_mono_us(cox_clock_system()) / 1000000;
  if (atomic_exchange(&tally->second, second) != second) atomic_store(&tally->lines, 0);
  if (atomic_fetch_add(&tally->lines, 1) < LINES_A_SECOND) return true;
  atomic_fetch_add(&tally->unsaid, 1);
  return false;
}

/* The daemon's own failures are warnings; strangers and those who ask for too much are worth a line; what else a client does
 * wrong it is told itself.                                                                                                  */
static enum cox_log_level level_of(const struct cox_request *request) {
  const unsigned status = request->status;
  if (status == 401 || status == 403) return COX_LOG_INFO;
  const bool is_health = request->match.route != NULL && request->match.route->is_public;
  return status >= 500 && !is_health ? COX_LOG_WARN : COX_LOG_DEBUG;
}

static void say(const struct cox_request *request, enum cox_log_level level, unsigned unsaid) {
  char words[512];
  struct cox_log_number status, us, bytes, count;
  const int64_t took_us = cox_clock_mono_us(cox_clock_system()) - request->started_us;
  const size_t len = request->answer != NULL ? request->answer->len : 0;
  const char *pairs[24] = {"id", request->id, "caller", request->caller->name, "method", request->method, "path", request->target,
                           "status", cox_log_int(request->status, &status), "us", cox_log_int(took_us, &us), "bytes",
                           cox_log_int((int64_t)len, &bytes)};
  size_t end = 14;
  if (request->status >= 400 && len > 0) {
    snprintf(words, sizeof words, "%.*s", (int)strcspn(request->answer->data, "\n"), request->answer->data);
    pairs[end++] = "answer";
    pairs[end++] = words;
  }
  if (unsaid > 0) {
    pairs[end++] = "unsaid_before";
    pairs[end++] = cox_log_int(unsaid, &count);
  }
  cox_log_pairs(level, "api", request->status < 400 ? "request answered" : "request refused", pairs);
}

void cox_tally_answer(struct cox_tally *tally, const struct cox_request *request) {
  size_t count;
  const struct cox_route *const routes = cox_routes(&count);
  const size_t route = request->match.route != NULL ? (size_t)(request->match.route - routes) : count;
  atomic_fetch_add_explicit(&tally->counts[route * CODES + code_index(request->status)], 1, memory_order_relaxed);
  const enum cox_log_level level = level_of(request);
  if (!cox_log_enabled(level)) return;
  if (level == COX_LOG_DEBUG) say(request, level, 0);
  else if (may_say(tally)) say(request, level, atomic_exchange(&tally->unsaid, 0));
}

/* Shown from the start: what the route's description says it may answer, and these. */
static bool is_expected(const struct cox_route *route, unsigned code) {
  if (code == 0) return false;
  if (route == NULL) return code == 404 || code == 405 || code == 400 || code == 401;
  if (!route->is_public && (code == 401 || code == 403)) return true;
  const struct cox_surface *const surface = cox_surface_of(route);
  unsigned status;
  char schema[32];
  for (const char *at = surface != NULL ? surface->answers : ""; (at = cox_surface_next(at, &status, schema)) != NULL;) {
    if (status == code) return true;
  }
  return false;
}

bool cox_tally_text(const struct cox_tally *tally, struct cox_buf *out) {
  static const char name[] = "coxswain_http_requests_total";
  size_t count;
  const struct cox_route *const routes = cox_routes(&count);
  bool is_whole = cox_metrics_head(out, name, "counter", "Answers by route and status; what the HTTP library refuses by itself is not in it.");
  for (size_t i = 0; i <= count; i++) {
    const struct cox_route *const route = i < count ? &routes[i] : NULL;
    for (size_t k = 0; k < CODES && is_whole; k++) {
      const uint64_t value = atomic_load_explicit(&tally->counts[i * CODES + k], memory_order_relaxed);
      if (value == 0 && !is_expected(route, codes[k])) continue;
      char labels[160], code[16] = "other";
      if (codes[k] != 0) snprintf(code, sizeof code, "%u", codes[k]);
      snprintf(labels, sizeof labels, "route=\"%s%s%s\",code=\"%s\"", route != NULL ? route->method : "other", route != NULL ? " " : "",
               route != NULL ? route->pattern : "", code);
      is_whole = cox_metrics_count(out, name, labels, value);
    }
  }
  return is_whole;
}
