/* Errors that say what was tried, on what, why it failed and what to do next.
 *
 * An action returns 0 or one of the negative codes below and fills a caller-owned struct cox_err.
 * Every function that takes a `struct cox_err *` accepts NULL.                                     */
#ifndef COX_BASE_ERR_H
#define COX_BASE_ERR_H

#include <stdbool.h>
#include <stddef.h>

enum cox_errc {
  COX_EINVAL = -1,   /* the caller's input is wrong */
  COX_ENOENT = -2,   /* the named thing does not exist */
  COX_EFULL = -3,    /* a bounded queue or table is full */
  COX_ENOMEM = -4,   /* out of memory */
  COX_ESYS = -5,     /* a system call or library failed */
  COX_EBUSY = -6,    /* somebody else holds it */
  COX_ESCRIPT = -7,  /* a script failed at run time */
  COX_ETIME = -8,    /* a budget or deadline was used up */
  COX_ESTOPPED = -9, /* the broker is stopping */
  COX_EREFUSED = -10, /* a script refused in plain words (nil and a sentence) */
  COX_EGONE = -11,   /* it existed and has ended */
  COX_EMATCH = -12,   /* what the caller had seen is not so any more */
  COX_EDEGRADED = -13 /* the store cannot be written: nothing that must be durable can be changed */
};

struct cox_err {
  int code;       /* one of enum cox_errc, 0 when unset */
  int line;       /* line in `file`, 0 when unknown */
  char file[256]; /* file the fault is in, "" when it is not in a file */
  char text[768]; /* what, on what, why, what next */
};

/* Fill `err` and return `code`, so that a failing action can end with `return cox_err_set(…)`. */
int cox_err_set(struct cox_err *err, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Same, with the place of the fault. */
int cox_err_at(struct cox_err *err, int code, const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* A growing list of faults, for the checks that report everything at once. Owned by the caller;
 * start from a zeroed struct, end with cox_faults_fini.                                          */
struct cox_faults {
  struct cox_err *list;
  size_t count;
  size_t capacity;
};

/* A fault that is in the list already is not added again: one broken file is met by all that require it. */
void cox_faults_add(struct cox_faults *faults, const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void cox_faults_fini(struct cox_faults *faults);

#endif
