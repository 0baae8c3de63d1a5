/* Events for programs that embed the broker. Each subscription has a thread of its own, so that a callee which takes its time holds up
 * neither the broker nor another callee: it only reads older records.                                                               */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/thread.h"
#include "embed.h"

enum { PAGE = 256, SUBSCRIPTIONS_MAX = 64, RETRY_US = 50000 /* the store has no room for another question */ };

struct coxswain_subscription {
  struct coxswain_subscription *next; /* of its broker; guarded by that one's mutex, as is the next one */
  bool is_left; /* ended from inside of its own callback: to be freed by somebody else */
  struct coxswain *cox;
  void (*event)(void *arg, const char *event_json);
  void *arg;
  char kind[16], node_id[256]; /* "": any */
  uint64_t since; /* its thread's own */
  struct cox_thread thread;
  struct cox_mutex mutex; /* guards the rest */
  struct cox_cond cond;
  bool is_over;     /* it is to end */
  bool is_answered; /* what it waits for has come */
  json_t *records;  /* that the store found; NULL: it could not tell */
};

/* Whose callback the calling thread is in. */
static _Thread_local struct coxswain_subscription *inside;

/* ---- its thread ---- */

static bool is_over(struct coxswain_subscription *self) {
  cox_mutex_lock(&self->mutex);
  const bool is_so = self->is_over;
  cox_mutex_unlock(&self->mutex);
  return is_so;
}

static void answer(struct coxswain_subscription *self, json_t *records) {
  cox_mutex_lock(&self->mutex);
  self->records = json_incref(records);
  self->is_answered = true;
  cox_cond_signal(&self->cond);
  cox_mutex_unlock(&self->mutex);
}

static void expect(struct coxswain_subscription *self) {
  cox_mutex_lock(&self->mutex);
  self->is_answered = false;
  cox_mutex_unlock(&self->mutex);
}

/* `may_leave`: its end ends the wait, too. */
static void await(struct coxswain_subscription *self, bool may_leave) {
  cox_mutex_lock(&self->mutex);
  while (!self->is_answered && !(may_leave && self->is_over)) cox_cond_wait(&self->cond, &self->mutex);
  cox_mutex_unlock(&self->mutex);
}

static void tell(struct coxswain_subscription *self, const json_t *event) {
  char *const text = is_over(self) ? NULL : json_dumps(event, JSON_COMPACT);
  if (text != NULL) self->event(self->arg, text);
  free(text);
}

static void tell_all(struct coxswain_subscription *self, json_t *events) {
  size_t i;
  json_t *event;
  json_array_foreach(events, i, event) tell(self, event);
}

static void tell_gap(struct coxswain_subscription *self, uint64_t from, uint64_t to) {
  if (from == 0) return;
  json_t *const gap = json_pack("{ss, sI, sI}", "kind", "gap", "from", (json_int_t)from, "to", (json_int_t)to);
  tell(self, gap);
  json_decref(gap);
}

struct waiting {
  struct cox_event_waiter waiter;
  struct coxswain_subscription *self;
};

static void record_came(struct cox_event_waiter *waiter) { answer(((struct waiting *)waiter)->self, NULL); }

static void wait_for_record(struct coxswain_subscription *self) {
  struct waiting waiting = {.waiter.wake = record_came, .self = self};
  expect(self);
  if (!cox_broker_events_wait(self->cox->broker, self->since, &waiting.waiter)) return;
  await(self, true);
  if (!cox_broker_events_cancel(self->cox->broker, &waiting.waiter)) await(self, false); /* it is being woken: `waiting` is in use */
}

struct reading {
  struct cox_store_read read;
  struct coxswain_subscription *self;
};

static void page_came(struct cox_store_read *read, json_t *records, const struct cox_err *err) {
  (void)err; /* then there are none, and that is told as a gap */
  answer(((struct reading *)read)->self, records);
}

static void pause(struct coxswain_subscription *self) {
  cox_mutex_lock(&self->mutex);
  if (!self->is_over) cox_cond_wait_us(&self->cond, &self->mutex, RETRY_US);
  cox_mutex_unlock(&self->mutex);
}

/* Records that memory has no more. */
static void read_store(struct coxswain_subscription *self, uint64_t until) {
  struct reading reading = {.read = {.since = self->since, .until = until, .max = PAGE, .done = page_came}, .self = self};
  memcpy(reading.read.kind, self->kind, sizeof self->kind);
  memcpy(reading.read.node_id, self->node_id, sizeof self->node_id);
  expect(self);
  const int rc = cox_broker_events_stored(self->cox->broker, &reading.read, NULL);
  if (rc == COX_EFULL) {
    pause(self);
    return;
  }
  if (rc == 0) await(self, false);
  uint64_t from, to;
  json_t *const records = self->records;
  self->records = NULL;
  const uint64_t next = cox_store_read_end(&reading.read, records, self->since, until, &from, &to);
  tell_gap(self, from, to);
  tell_all(self, records);
  json_decref(records);
  self->since = next;
}

static void turn(struct coxswain_subscription *self) {
  const struct cox_event_filter filter = {.kind = self->kind[0] != '\0' ? self->kind : NULL,
                                          .node_id = self->node_id[0] != '\0' ? self->node_id : NULL};
  json_t *const page = cox_broker_events_json(self->cox->broker, self->since, PAGE, &filter);
  const uint64_t oldest = (uint64_t)json_integer_value(json_object_get(page, "oldest"));
  const uint64_t last = (uint64_t)json_integer_value(json_object_get(page, "last"));
  const uint64_t next = (uint64_t)json_integer_value(json_object_get(page, "next"));
  if (self->since > last) { /* of a journal that could not be stored to its end */
    tell_gap(self, last + 1, self->since);
    self->since = last;
  } else if (self->since + 1 < oldest) {
    read_store(self, oldest - 1);
  } else if (next > self->since) {
    tell_all(self, json_object_get(page, "events"));
    self->since = next;
  } else {
    wait_for_record(self);
  }
  json_decref(page);
}

static void run(void *arg) {
  struct coxswain_subscription *const self = arg;
  inside = self;
  while (!is_over(self)) turn(self);
}

/* ---- begin and end ---- */

static void destroy(struct coxswain_subscription *self) {
  cox_thread_join(&self->thread);
  cox_cond_fini(&self->cond);
  cox_mutex_fini(&self->mutex);
  json_decref(self->records);
  free(self);
}

static void end(struct coxswain_subscription *self) {
  cox_mutex_lock(&self->mutex);
  self->is_over = true;
  cox_cond_broadcast(&self->cond);
  cox_mutex_unlock(&self->mutex);
}

/* Takes those out that `is_wanted` by: all, or those that were left. A list. */
static struct coxswain_subscription *take(struct coxswain *cox, bool with_all) {
  struct coxswain_subscription *taken = NULL;
  cox_mutex_lock(&cox->mutex);
  for (struct coxswain_subscription **link = &cox->subscriptions; *link != NULL;) {
    struct coxswain_subscription *const self = *link;
    if (!with_all && !self->is_left) {
      link = &self->next;
      continue;
    }
    *link = self->next;
    self->next = taken;
    taken = self;
    cox->subscription_count--;
  }
  cox_mutex_unlock(&cox->mutex);
  return taken;
}

static void destroy_all(struct coxswain_subscription *list) {
  while (list != NULL) {
    struct coxswain_subscription *const self = list;
    list = self->next;
    end(self);
    destroy(self);
  }
}

void cox_subscriptions_init(struct coxswain *cox) { cox_mutex_init(&cox->mutex); }

void cox_subscriptions_fini(struct coxswain *cox) {
  destroy_all(take(cox, true));
  cox_mutex_fini(&cox->mutex);
}

static struct coxswain_subscription *create(struct coxswain *cox, uint64_t since, const struct coxswain_filter *filter) {
  struct coxswain_subscription *const self = calloc(1, sizeof *self);
  if (self == NULL) return NULL;
  self->cox = cox;
  self->since = since == COXSWAIN_FROM_NOW ? cox_broker_events_last(cox->broker) : since;
  if (filter != NULL && filter->kind != NULL) snprintf(self->kind, sizeof self->kind, "%s", filter->kind);
  if (filter != NULL && filter->node_id != NULL) snprintf(self->node_id, sizeof self->node_id, "%s", filter->node_id);
  cox_mutex_init(&self->mutex);
  cox_cond_init(&self->cond);
  return self;
}

static int check(const struct coxswain_filter *filter, struct coxswain_error *error) {
  const size_t kind = filter != NULL && filter->kind != NULL ? strlen(filter->kind) : 0;
  const size_t node = filter != NULL && filter->node_id != NULL ? strlen(filter->node_id) : 0;
  if (kind < sizeof ((struct coxswain_subscription *)0)->kind && node < sizeof ((struct coxswain_subscription *)0)->node_id) return 0;
  return cox_embed_fail(error, COXSWAIN_INVALID, "nothing was subscribed to: no kind has more than 15 letters, and no node id more than 255");
}

/* Enters it, unless there are too many. */
static bool enter(struct coxswain *cox, struct coxswain_subscription *self) {
  cox_mutex_lock(&cox->mutex);
  const bool has_room = cox->subscription_count < SUBSCRIPTIONS_MAX;
  if (has_room) {
    self->next = cox->subscriptions;
    cox->subscriptions = self;
    cox->subscription_count++;
  }
  cox_mutex_unlock(&cox->mutex);
  return has_room;
}

static void leave(struct coxswain_subscription *self) {
  struct coxswain *const cox = self->cox;
  cox_mutex_lock(&cox->mutex);
  struct coxswain_subscription **link = &cox->subscriptions;
  while (*link != self) link = &(*link)->next;
  *link = self->next;
  cox->subscription_count--;
  cox_mutex_unlock(&cox->mutex);
}

int coxswain_subscribe(struct coxswain *cox, uint64_t since, const struct coxswain_filter *filter,
                       void (*event)(void *arg, const char *event_json), void *arg, struct coxswain_subscription **out,
                       struct coxswain_error *error) {
  destroy_all(take(cox, false));
  if (check(filter, error) != 0) return COXSWAIN_INVALID;
  struct coxswain_subscription *const self = create(cox, since, filter);
  if (self == NULL) return cox_embed_fail(error, COXSWAIN_NO_MEMORY, "nothing was subscribed to: out of memory");
  self->event = event;
  self->arg = arg;
  if (!enter(cox, self)) {
    destroy(self);
    return cox_embed_fail(error, COXSWAIN_FULL, "nothing was subscribed to: there are 64 subscriptions already; end one first");
  }
  struct cox_err err = {0};
  *out = self; /* the first event may come before this returns */
  const int rc = cox_thread_start(&self->thread, "cox-events", run, self, &err);
  if (rc == 0) return COXSWAIN_OK;
  *out = NULL;
  leave(self);
  destroy(self);
  return cox_embed_fail(error, rc, err.text);
}

void coxswain_unsubscribe(struct coxswain_subscription *subscription) {
  if (subscription == NULL) return;
  end(subscription);
  if (inside == subscription) { /* its thread cannot wait for itself */
    cox_mutex_lock(&subscription->cox->mutex);
    subscription->is_left = true;
    cox_mutex_unlock(&subscription->cox->mutex);
    return;
  }
  leave(subscription);
  destroy(subscription);
}

uint64_t coxswain_events_last(struct coxswain *cox) { return cox_broker_events_last(cox->broker); }
