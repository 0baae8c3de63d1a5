/* The fibers of a rig, and the rig itself for its two files. */
#ifndef COX_SCRIPT_RIG_FIBER_H
#define COX_SCRIPT_RIG_FIBER_H

#include <jansson.h>
#include <stdbool.h>

#include "core/broker.h"
#include "core/fiber.h"
#include "script/rig.h"

enum { COX_RIG_FIBERS_MAX = 512 };

/* One attempt, job or chore. */
struct cox_rig_fiber {
  struct cox_fiber *fiber;     /* NULL: not started, or the place is free */
  struct cox_attempt *attempt; /* of reach and probe */
  bool is_used, is_brokers;    /* is_brokers: the reconciler made the attempt, and wants it back */
  bool is_cancelled;           /* and the case does not know yet */
  cox_reply_fn *reply;         /* of a chore */
  void *reply_arg;
  json_t *args;                /* of a chore, held */
  struct cox_io_request request;
};

struct cox_rig_fibers {
  struct cox_rig *rig;
  const struct cox_fiber_ops *ops;
  void *vm;
  struct cox_rig_fiber list[COX_RIG_FIBERS_MAX]; /* named by place + 1 */
  size_t last_chore;           /* the one that the last command began, 0: none */
};

struct cox_rig {
  int64_t now_us, base_ms, next_us;
  struct cox_clock_era era;
  struct cox_clock clock;
  struct cox_transport transport;
  struct cox_store store;
  struct cox_script *script;
  struct cox_broker *broker; /* NULL before the first reset */
  json_t *config;            /* what jobs see */
  json_t *answer;            /* of the last command; NULL: taken */
  struct cox_rig_fibers fibers;
};

bool cox_rig_fibers_init(struct cox_rig_fibers *fibers, struct cox_rig *rig, struct cox_err *err);
void cox_rig_fibers_fini(struct cox_rig_fibers *fibers);
/* Fresh machines; no fiber may live. */
bool cox_rig_fibers_renew(struct cox_rig_fibers *fibers, struct cox_err *err);
/* Ends all of them without telling the broker, which ends next. */
void cox_rig_fibers_drop(struct cox_rig_fibers *fibers);
/* The transport's three. */
void cox_rig_fibers_take(struct cox_rig_fibers *fibers, struct cox_attempt *attempt);
void cox_rig_fibers_cancel(struct cox_rig_fibers *fibers, uint64_t number);
int cox_rig_fibers_chore(struct cox_rig_fibers *fibers, const char *name, json_t *args, cox_reply_fn *reply, void *arg, struct cox_err *err);
/* Operations of the rig. finish leaves an attempt that the broker wants back in `attempt`. */
json_t *cox_rig_fibers_poll(struct cox_rig_fibers *fibers);
json_t *cox_rig_fibers_start(struct cox_rig_fibers *fibers, json_t *args, struct cox_err *err);
json_t *cox_rig_fibers_resume(struct cox_rig_fibers *fibers, json_t *args, struct cox_err *err);
json_t *cox_rig_fibers_finish(struct cox_rig_fibers *fibers, json_t *args, struct cox_attempt **attempt, struct cox_err *err);

#endif
