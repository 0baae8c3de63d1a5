/* One line of the journal: a fact of the past, immutable once it has its number, shared by the journal's readers and the
 * store. Frequent kinds keep their parts as they are and become JSON only where somebody wants JSON: on the store's thread
 * or a reader's. The state records among them are all that the durable state is made of (durable.h).                     */
#ifndef COX_CORE_RECORD_H
#define COX_CORE_RECORD_H

#include <jansson.h>
#include <stdatomic.h>
#include <stdint.h>

#include "core/answer.h"
#include "core/attempt.h"
#include "core/status.h"
#include "core/target.h"

enum cox_record_kind {
  COX_RECORD_START,    /* a process began; fields: version, start */
  COX_RECORD_STORE,    /* the store failed or works again; fields: state, reason */
  COX_RECORD_COMMAND,  /* a command was answered */
  COX_RECORD_RELOAD,   /* policy generations; fields of whoever reports */
  COX_RECORD_NOTE,     /* anything else that others report (ejections, …) */
  COX_RECORD_GAP,      /* records that were not stored; fields: count */
  COX_RECORD_STATUS,   /* a node's status changed */
  COX_RECORD_ATTEMPT,  /* an attempt ended; a state record when it carries the driver's part */
  /* from here on: state records */
  COX_RECORD_REGISTER, /* fields: node_num, registration, node */
  COX_RECORD_UPDATE,   /* same, and `forgets` when the node is another machine now */
  COX_RECORD_REMOVE,   /* fields: node_num, and freed_at: start height of the episode that holds the number back */
  COX_RECORD_ADMIN,    /* fields: enabled, epoch, reason, actor, expires_at */
  COX_RECORD_TARGET,   /* generation and target */
  COX_RECORD_EPISODE,  /* fields: height, hash, node_count */
  COX_RECORD_DRIVER,   /* what is known about what runs on a node, when it is written anew */
  COX_RECORD_FREED,    /* fields: node_num, freed_at */
  COX_RECORD_COUNTER,  /* fields: registrations */
  COX_RECORD_RESET,    /* the state records that follow replace the whole state of the registry */
  COX_RECORD_KEEP,     /* fields: table, name, value (absent: forgotten); not part of the journal */
  COX_RECORD_KINDS
};

/* What is known about what runs on a node: survives a restart, unlike its status. */
struct cox_driver_part {
  struct cox_target *applied; /* last target reached, held; NULL: none */
  json_t *memory;             /* the driver's notes, held, packed; NULL: none */
  struct cox_unanswered unanswered;
};

struct cox_record {
  atomic_uint references;
  enum cox_record_kind kind;
  uint64_t seq;      /* counts up without holes, but for what a failing store undid; 0: none yet, or KEEP */
  int64_t wall_ms;
  json_t *node_id;   /* string, held; NULL: about no node */
  json_t *fields;    /* object, held; NULL: none */
  struct cox_target *target; /* TARGET, ATTEMPT; held */
  struct cox_fence fence;    /* ATTEMPT; TARGET: generation */
  struct {
    enum cox_class class_;
    int64_t duration_ms;
    bool is_outdated;
    json_t *error; /* string, held; NULL: it succeeded */
  } attempt;
  struct {
    enum cox_status from, to;
    enum cox_poc from_poc, to_poc;
    json_t *reason; /* string, held; may be NULL */
    bool is_probe;  /* a probe saw it; else an attempt ended */
  } status;
  struct { /* COMMAND: one or more for each block of the chain */
    char *name;         /* owned; the caller stands behind it */
    const char *caller; /* in `name` */
    enum cox_outcome outcome;
    char *why;          /* owned; SKIPPED, ERROR. NULL: nothing is said */
  } command;
  bool has_driver; /* ATTEMPT, DRIVER */
  struct cox_driver_part driver;
};

/* Holds `node_id` (may be NULL). NULL: out of memory. */
struct cox_record *cox_record_create(enum cox_record_kind kind, json_t *node_id);
struct cox_record *cox_record_hold(struct cox_record *record);
void cox_record_release(struct cox_record *record);
/* {"seq", "time", "kind", "node_id"?, …}; a new reference, NULL: out of memory. */
json_t *cox_record_json(const struct cox_record *record);
const char *cox_record_kind_name(enum cox_record_kind kind);
/* Of those in the journal. */
bool cox_record_kind_is_known(const char *name);
#define COX_RECORD_KIND_NAMES                                                                                                        \
  "start, store, command, reload, note, gap, status, attempt, register, update, remove, admin, target, episode, driver, freed, counter " \
  "and reset"
bool cox_record_is_state(const struct cox_record *record);

/* Fields of a record under construction, by hand and without checks of what is ours: there are many. False, and the record
 * is useless: out of memory. Take `value` (NULL: out of memory).                                                          */
bool cox_record_set(struct cox_record *record, const char *key, json_t *value);

/* Of a COMMAND record: how it ended. `why` may be NULL. */
void cox_record_end(struct cox_record *record, enum cox_outcome outcome, const char *why);

/* {"applied"?, "memory"?, "unanswered"? {"call", "at_ms", "era", "at_us"}}; a new reference. */
json_t *cox_driver_part_json(const struct cox_driver_part *part);

#endif
