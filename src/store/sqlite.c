/* The thread cox-store and what others hand to it. */
#include "store/sqlite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/sqlite_private.h"

enum {
  LOG_PAGES_IDLE = 256,  /* in a quiet moment the log is brought into the file when it has that many pages, */
  LOG_PAGES_MAX = 8192,  /* and at any moment when it has that many (32 MiB) */
  IDLE_US = 200000,      /* without work that long: a quiet moment */
};

/* ---- any thread ---- */

static int check_open_locked(const struct cox_sqlite *self, struct cox_err *err) COX_REQUIRES(self->mutex) {
  if (self->is_closing) return cox_err_set(err, COX_ESTOPPED, "the store %s is closed", self->path);
  if (self->is_shut) return cox_err_set(err, COX_EDEGRADED, "%s", self->why);
  return 0;
}

static int append(void *ctx, struct cox_batch *batch, struct cox_err *err) {
  struct cox_sqlite *const self = ctx;
  cox_mutex_lock(&self->mutex);
  const int rc = check_open_locked(self, err);
  if (rc == 0) {
    batch->next = NULL;
    if (self->last != NULL) self->last->next = batch;
    else self->first = batch;
    self->last = batch;
  }
  cox_mutex_unlock(&self->mutex);
  if (rc == 0) cox_cond_signal(&self->cond);
  return rc;
}

static void settle(void *ctx) {
  struct cox_sqlite *const self = ctx;
  cox_mutex_lock(&self->mutex);
  if (self->is_shut) self->is_settled = true;
  cox_cond_signal(&self->cond);
  cox_mutex_unlock(&self->mutex);
}

static int read_records(void *ctx, struct cox_store_read *read, struct cox_err *err) {
  struct cox_sqlite *const self = ctx;
  int rc = 0;
  cox_mutex_lock(&self->mutex);
  if (self->is_closing) {
    rc = cox_err_set(err, COX_ESTOPPED, "the store %s is closed", self->path);
  } else if (self->reads >= COX_SQLITE_READS_MAX) {
    rc = cox_err_set(err, COX_EFULL, "older records cannot be read: %d others ask already; try again later", COX_SQLITE_READS_MAX);
  } else {
    read->next = NULL;
    if (self->last_read != NULL) self->last_read->next = read;
    else self->first_read = read;
    self->last_read = read;
    self->reads++;
    cox_cond_signal(&self->cond);
  }
  cox_mutex_unlock(&self->mutex);
  return rc;
}

static int backup(void *ctx, const char *path, void (*done)(void *arg, const struct cox_err *err), void *arg, struct cox_err *err) {
  struct cox_sqlite *const self = ctx;
  struct cox_sqlite_backup *const job = cox_sqlite_backup_create(path, done, arg);
  if (job == NULL) return cox_err_set(err, COX_ENOMEM, "the copy %s was not made: out of memory", path);
  int rc = 0;
  cox_mutex_lock(&self->mutex);
  if (self->backup != NULL) rc = cox_err_set(err, COX_EBUSY, "the copy %s was not made: another one is being made; try again later", path);
  else rc = check_open_locked(self, err);
  if (rc == 0) self->backup = job;
  cox_cond_signal(&self->cond);
  cox_mutex_unlock(&self->mutex);
  if (rc != 0) {
    job->done = NULL;
    cox_sqlite_backup_fail(job, NULL);
  }
  return rc;
}

static void compact(void *ctx, uint64_t records_max, int64_t age_max_s) {
  struct cox_sqlite *const self = ctx;
  cox_mutex_lock(&self->mutex);
  if (records_max > 0) self->records_max = records_max;
  if (age_max_s > 0) self->age_max_s = age_max_s;
  cox_mutex_unlock(&self->mutex);
}

static void hold(void *ctx, bool is_held) {
  struct cox_sqlite *const self = ctx;
  cox_mutex_lock(&self->mutex);
  self->held_until_us = cox_clock_mono_us(self->clock) + COX_STORE_HOLD_MS * 1000;
  atomic_store(&self->is_held, is_held);
  if (!is_held) cox_cond_signal(&self->cond);
  cox_mutex_unlock(&self->mutex);
}

static int load(void *ctx, struct cox_stored *out, struct cox_err *err) { /* before the thread has any work */
  struct cox_sqlite *const self = ctx;
  cox_mutex_lock(&self->mutex); /* hands the connection over, to this thread and back */
  const int rc = cox_sqlite_load(self, out, err);
  if (rc == 0 && out->is_shut) {
    self->is_shut = true;
    snprintf(self->why, sizeof self->why, "%.500s", out->why.text);
  }
  cox_mutex_unlock(&self->mutex);
  return rc;
}

static void watch(void *ctx, void (*is_back)(void *arg), void *arg) {
  struct cox_sqlite *const self = ctx;
  cox_mutex_lock(&self->mutex);
  self->is_back = is_back;
  self->is_back_arg = arg;
  cox_mutex_unlock(&self->mutex);
}

/* ---- cox-store ---- */

void cox_sqlite_rest(struct cox_sqlite *self) {
  if (!atomic_load_explicit(&self->is_held, memory_order_relaxed)) return;
  cox_mutex_lock(&self->mutex);
  while (atomic_load(&self->is_held) && !self->is_closing) {
    const int64_t left_us = self->held_until_us - cox_clock_mono_us(self->clock);
    if (left_us <= 0 || !cox_cond_wait_us(&self->cond, &self->mutex, left_us)) break;
  }
  atomic_store(&self->is_held, false); /* it had its time */
  cox_mutex_unlock(&self->mutex);
}

static void finish(struct cox_batch *batch, const struct cox_err *err) {
  while (batch != NULL) {
    struct cox_batch *const next = batch->next; /* it is the core's again after done */
    batch->done(batch, err);
    batch = next;
  }
}

/* Shuts first, so that nothing new gets in behind what fails here. */
static void shut(struct cox_sqlite *self, struct cox_batch *failed, const struct cox_err *err) COX_EXCLUDES(self->mutex) {
  cox_mutex_lock(&self->mutex);
  self->is_shut = true;
  self->is_settled = false;
  snprintf(self->why, sizeof self->why, "%.500s", err->text);
  struct cox_batch *const waiting = self->first;
  self->first = self->last = NULL;
  cox_mutex_unlock(&self->mutex);
  self->retry_at_us = cox_clock_mono_us(self->clock) + self->retry_us;
  finish(failed, err);
  finish(waiting, err);
}

static void commit(struct cox_sqlite *self, struct cox_batch *batches) {
  struct cox_err err = {0};
  if (batches == NULL) return;
  if (cox_sqlite_commit(self, batches, &err) == 0) finish(batches, NULL);
  else shut(self, batches, &err);
}

static void test(struct cox_sqlite *self) COX_EXCLUDES(self->mutex) {
  struct cox_err err = {0};
  if (cox_sqlite_test(self, &err) != 0) {
    self->retry_at_us = cox_clock_mono_us(self->clock) + self->retry_us;
    return;
  }
  cox_mutex_lock(&self->mutex);
  self->is_shut = self->is_settled = false;
  void (*const is_back)(void *arg) = self->is_back;
  void *const arg = self->is_back_arg;
  cox_mutex_unlock(&self->mutex);
  if (is_back != NULL) is_back(arg);
}

/* What one turn has to do. */
struct work {
  struct cox_batch *batches;
  struct cox_store_read *reads;
  struct cox_sqlite_backup *backup;
  bool is_shut, tests, is_idle, is_over;
  uint64_t records_max;
  int64_t age_max_s;
};

/* How long there is nothing to do unless somebody calls; 0: there is something. */
static int64_t pause_locked(const struct cox_sqlite *self, int64_t idle_since_us) COX_REQUIRES(self->mutex) {
  const int64_t now_us = cox_clock_mono_us(self->clock);
  if (self->first != NULL || self->first_read != NULL || self->backup != NULL || self->is_closing) return 0;
  if (self->is_shut) return !self->is_settled ? INT64_MAX : self->retry_at_us > now_us ? self->retry_at_us - now_us : 0;
  if (self->wal_pages < LOG_PAGES_IDLE) return INT64_MAX;
  const int64_t idle_at_us = idle_since_us + IDLE_US;
  return idle_at_us > now_us ? idle_at_us - now_us : 0;
}

static void wait_for_work(struct cox_sqlite *self, struct work *work) COX_EXCLUDES(self->mutex) {
  const int64_t since_us = cox_clock_mono_us(self->clock);
  cox_mutex_lock(&self->mutex);
  for (int64_t pause_us; (pause_us = pause_locked(self, since_us)) > 0;) {
    if (pause_us == INT64_MAX) cox_cond_wait(&self->cond, &self->mutex);
    else cox_cond_wait_us(&self->cond, &self->mutex, pause_us);
  }
  *work = (struct work){
      .batches = self->first,
      .reads = self->first_read,
      .backup = self->backup,
      .is_shut = self->is_shut,
      .tests = self->is_shut && self->is_settled && cox_clock_mono_us(self->clock) >= self->retry_at_us,
      .is_idle = self->first == NULL && self->first_read == NULL && self->backup == NULL,
      .is_over = self->is_closing && self->first == NULL,
      .records_max = self->records_max,
      .age_max_s = self->age_max_s,
  };
  self->first = self->last = NULL;
  self->first_read = self->last_read = NULL;
  self->reads = 0;
  cox_mutex_unlock(&self->mutex);
}

static void chores(struct cox_sqlite *self, const struct work *work) {
  struct cox_err err = {0};
  cox_mutex_lock(&self->mutex);
  const bool is_shut = self->is_shut;
  cox_mutex_unlock(&self->mutex);
  if (is_shut) return;
  int rc = cox_sqlite_trim(self, work->records_max, work->age_max_s, &err);
  const int most = work->is_idle ? LOG_PAGES_IDLE : LOG_PAGES_MAX;
  if (rc == 0 && self->wal_pages >= most) rc = cox_sqlite_checkpoint(self, &err);
  if (rc != 0) shut(self, NULL, &err);
}

static void answer_all(struct cox_sqlite *self, struct cox_store_read *reads) {
  while (reads != NULL) {
    struct cox_store_read *const next = reads->next;
    cox_sqlite_answer(self, reads);
    reads = next;
  }
}

static void go_on_with_backup(struct cox_sqlite *self, struct work *work) {
  if (work->backup == NULL) return;
  if (work->is_shut || work->is_over || self->db == NULL) {
    struct cox_err err;
    cox_err_set(&err, COX_EDEGRADED, "the copy %s was not made: the store %s", work->backup->path, work->is_over ? "is closing" : "cannot be written");
    cox_sqlite_backup_fail(work->backup, &err);
  } else if (cox_sqlite_backup_step(self, work->backup)) {
    return;
  }
  cox_mutex_lock(&self->mutex);
  self->backup = NULL;
  cox_mutex_unlock(&self->mutex);
}

static void run(void *arg) {
  struct cox_sqlite *const self = arg;
  struct work work = {0};
  while (!work.is_over) {
    wait_for_work(self, &work);
    commit(self, work.batches);
    answer_all(self, work.reads);
    go_on_with_backup(self, &work);
    if (work.tests) test(self);
    else chores(self, &work);
  }
}

/* ---- the whole ---- */

static void close_store(void *ctx) {
  struct cox_sqlite *const self = ctx;
  cox_mutex_lock(&self->mutex);
  self->is_closing = true;
  cox_cond_signal(&self->cond);
  cox_mutex_unlock(&self->mutex);
  cox_thread_join(&self->thread);
  cox_sqlite_close(self, !self->is_shut);
}

static struct cox_sqlite *allocate(const struct cox_sqlite_options *options) {
  struct cox_sqlite *const self = calloc(1, sizeof *self);
  if (self == NULL) return NULL;
  self->path = strdup(options->path);
  self->vfs = options->vfs != NULL ? strdup(options->vfs) : NULL;
  self->clock = options->clock != NULL ? options->clock : cox_clock_system();
  self->retry_us = (options->retry_ms > 0 ? options->retry_ms : COX_SQLITE_RETRY_MS) * 1000;
  self->records_max = options->records_max > 0 ? options->records_max : COX_SQLITE_RECORDS_MAX;
  self->age_max_s = options->age_max_s > 0 ? options->age_max_s : COX_SQLITE_AGE_MAX_S;
  cox_mutex_init(&self->mutex);
  cox_cond_init(&self->cond);
  self->store = (struct cox_store){.ctx = self, .load = load, .watch = watch, .append = append, .settle = settle, .read = read_records,
                                   .backup = backup, .compact = compact, .hold = hold, .close = close_store};
  return self;
}

struct cox_sqlite *cox_sqlite_create(const struct cox_sqlite_options *options, struct cox_err *err) {
  struct cox_sqlite *const self = allocate(options);
  if (self == NULL) {
    cox_err_set(err, COX_ENOMEM, "opening the store %s failed: out of memory", options->path);
    return NULL;
  }
  if (self->path != NULL && cox_sqlite_open(self, true, err) == 0 && cox_thread_start(&self->thread, "cox-store", run, self, err) == 0) return self;
  cox_sqlite_destroy(self);
  return NULL;
}

void cox_sqlite_destroy(struct cox_sqlite *self) {
  if (self == NULL) return;
  close_store(self);
  cox_cond_fini(&self->cond);
  cox_mutex_fini(&self->mutex);
  free(self->path);
  free(self->vfs);
  free(self);
}

const struct cox_store *cox_sqlite_store(struct cox_sqlite *self) { return &self->store; }
