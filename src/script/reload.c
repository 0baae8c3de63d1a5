#include "script/reload.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/log.h"
#include "script/inspect.h"
#include "script/rehearsal.h"
#include "script/reload_order.h"

enum {
  TEXT_BYTES = 768,
  FAULTS_TOLD_MAX = 100, /* in an answer, the journal and the store; a folder may hold thousands of files that are no scripts */
  FAULTS_LOGGED_MAX = 20,
  STORE_MS = 2000, /* for the store to take a choice before who asked is answered */
};

/* One piece of work on its way. */
struct work {
  const char *caller;
  const char *action; /* "reload", "rollback" or "plan", for the journal */
  struct cox_faults faults;
  struct cox_rehearsal rehearsal;
  struct cox_scripts_outcome outcome; /* its result is owned */
};

int cox_reload_init(struct cox_reload *reload, const struct cox_reload_options *options) {
  reload->options = *options;
  json_incref(options->folders);
  reload->library_dir = strdup(options->library_dir);
  reload->wake_fd = -1;
  cox_watch_init_none(&reload->watch);
  cox_mutex_init(&reload->mutex);
  cox_kept_init(&reload->kept, cox_clock_system());
  return reload->library_dir != NULL && cox_rejected_init(&reload->rejected) ? 0 : COX_ENOMEM;
}

void cox_reload_fini(struct cox_reload *reload) {
  assert(!reload->is_running);
  json_decref(reload->options.folders);
  cox_rejected_fini(&reload->rejected);
  free(reload->library_dir);
  cox_watch_fini(&reload->watch);
  cox_kept_fini(&reload->kept);
  if (reload->wake_fd >= 0) close(reload->wake_fd);
  cox_mutex_fini(&reload->mutex);
}

/* ---- making one ---- */

/* Counts it, while it is nobody else's. */
static struct cox_sources *counted(struct cox_reload *reload, struct cox_sources *sources) {
  if (sources == NULL) return NULL;
  sources->alive = &reload->options.generations->alive;
  atomic_fetch_add(sources->alive, 1);
  return sources;
}

static struct cox_sources *read_sources(struct cox_reload *reload, const json_t *folders, struct cox_faults *faults) {
  if (reload->drive.read != NULL) return counted(reload, reload->drive.read(reload->drive.ctx, faults));
  return counted(reload, cox_sources_read_folders(folders, reload->library_dir, faults));
}

/* What the configuration names now, a new reference. NULL with the reasons: it is broken. */
static json_t *configured_folders(struct cox_reload *reload, struct cox_faults *faults) {
  cox_mutex_lock(&reload->mutex);
  json_t *(*const folders)(void *ctx, struct cox_faults *faults) = reload->folders;
  void *const ctx = reload->folders_ctx;
  cox_mutex_unlock(&reload->mutex);
  const size_t before = faults->count;
  json_t *const now = folders != NULL ? folders(ctx, faults) : NULL;
  return now != NULL || faults->count > before ? now : json_incref(reload->options.folders);
}

static struct cox_generation *make(struct cox_reload *reload, struct cox_sources *sources, uint64_t number, struct cox_faults *faults) {
  const struct cox_generation_options options = {
      .clock = reload->options.clock, .memory_max = reload->options.memory_max, .number = number, .is_left = &reload->is_left};
  return cox_generation_create(&options, sources, faults);
}

/* Makes it and tries it on the fleet. NULL with the faults of `work`; when it was left, they say nothing. */
static struct cox_generation *make_tried(struct cox_reload *reload, struct cox_sources *sources, uint64_t number, struct work *work) {
  struct cox_generation *const made = make(reload, sources, number, &work->faults);
  const bool holds = made != NULL &&
                     cox_rehearsal_run(made, reload->broker, reload->options.command_budget_s, &work->rehearsal, &work->faults) == 0;
  if (holds && !atomic_load(&reload->is_left)) return made;
  cox_generation_release(made);
  if (!atomic_load(&reload->is_left)) cox_inspect_locate(sources, reload->options.clock, &work->faults);
  return NULL;
}

/* ---- what came of it ---- */

/* Words that were put together may have been cut inside of a character, and paths may be anything. */
static json_t *text_json(const char *text) {
  char whole[TEXT_BYTES];
  cox_vm_copy_text(whole, sizeof whole, text);
  return json_string(whole);
}

static json_t *faults_json(const struct cox_faults *faults) {
  json_t *const list = json_array();
  for (size_t i = 0; i < faults->count && i < FAULTS_TOLD_MAX; i++) {
    const struct cox_err *const fault = &faults->list[i];
    json_t *const object = json_pack("{so}", "file", text_json(fault->file));
    if (fault->line > 0) json_object_set_new(object, "line", json_integer(fault->line));
    json_object_set_new(object, "message", text_json(fault->text));
    json_array_append_new(list, object);
  }
  if (faults->count > FAULTS_TOLD_MAX) {
    json_array_append_new(list, json_pack("{ss, so}", "file", faults->list[0].file, "message",
                                          json_sprintf("and %zu more faults: `coxswain check` lists them all", faults->count - FAULTS_TOLD_MAX)));
  }
  return list;
}

static void log_faults(const struct work *work) {
  for (size_t i = 0; i < work->faults.count && i < FAULTS_LOGGED_MAX; i++) {
    const struct cox_err *const fault = &work->faults.list[i];
    cox_log(COX_LOG_ERROR, "reload", "scripts refused: the present ones go on", "file", fault->file, "line", COX_LOG_INT(fault->line), "reason",
            fault->text, "caller", work->caller, NULL);
  }
  if (work->faults.count <= FAULTS_LOGGED_MAX) return;
  cox_log(COX_LOG_ERROR, "reload", "scripts refused: there are more faults than these", "more", COX_LOG_INT(work->faults.count - FAULTS_LOGGED_MAX),
          "next", "`coxswain check` lists them all", NULL);
}

/* A line of the journal; takes `fields`, which may be NULL. */
static void tell(struct cox_reload *reload, const struct work *work, const char *outcome, json_t *fields) {
  json_t *const line = json_pack("{ss, ss, so}", "action", work->action, "outcome", outcome, "caller", text_json(work->caller));
  if (fields != NULL) json_object_update(line, fields);
  json_decref(fields);
  struct cox_err err;
  if (cox_broker_note(reload->broker, "reload", NULL, line, &err) != 0) {
    cox_log(COX_LOG_WARN, "reload", "a line of the journal was not written", "reason", err.text, NULL);
  }
}

/* The first fault, for a sentence: its details, which stand on further lines, are among the faults. */
static void describe_refusal(const struct work *work, const char *what, struct cox_err *err) {
  const struct cox_err *const first = &work->faults.list[0];
  const int len = (int)strcspn(first->text, "\n");
  const bool is_cut = first->text[len] != '\0' && len > 0 && first->text[len - 1] == ':';
  char place[300] = "", more[48] = "";
  if (first->file[0] != '\0' && first->line > 0) snprintf(place, sizeof place, "%s:%d: ", first->file, first->line);
  else if (first->file[0] != '\0') snprintf(place, sizeof place, "%s: ", first->file);
  if (work->faults.count > 1) snprintf(more, sizeof more, " (and %zu more faults)", work->faults.count - 1);
  cox_err_at(err, COX_ESCRIPT, first->file, first->line, "%s: %s%.*s%s%s; the present ones go on", what, place, len - is_cut, first->text,
             is_cut && strncmp(first->text, "case ", 5) == 0 ? " does not hold" : "", more);
}

static void refuse(struct work *work, const char *what) {
  work->outcome.status = COX_SCRIPTS_REFUSED;
  describe_refusal(work, what, &work->outcome.err);
  json_decref(work->outcome.result);
  work->outcome.result = faults_json(&work->faults);
}

static void fail(struct work *work, const struct cox_err *err) {
  work->outcome.status = COX_SCRIPTS_FAILED;
  work->outcome.err = *err;
}

static void succeed(struct work *work, enum cox_scripts_status status, uint64_t number) {
  work->outcome.status = status;
  json_decref(work->outcome.result);
  work->outcome.result = json_pack("{ss, sI}", "status", status == COX_SCRIPTS_DONE ? "done" : "unchanged", "generation", (json_int_t)number);
  if (work->rehearsal.changes != NULL) json_object_set(work->outcome.result, "changes", work->rehearsal.changes);
}

/* ---- the first one ---- */

/* The store gets what is true now. */
static void keep_choice(struct cox_reload *reload) {
  struct cox_generation *const live = cox_generations_hold(reload->options.generations);
  struct cox_generation *const previous = cox_generations_hold_previous(reload->options.generations);
  json_t *const rejected = cox_rejected_hold(&reload->rejected);
  cox_kept_write(&reload->kept, reload->broker, live, previous, rejected, reload->last_number);
  json_decref(rejected);
  cox_generation_release(live);
  cox_generation_release(previous);
}

static struct cox_generation *make_bare(struct cox_reload *reload, struct cox_sources *sources, uint64_t number) {
  const struct cox_generation_options options = {
      .clock = reload->options.clock, .memory_max = reload->options.memory_max, .number = number};
  return cox_generation_create_bare(&options, sources);
}

/* The kept set of that name, to go back to; NULL: there is none, or it cannot be read, which is no reason not to start. */
static struct cox_generation *kept_one(struct cox_reload *reload, const json_t *choice, const char *name) {
  const json_t *const set = json_object_get(choice, name);
  struct cox_faults faults = {0};
  struct cox_sources *const sources =
      set != NULL ? counted(reload, cox_kept_sources(reload->broker, set, reload->library_dir, &faults)) : NULL;
  struct cox_generation *const one =
      sources != NULL ? make_bare(reload, sources, (uint64_t)json_integer_value(json_object_get(set, "generation"))) : NULL;
  cox_sources_release(sources);
  for (size_t i = 0; i < faults.count; i++) {
    cox_log(COX_LOG_WARN, "reload", "scripts kept in the store are of no use", "set", name, "file", faults.list[i].file, "reason",
            faults.list[i].text, NULL);
  }
  cox_faults_fini(&faults);
  return one;
}

/* Whether `sources` are those of a kept set. */
static bool is_kept_as(const struct cox_sources *sources, const json_t *choice, const char *name) {
  char hash[COX_SOURCES_HASH_TEXT];
  cox_sources_hash_text(sources->scripts_hash, hash);
  const char *const kept = json_string_value(json_object_get(json_object_get(choice, name), "hash"));
  return kept != NULL && strcmp(kept, hash) == 0;
}

/* The set that was live goes on instead of files that were rejected. NULL: they were not, or the store does not have it. */
static struct cox_generation *instead_of_rejected(struct cox_reload *reload, const struct cox_sources *found, const json_t *choice) {
  if (!cox_rejected_has(&reload->rejected, found->scripts_hash) || cox_fault("reload.forgets_choice")) return NULL;
  struct cox_generation *const live = kept_one(reload, choice, "live");
  if (live == NULL) return NULL;
  cox_log(COX_LOG_WARN, "reload", "the scripts in the folders were rejected before: those that were live then go on", "generation",
          COX_LOG_INT(live->number), "next", "change them, or ask for a reload", NULL);
  return live;
}

/* Takes all but `found`. */
static int begin_with(struct cox_reload *reload, struct cox_sources *found, struct cox_sources *chosen, uint64_t number,
                      struct cox_generation *previous, struct cox_faults *faults) {
  struct cox_generation *const live = make(reload, chosen, number, faults);
  if (live == NULL) {
    cox_generation_release(previous);
    return COX_ESCRIPT;
  }
  reload->tried_hash = found->hash;
  reload->has_tried = true;
  if (number > reload->last_number) reload->last_number = number;
  cox_generation_rest(live);
  cox_generations_begin(reload->options.generations, live, previous);
  if (reload->broker != NULL) keep_choice(reload);
  return 0;
}

int cox_reload_first(struct cox_reload *reload, struct cox_broker *broker, struct cox_faults *faults) {
  reload->broker = broker;
  json_t *const choice = broker != NULL ? cox_kept_read(broker) : NULL;
  cox_rejected_set(&reload->rejected, json_object_get(choice, "rejected"));
  reload->last_number = (uint64_t)json_integer_value(json_object_get(choice, "last_number"));
  struct cox_sources *const found = read_sources(reload, reload->options.folders, faults);
  if (found != NULL) atomic_store(&reload->found_hash, found->scripts_hash);
  struct cox_generation *const kept = found != NULL ? instead_of_rejected(reload, found, choice) : NULL;
  int rc = COX_ESCRIPT;
  if (kept != NULL) {
    rc = begin_with(reload, found, kept->sources, kept->number, kept_one(reload, choice, "previous"), faults);
  } else if (found != NULL && is_kept_as(found, choice, "live")) {
    const uint64_t number = (uint64_t)json_integer_value(json_object_get(json_object_get(choice, "live"), "generation"));
    rc = begin_with(reload, found, found, number, kept_one(reload, choice, "previous"), faults);
  } else if (found != NULL) { /* edited while nobody looked: what was live then can be gone back to */
    rc = begin_with(reload, found, found, reload->last_number + 1, kept_one(reload, choice, "live"), faults);
  }
  cox_generation_release(kept);
  cox_sources_release(found);
  json_decref(choice);
  return rc;
}

/* ---- the three kinds of work ---- */

static void tell_refusal(struct cox_reload *reload, struct work *work, const char *hash) {
  log_faults(work);
  json_t *const fields = json_pack("{so, sO}", "reason", text_json(work->outcome.err.text), "faults", work->outcome.result);
  if (hash != NULL) json_object_set_new(fields, "hash", json_string(hash));
  tell(reload, work, "refused", fields);
  cox_broker_count_reload(reload->broker, COX_RELOAD_REFUSED);
}

/* `sources` NULL: they could not even be read. */
static void reject(struct cox_reload *reload, struct work *work, const struct cox_sources *sources) {
  char hash[COX_SOURCES_HASH_TEXT] = "";
  refuse(work, "the scripts were not loaded");
  json_t *const entry = json_pack("{so, sO}", "reason", text_json(work->outcome.err.text), "faults", work->outcome.result);
  cox_rejected_add(&reload->rejected, sources != NULL ? sources->scripts_hash : COX_RELOAD_UNREADABLE, entry);
  if (sources != NULL) {
    cox_sources_hash_text(sources->scripts_hash, hash);
    keep_choice(reload);
  }
  tell_refusal(reload, work, sources != NULL ? hash : NULL);
}

/* The flip said no, or did not happen. */
static void take_failure(struct cox_reload *reload, struct work *work, const struct cox_sources *sources, const struct cox_err *err) {
  if (err->code == COX_ETIME || err->code == COX_ESTOPPED) {
    reload->has_tried = false; /* nothing is known against them: who asks again is not told that they are the same */
    cox_log(COX_LOG_ERROR, "reload", "the scripts were not exchanged", "reason", err->text, "caller", work->caller, NULL);
    tell(reload, work, "failed", json_pack("{so}", "reason", text_json(err->text)));
    fail(work, err);
    return;
  }
  cox_faults_add(&work->faults, err->file, err->line, "taking over the state of the present policy failed: %s", err->text);
  reject(reload, work, sources);
}

/* Another one is live. */
static void conclude(struct cox_reload *reload, struct work *work, uint64_t number, const char *hash, const char *reason) {
  const size_t changes = json_array_size(work->rehearsal.changes);
  json_t *const fields = json_pack("{sI, ss, sI}", "generation", (json_int_t)number, "hash", hash, "changes", (json_int_t)changes);
  if (reason != NULL) json_object_set_new(fields, "reason", text_json(reason));
  tell(reload, work, "done", fields);
  cox_log(COX_LOG_INFO, "reload", strcmp(work->action, "reload") == 0 ? "new scripts are live" : "the scripts before are live again", "generation",
          COX_LOG_INT(number), "hash", hash, "targets_changed", COX_LOG_INT(changes), "caller", work->caller,
          reason != NULL ? "reason" : NULL, reason, NULL);
  keep_choice(reload);
  if (reload->exchanged != NULL) reload->exchanged(reload->exchanged_ctx);
}

/* A set that is the same as the live one must not push the one before it out. */
static bool is_as_live(struct cox_reload *reload, const struct cox_sources *sources) {
  struct cox_generation *const live = cox_generations_hold(reload->options.generations);
  const bool is = live->sources->hash == sources->hash;
  cox_generation_release(live);
  return is;
}

/* True, and `work` says so: nothing came of it because of the stop. Nothing is known against those scripts. */
static bool has_stopped(struct cox_reload *reload, struct work *work) {
  struct cox_err err;
  if (!atomic_load(&reload->is_left)) return false;
  cox_err_set(&err, COX_ESTOPPED, "the scripts were left as they are: the daemon is stopping");
  reload->has_tried = false;
  fail(work, &err);
  return true;
}

/* True: a newer request came meanwhile, for which it begins anew. */
static bool load(struct cox_reload *reload, struct work *work, struct cox_sources *sources) {
  struct cox_generation *const made = make_tried(reload, sources, reload->last_number + 1, work);
  if (cox_reload_end_load(reload)) {
    cox_generation_release(made);
    cox_rehearsal_fini(&work->rehearsal);
    cox_faults_fini(&work->faults);
    work->faults = (struct cox_faults){0};
    return true;
  }
  if (made == NULL && has_stopped(reload, work)) return false;
  reload->tried_hash = sources->hash;
  reload->has_tried = true;
  if (made == NULL) {
    reject(reload, work, sources);
    return false;
  }
  const bool keeps_left = !is_as_live(reload, sources);
  struct cox_generation *const previous = keeps_left ? NULL : cox_generations_hold_previous(reload->options.generations);
  const uint64_t number = ++reload->last_number;
  char hash[COX_SOURCES_HASH_TEXT];
  struct cox_err err;
  cox_sources_hash_text(sources->scripts_hash, hash);
  if (cox_generations_flip(reload->options.generations, made, keeps_left, previous, reload->broker, &err) != 0) {
    take_failure(reload, work, sources, &err);
    return false;
  }
  cox_rejected_remove(&reload->rejected, sources->scripts_hash);
  succeed(work, COX_SCRIPTS_DONE, number);
  cox_broker_count_reload(reload->broker, COX_RELOAD_DONE);
  conclude(reload, work, number, hash, NULL);
  return false;
}

/* As load. `is_moved`: the same content in other folders is another set. */
static bool load_if_new(struct cox_reload *reload, struct work *work, bool is_explicit, bool is_moved) {
  struct cox_sources *const sources = read_sources(reload, reload->options.folders, &work->faults);
  bool begins_again = false;
  const uint64_t before = atomic_exchange(&reload->found_hash, sources != NULL ? sources->scripts_hash : COX_RELOAD_UNREADABLE);
  if (sources == NULL) {
    reload->has_tried = false;
    reject(reload, work, NULL);
    return false;
  }
  if (before == COX_RELOAD_UNREADABLE) cox_rejected_remove(&reload->rejected, COX_RELOAD_UNREADABLE);
  const bool is_bad = cox_rejected_has(&reload->rejected, sources->scripts_hash);
  const bool is_same = !is_moved && reload->has_tried && reload->tried_hash == sources->hash;
  if (is_bad ? !is_explicit : is_same) {
    succeed(work, COX_SCRIPTS_UNCHANGED, atomic_load(&reload->options.generations->number));
    cox_broker_count_reload(reload->broker, COX_RELOAD_UNCHANGED);
  } else {
    begins_again = load(reload, work, sources);
  }
  cox_sources_release(sources);
  return begins_again;
}

/* Takes over what the configuration names now; true: these are others. A broken configuration names what it did before. */
static bool follow(struct cox_reload *reload, struct cox_faults *faults) {
  json_t *const now = configured_folders(reload, faults);
  const bool is_moved = now != NULL && !json_equal(now, reload->options.folders);
  if (is_moved) {
    char *const list = json_dumps(now, JSON_COMPACT);
    cox_log(COX_LOG_INFO, "reload", "the configuration names other folders of scripts", "folders", list != NULL ? list : "?", NULL);
    free(list);
    json_decref(reload->options.folders);
    reload->options.folders = json_incref(now);
    if (reload->options.is_watching) cox_watch_move(&reload->watch, now);
  }
  json_decref(now);
  return is_moved;
}

static void do_reload(struct cox_reload *reload, struct work *work, const struct cox_reload_order *order) {
  const bool is_explicit = order->kind == COX_RELOAD_ASKED;
  struct cox_faults unsaid = {0}; /* SIGHUP has told them already */
  const bool is_moved = order->follows && follow(reload, is_explicit ? &work->faults : &unsaid);
  cox_faults_fini(&unsaid);
  if (work->faults.count > 0) {
    refuse(work, "the configuration is broken now: the scripts were not loaded");
    tell_refusal(reload, work, NULL);
    return;
  }
  cox_reload_begin_load(reload);
  const bool begins_again = load_if_new(reload, work, is_explicit, is_moved);
  cox_reload_end_load(reload);
  if (begins_again) load_if_new(reload, work, is_explicit, is_moved);
}

static void refuse_rollback(struct cox_reload *reload, struct work *work, const char *why) {
  struct cox_err err;
  cox_err_set(&err, COX_ENOENT, "going back failed: there are no scripts before the present ones");
  cox_log(COX_LOG_WARN, "reload", "there are no scripts to go back to: the present ones go on", "caller", work->caller,
          why != NULL ? "reason" : NULL, why, NULL);
  tell(reload, work, "failed", json_pack("{ss}", "reason", err.text));
  fail(work, &err);
}

/* `why` NULL: it was asked for. */
static void do_rollback(struct cox_reload *reload, struct work *work, const char *why) {
  struct cox_generations *const generations = reload->options.generations;
  struct cox_generation *const left = cox_generations_hold(generations), *const back = cox_generations_hold_previous(generations);
  struct cox_generation *const made = back != NULL ? make_tried(reload, back->sources, back->number, work) : NULL;
  struct cox_err err;
  char hash[COX_SOURCES_HASH_TEXT], reason[TEXT_BYTES];
  if (back == NULL) {
    refuse_rollback(reload, work, why);
  } else if (made == NULL && has_stopped(reload, work)) {
    cox_log(COX_LOG_WARN, "reload", "no going back: the daemon is stopping", "caller", work->caller, NULL);
  } else if (made == NULL) {
    refuse(work, "the scripts before the present ones were not loaded");
    tell_refusal(reload, work, NULL);
  } else if (cox_generations_flip(generations, made, false, NULL, reload->broker, &err) != 0) {
    take_failure(reload, work, back->sources, &err);
  } else {
    snprintf(reason, sizeof reason, "rolled back by %s%s%s", work->caller, why != NULL ? ": " : "", why != NULL ? why : "");
    cox_rejected_add(&reload->rejected, left->sources->scripts_hash, json_pack("{so}", "reason", text_json(reason)));
    cox_rejected_remove(&reload->rejected, back->sources->scripts_hash);
    cox_sources_hash_text(back->sources->scripts_hash, hash);
    succeed(work, COX_SCRIPTS_DONE, back->number);
    cox_broker_count_reload(reload->broker, COX_RELOAD_ROLLED_BACK);
    conclude(reload, work, back->number, hash, why);
  }
  cox_generation_release(left);
  cox_generation_release(back);
}

/* `dir` NULL: the configured folders. */
static struct cox_sources *read_planned(struct cox_reload *reload, const char *dir, struct cox_faults *faults) {
  if (dir != NULL) return counted(reload, cox_sources_read(dir, reload->library_dir, faults));
  json_t *const folders = configured_folders(reload, faults);
  struct cox_sources *const sources = folders != NULL ? read_sources(reload, folders, faults) : NULL;
  json_decref(folders);
  return sources;
}

static void do_plan(struct cox_reload *reload, struct work *work, const char *dir) {
  struct cox_sources *const sources = read_planned(reload, dir, &work->faults);
  struct cox_generation *const made = sources != NULL ? make_tried(reload, sources, reload->last_number + 1, work) : NULL;
  if (made != NULL) {
    work->outcome.status = COX_SCRIPTS_DONE;
    work->outcome.result = json_pack("{sO}", "changes", work->rehearsal.changes);
  } else if (sources == NULL || !has_stopped(reload, work)) {
    refuse(work, "nothing was planned");
  }
  cox_generation_release(made);
  cox_sources_release(sources);
}

/* Who asked is answered after the commit, so that a kill cannot undo what was said to be done; or is told that there was none. In a world
 * of one thread the store would never get its turn.                                                                                 */
static void await_store(struct cox_reload *reload, struct work *work, const struct cox_reload_order *order) {
  if (order->request == NULL || order->asked == COX_ORDER_PLAN || work->outcome.status > COX_SCRIPTS_UNCHANGED) return;
  if (reload->broker == NULL || reload->drive.attend != NULL) return;
  const int64_t end_us = cox_clock_mono_us(cox_clock_system()) + STORE_MS * INT64_C(1000);
  bool is_answered = cox_kept_await(&reload->kept, end_us, &reload->is_left);
  if (cox_kept_due_us(&reload->kept) == 0) { /* it was another choice that was under way */
    keep_choice(reload);
    is_answered = cox_kept_await(&reload->kept, end_us, &reload->is_left);
  }
  struct cox_err err;
  if (!cox_kept_is_failing(&reload->kept, &err)) {
    if (is_answered) return;
    cox_err_set(&err, COX_ETIME, "the store has not taken the choice of scripts yet: a start before it does would not know of it");
  }
  json_object_set_new(work->outcome.result, "unstored", text_json(err.text));
}

int64_t cox_reload_due_us(struct cox_reload *reload) {
  return cox_fault("reload.forgets_owed") ? INT64_MAX : cox_kept_due_us(&reload->kept);
}

void cox_reload_turn(struct cox_reload *reload) {
  if (cox_reload_due_us(reload) > cox_clock_mono_us(reload->kept.clock)) return;
  if (cox_broker_is_degraded(reload->broker, NULL)) cox_kept_put_off(&reload->kept);
  else keep_choice(reload);
}

static void finish(struct work *work, struct cox_scripts_request *request) {
  if (request != NULL) request->done(request, &work->outcome);
  json_decref(work->outcome.result);
  cox_rehearsal_fini(&work->rehearsal);
  cox_faults_fini(&work->faults);
}

void cox_reload_do(struct cox_reload *reload, const struct cox_reload_order *order) {
  static const char *const actions[] = {"reload", "rollback", "plan"};
  struct cox_scripts_request *const request = order->request;
  struct work work = {.caller = request != NULL ? request->caller : order->caller, .action = actions[order->asked]};
  switch (order->asked) {
    case COX_ORDER_RELOAD: do_reload(reload, &work, order); break;
    case COX_ORDER_ROLLBACK: do_rollback(reload, &work, order->kind == COX_RELOAD_GIVE_UP ? order->why : NULL); break;
    case COX_ORDER_PLAN: do_plan(reload, &work, request->dir); break;
  }
  await_store(reload, &work, order);
  finish(&work, request);
}
