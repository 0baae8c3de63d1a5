/* The sets of scripts: what is live, load them anew, go back, see what others would change. The work is done elsewhere
 * (core/scripts.h); here it is waited for, as long as it takes or the client has patience.                           */
#include <stdlib.h>
#include <string.h>

#include "api/call.h"
#include "api/render.h"
#include "api/routes.h"
#include "api/server.h"
#include "base/clock.h"

/* Lives until the request and whoever does the work let go of it. */
struct scripts_wait {
  struct cox_wait wait;
  struct cox_scripts_request request;
  char *dir; /* owned; NULL: none */
  enum cox_scripts_status status;
  json_t *result;
  struct cox_err err;
};

static void destroy_wait(struct cox_wait *wait) {
  struct scripts_wait *const own = COX_CONTAINER(wait, struct scripts_wait, wait);
  json_decref(own->result);
  free(own->dir);
  free(own);
}

/* Any thread. */
static void done(struct cox_scripts_request *request, const struct cox_scripts_outcome *outcome) {
  struct scripts_wait *const own = COX_CONTAINER(request, struct scripts_wait, request);
  own->status = outcome->status;
  own->result = json_incref(outcome->result);
  own->err = outcome->err;
  cox_wait_finish(&own->wait, COX_WAIT_ANSWERED);
  cox_wait_release(&own->wait);
}

/* A folder that is not there is the client's mistake, as is a set before the first; who is busy can be asked again. */
static void fail(struct cox_request *request, const struct cox_err *err) {
  struct cox_answer answer = {.outcome = COX_ANSWER_ERROR, .err = *err};
  if (err->code == COX_ENOENT) answer.err.code = COX_EREFUSED;
  if (err->code == COX_EBUSY) answer.err.code = COX_EFULL;
  cox_request_fail_as(request, &answer);
}

static void answered(struct cox_request *request, struct cox_wait *wait) {
  struct scripts_wait *const own = COX_CONTAINER(wait, struct scripts_wait, wait);
  switch (own->status) {
    case COX_SCRIPTS_DONE:
    case COX_SCRIPTS_UNCHANGED: cox_request_answer(request, 200, json_incref(own->result)); break;
    case COX_SCRIPTS_REFUSED:
      cox_request_answer(request, 422, json_pack("{so, sO*}", "error", cox_json_text(own->err.text), "faults", own->result));
      break;
    case COX_SCRIPTS_FAILED: fail(request, &own->err); break;
  }
}

static const struct cox_scripts *scripts_of(struct cox_request *request) {
  const struct cox_scripts *const scripts = request->api->options.scripts;
  if (scripts == NULL) {
    cox_request_fail(request, 503, "%s %s is not possible: this daemon does not load scripts while it runs", request->method,
                     request->match.route->pattern);
  }
  return scripts;
}

/* `dir` (NULL: none) is copied. */
static void ask(struct cox_request *request, void (*what)(void *ctx, struct cox_scripts_request *request), const char *dir) {
  struct scripts_wait *const own = calloc(1, sizeof *own);
  if (own != NULL && dir != NULL) own->dir = strdup(dir);
  if (own == NULL || (dir != NULL && own->dir == NULL)) {
    free(own);
    cox_request_fail(request, 500, "%s %s was not carried out: out of memory; try again later", request->method, request->match.route->pattern);
    return;
  }
  own->wait.destroy = destroy_wait;
  own->request.dir = own->dir;
  own->request.done = done;
  cox_request_caller(request, own->request.caller);
  request->resume = answered;
  const int64_t deadline_us = cox_clock_mono_us(cox_clock_system()) + request->api->scripts_us;
  cox_wait_begin(&own->wait, request, request->job != NULL ? INT64_MAX : deadline_us);
  cox_wait_hold(&own->wait); /* until it is done */
  what(request->api->options.scripts->ctx, &own->request);
}

/* Nothing is said in the body, but a client that sends {} is right, too. */
static bool has_no_words(struct cox_request *request) {
  static const char *const none[] = {NULL};
  json_t *const body = cox_request_object(request);
  const bool is_good = body != NULL && cox_request_has_only(request, body, none);
  json_decref(body);
  return is_good;
}

void cox_post_reload(struct cox_request *request) {
  const struct cox_scripts *const scripts = scripts_of(request);
  if (scripts != NULL && has_no_words(request)) ask(request, scripts->reload, NULL);
}

void cox_post_rollback(struct cox_request *request) {
  const struct cox_scripts *const scripts = scripts_of(request);
  if (scripts != NULL && has_no_words(request)) ask(request, scripts->rollback, NULL);
}

/* The daemon's own folder is nobody's business: a path must say by itself where it leads. */
static bool is_good_dir(struct cox_request *request, const json_t *dir) {
  const char *const text = json_string_value(dir);
  if (dir == NULL || (text != NULL && *text == '/' && strlen(text) == json_string_length(dir))) return true;
  cox_request_fail(request, 400, "POST /v1/scripts/plan: scripts must be the absolute path of a folder on the daemon's machine");
  return false;
}

void cox_post_plan(struct cox_request *request) {
  static const char *const keys[] = {"scripts", NULL};
  const struct cox_scripts *const scripts = scripts_of(request);
  json_t *const body = scripts != NULL ? cox_request_object(request) : NULL;
  if (body == NULL) return;
  const json_t *const dir = json_object_get(body, "scripts");
  if (cox_request_has_only(request, body, keys) && is_good_dir(request, dir)) ask(request, scripts->plan, json_string_value(dir));
  json_decref(body);
}

/* ---- looking ---- */

static struct cox_blob *render(json_t *value) {
  struct cox_blob *const blob = cox_blob_json(value);
  json_decref(value);
  return blob;
}

static struct cox_blob *render_scripts(struct cox_api *api) {
  const struct cox_scripts *const scripts = api->options.scripts;
  return render(scripts->show(scripts->ctx));
}

static struct cox_blob *render_difference(struct cox_api *api) {
  const struct cox_scripts *const scripts = api->options.scripts;
  json_t *const shown = scripts->show(scripts->ctx), *const difference = scripts->difference(scripts->ctx);
  json_t *const all = shown != NULL ? json_copy(shown) : NULL; /* what was shown may be shared */
  json_decref(shown);
  if (json_object_set_new(all, "difference", difference) == 0) return render(all);
  json_decref(all);
  return NULL;
}

void cox_get_scripts(struct cox_request *request) {
  char value[8] = "0";
  bool is_bad = false;
  if (scripts_of(request) == NULL) return;
  cox_request_query(request, "difference", value, sizeof value, &is_bad);
  const bool is_wanted = strcmp(value, "1") == 0;
  if (is_bad || (!is_wanted && strcmp(value, "0") != 0)) {
    cox_request_fail(request, 400, "GET /v1/scripts: difference must be 1 or 0");
    return;
  }
  cox_request_render(request, is_wanted ? render_difference : render_scripts, "application/json");
}
