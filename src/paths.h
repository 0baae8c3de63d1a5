/* Where the shipped scripts and the trusted library are: beside the program, wherever it was put. */
#ifndef COX_PATHS_H
#define COX_PATHS_H

#include <limits.h>

#include "base/err.h"

struct cox_paths {
  char scripts[PATH_MAX]; /* the shipped policy */
  char library[PATH_MAX]; /* holds coxswain/ */
};

/* Looks beside the program (a build folder, or bin/ with share/coxswain/ next to it), then where it was installed to.
 * 0, or COX_ENOENT with the places that were tried.                                                                   */
int cox_paths_find(struct cox_paths *paths, struct cox_err *err);

#endif
