#include "core/backoff.h"

#include <math.h>

static double factor(enum cox_class class_) {
  switch (class_) {
    case COX_CLASS_CONFLICT:
    case COX_CLASS_SERVER: return 2;
    case COX_CLASS_CLIENT:
    case COX_CLASS_BAD_ANSWER:
    case COX_CLASS_SCRIPT: return 5;
    default: return 1;
  }
}

double cox_backoff_limit_s(double first_s, double max_s, enum cox_class class_, unsigned failures) {
  const int doublings = failures == 0 ? 0 : failures > 31 ? 30 : (int)failures - 1;
  return fmin(max_s, ldexp(first_s * factor(class_), doublings));
}

int64_t cox_backoff_draw_us(struct cox_rng *rng, double limit_s) { return (int64_t)(cox_rng_unit(rng) * limit_s * 1e6); }
