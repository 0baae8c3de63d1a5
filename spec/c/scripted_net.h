/* The workers of src/net with fibers written in C: each attempt or job is a list of steps, and keeps what came of each. The sink
 * collects completions and answers the commands of jobs from a thread of its own.                                             */
#ifndef SPEC_SCRIPTED_NET_H
#define SPEC_SCRIPTED_NET_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <setjmp.h>

#include <cmocka.h>

#include "base/lock.h"
#include "base/thread.h"
#include "net/worker.h"

enum { SCRIPT_STEPS_MAX = 8, SCRIPT_WAIT_US = 20000000, SCRIPT_FAR_US = 3600 * 1000000LL };

enum script_do { SCRIPT_RETURN, SCRIPT_GET, SCRIPT_POST, SCRIPT_MUTATE, SCRIPT_MUTATE_FRESH, SCRIPT_SLEEP, SCRIPT_COMMAND, SCRIPT_EXTEND, SCRIPT_FAIL };

/* POST may be repeated by the library, MUTATE may not, and MUTATE_FRESH has a connection of its own besides. EXTEND moves the attempt's deadline to `ms` from now and goes on. FAIL
 * ends a job with an error.                                                                                                  */
struct script_step {
  enum script_do what;
  const char *text; /* url, or name of the command */
  const char *body;
  int64_t ms;          /* of the request (0: 20 s), the sleep or the new deadline */
  size_t response_max;
};

struct script_seen {
  enum cox_class class_;
  char error[512];
  int status;
  char *body; /* owned; NULL: none */
  size_t body_len;
  json_t *answer; /* owned */
};

/* One attempt's or job's script and life. */
struct script {
  struct script_step steps[SCRIPT_STEPS_MAX];
  size_t at;
  struct script_seen seen[SCRIPT_STEPS_MAX]; /* by step; of the last round in jobs */
  atomic_uint starts, resumes, finishes;
  enum cox_fiber_end why;
  /* attempts */
  uint64_t number;
  unsigned worker;
  atomic_uint completions;
  struct script *next;   /* handed over as soon as this one came back */
  int64_t completed_us;
  enum cox_class class_;
  char error[512];
  /* jobs */
  const char *job;
  json_t *args;
};

enum script_answer { SCRIPT_ANSWER_DONE, SCRIPT_ANSWER_ERROR, SCRIPT_ANSWER_NEVER, SCRIPT_ANSWER_REFUSE };

struct scripted {
  struct cox_net *net;
  const struct cox_transport *transport;
  struct cox_fiber_ops ops;
  struct cox_net_sink sink;
  struct script *jobs[8];
  size_t job_count;
  bool refuses_vms;
  atomic_uint vms;
  struct cox_thread answerer;
  struct cox_mutex mutex; /* guards the rest */
  struct cox_cond cond;
  size_t completions;
  enum script_answer answers; /* what commands are answered */
  struct script_errand *errands;
  size_t commands;
  bool is_ended;
};

/* Fills the interfaces; starts the answerer. */
void scripted_init(struct scripted *scripted);
/* The same, and starts the workers. */
void scripted_start(struct scripted *scripted, unsigned workers);
/* Ends the workers; what was held back is answered after that. */
void scripted_stop(struct scripted *scripted);

/* A script of those steps, ended by SCRIPT_RETURN. */
struct script *script_create(const struct script_step *steps);
void script_destroy(struct script *script);
/* An attempt that runs it; its fence has the number of the script, a new one for each. */
struct cox_attempt *script_attempt(struct script *script, int64_t deadline_us);
/* Hands it to the transport. The deadline counts from now; 0: in an hour. */
void scripted_post(struct scripted *scripted, struct script *script, int64_t deadline_us);
void scripted_cancel(struct scripted *scripted, const struct script *script);
/* Each waits for at most 20 s and fails the test after that. */
void scripted_wait(struct scripted *scripted, struct script *script);            /* until it was given back; once */
void scripted_wait_completions(struct scripted *scripted, size_t completions);
void scripted_wait_commands(struct scripted *scripted, size_t commands);
void scripted_wait_for(atomic_uint *counter, unsigned least);
/* Posts and waits. */
void scripted_run(struct scripted *scripted, struct script *script);
void scripted_set_answers(struct scripted *scripted, enum script_answer answers);

/* Open descriptors of this process. */
size_t open_files(void);
/* Waits until there are no more than that: threads of libcurl that look up names close theirs late. */
void wait_open_files(size_t most);
/* Waits until there are more than that. */
void wait_more_open_files(size_t than);

#endif
