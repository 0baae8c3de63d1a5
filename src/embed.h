/* The inside of the public interface (include/coxswain/coxswain.h), shared by its files. */
#ifndef COX_EMBED_H
#define COX_EMBED_H

#include <stdatomic.h>

#include "base/lock.h"
#include "core/broker.h"
#include "coxswain/coxswain.h"

struct cox_daemon;

struct coxswain {
  struct cox_daemon *daemon;
  struct cox_broker *broker;
  atomic_size_t acquirers; /* threads inside of coxswain_acquire: the broker stays until they have left */
  struct cox_mutex mutex; /* guards the next two */
  struct coxswain_subscription *subscriptions;
  size_t subscription_count;
};

/* Fills `error` (may be NULL) and returns `code`. */
int cox_embed_fail(struct coxswain_error *error, int code, const char *text);

/* embed_events.c */
void cox_subscriptions_init(struct coxswain *cox);
/* Ends all that are left. */
void cox_subscriptions_fini(struct coxswain *cox);

#endif
