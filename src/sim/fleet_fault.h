/* Faults of simulated ML nodes: "[nodes:]fault[=value][@part of the call]". */
#ifndef COX_SIM_FLEET_FAULT_H
#define COX_SIM_FLEET_FAULT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum cox_fleet_fault_kind {
  COX_FAULT_HANG,        /* accepts, never answers, does nothing */
  COX_FAULT_SILENCE,     /* carries the call out, never answers */
  COX_FAULT_REFUSE,      /* nobody listens */
  COX_FAULT_ERROR,       /* value: status */
  COX_FAULT_LIE,         /* value "": says OK and does nothing; else what GET state says */
  COX_FAULT_LIE_POW,     /* value: what pow/status says */
  COX_FAULT_CLOSE,       /* resets the connection without an answer */
  COX_FAULT_HALF_HEADER, /* half a header, then silence */
  COX_FAULT_SLOW,        /* value: milliseconds between two bytes of the body */
  COX_FAULT_HUGE,        /* a body without an end */
  COX_FAULT_BAD_JSON,    /* carries the call out, its body is cut JSON */
  COX_FAULT_CONFLICT,    /* 409 */
  COX_FAULT_REDIRECT,    /* 307; value: where to */
  COX_FAULT_READY_NEVER, /* a load is answered OK and never becomes healthy */
  COX_FAULT_LOAD_FAIL,   /* a load fails as the release does it */
  COX_FAULT_LOAD_NEVER,  /* a load fails only after 1200 s */
  COX_FAULT_TRAIN_STUCK, /* training does not die: stop says 500 after 5 s */
  COX_FAULT_POW_LOADING, /* pow/status says LOADING until its model is initialised */
  COX_FAULT_KINDS_LASTING,
  /* these happen once */
  COX_FAULT_RESTART = COX_FAULT_KINDS_LASTING, /* value: seconds until it is back */
  COX_FAULT_UNHEALTHY,                         /* the serving backend dies; the process follows as the release does it */
  COX_FAULT_TWO,                               /* the next GET state finds two services: value 409 or 500 */
  COX_FAULT_NONE,                              /* ends all faults */
  COX_FAULT_KINDS
};

enum { COX_FAULT_VALUE_MAX = 96, COX_FAULT_PART_MAX = 48 };

struct cox_fleet_fault {
  enum cox_fleet_fault_kind kind;
  bool is_off;                    /* "fault=off": ends it */
  double number;                  /* the value as a number, or its default */
  char value[COX_FAULT_VALUE_MAX]; /* as given, or "" */
  char part[COX_FAULT_PART_MAX];   /* only calls whose "METHOD path" contains this; "": all */
};

/* Which nodes a spec is for: all, a share of them chosen by the seed, or the numbers first … last, counted from 1. */
struct cox_fleet_choice {
  unsigned first, last;
  unsigned percent; /* 0: by numbers */
};

/* Reads one spec for a fleet of `count` nodes. 0 or COX_EINVAL with a sentence that names the spec. */
int cox_fleet_fault_parse(const char *spec, unsigned count, struct cox_fleet_choice *choice, struct cox_fleet_fault *fault,
                          struct cox_err *err);
/* Is node number `number` (from 1) chosen? The same nodes for the same seed. */
bool cox_fleet_choice_has(const struct cox_fleet_choice *choice, unsigned number, uint64_t seed);
const char *cox_fleet_fault_name(enum cox_fleet_fault_kind kind);

#endif
