/* Versions of nodes in the order of semver.org 2.0.0. A leading v is allowed, and "1" and "1.2" mean 1.0.0 and 1.2.0. */
#ifndef COX_CORE_VERSION_H
#define COX_CORE_VERSION_H

#include <stdbool.h>

/* Below, at or above 0, as strcmp; build metadata does not count. Only for two texts that cox_version_is_good. */
int cox_version_compare(const char *left, const char *right);
bool cox_version_is_good(const char *text);
/* May a node of version `has` (NULL: it says none) serve who asked for `wanted`? Texts that are no versions match only
 * themselves. A higher version never matches.                                                                          */
bool cox_version_serves(const char *has, const char *wanted, bool accepts_earlier);

#endif
