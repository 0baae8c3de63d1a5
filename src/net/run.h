/* One fiber on its way: an attempt's, a job's or a chore's. Lists of runs and the table that finds an attempt by its number. One thread. */
#ifndef COX_NET_RUN_H
#define COX_NET_RUN_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/attempt.h"
#include "core/fiber.h"
#include "net/alarm.h"
#include "net/mailbox.h"
#include "net/program.h"
#include "net/socket.h"
#include "net/transfer.h"

struct cox_run_list {
  struct cox_run *first, *last;
};

enum { COX_RUN_SOCKETS_MAX = 8 };

struct cox_run {
  struct cox_run *prev, *next;
  struct cox_run_list *list;   /* it stands in; NULL: in none */
  struct cox_run *chain;       /* in the table, or of jobs and chores */
  struct cox_alarm alarm;      /* the earlier of deadline and wake_us */
  struct cox_attempt *attempt; /* NULL: a job or a chore */
  struct cox_fiber *fiber;     /* NULL: not started, or a job at rest */
  struct cox_io_request request;
  bool has_request;              /* the next resume brings a reply */
  struct cox_transfer *transfer; /* in flight, or its reply is not given yet */
  struct cox_socket *sockets[COX_RUN_SOCKETS_MAX]; /* it has opened; NULL: free places */
  struct cox_socket *socket;     /* the one that it waits for, or whose reply is not given yet */
  struct cox_program *program;   /* it runs, or whose reply is not given yet */
  struct cox_note *errand;       /* the command whose answer is awaited */
  json_t *answer;                /* the reply to a command, not given yet */
  const char *failure;           /* why a request could not be made at all: the reply is this, of COX_CLASS_SCRIPT */
  int64_t wake_us;               /* end of a sleep, of a request's time or of a job's rest, INT64_MAX: none */
  /* jobs */
  char *job;           /* name */
  int64_t begun_us;    /* last start */
  int64_t rest_us;     /* length of the next rest */
  /* chores */
  struct cox_note *chore; /* owned: what is asked, and who waits for the answer; NULL: none */
  int64_t deadline_us;    /* INT64_MAX: none */
};

/* Takes the attempt (or copies the job's name; exactly one is given). NULL: out of memory, nothing is taken. */
struct cox_run *cox_run_create(struct cox_attempt *attempt, const char *job);
/* Takes the note. NULL: out of memory, nothing is taken. */
struct cox_run *cox_run_create_chore(struct cox_note *chore);
/* Must be in no list, and its fiber finished; the attempt must have been taken out. */
void cox_run_destroy(struct cox_run *run);

void cox_run_list_add(struct cox_run_list *list, struct cox_run *run);
void cox_run_unlist(struct cox_run *run);
/* Takes out the first; NULL: empty. */
struct cox_run *cox_run_list_take(struct cox_run_list *list);

/* Runs of attempts by number. Numbers count up, so that their low bits spread evenly by themselves. */
struct cox_run_table {
  struct cox_run **buckets;
  size_t size; /* a power of two */
  size_t count;
};

int cox_run_table_init(struct cox_run_table *table);
void cox_run_table_fini(struct cox_run_table *table);
/* Never fails: without memory to grow, it becomes slower. */
void cox_run_table_add(struct cox_run_table *table, struct cox_run *run);
struct cox_run *cox_run_table_find(const struct cox_run_table *table, uint64_t attempt);
void cox_run_table_remove(struct cox_run_table *table, struct cox_run *run);
/* For emptying it: any one that is left, NULL: empty. `*from` starts at 0; meanwhile nothing may be added. */
struct cox_run *cox_run_table_next(const struct cox_run_table *table, size_t *from);

#endif
