/* How long to wait after the n-th failure in a row: exponential with full jitter (Brooker, "Exponential Backoff And
 * Jitter", AWS 2015), starting higher for classes that rarely heal by themselves.                                  */
#ifndef COX_CORE_BACKOFF_H
#define COX_CORE_BACKOFF_H

#include <stdint.h>

#include "base/rng.h"
#include "core/status.h"

/* Upper end of the wait in seconds: min(max_s, first_s · factor(class) · 2^(failures-1)). */
double cox_backoff_limit_s(double first_s, double max_s, enum cox_class class_, unsigned failures);
/* A uniform draw from [0, limit) in microseconds. */
int64_t cox_backoff_draw_us(struct cox_rng *rng, double limit_s);

#endif
