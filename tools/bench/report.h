/* How benchmarks tell their figures: one JSON object a line, so that tools/bench/run can collect and compare them. */
#ifndef TOOLS_BENCH_REPORT_H
#define TOOLS_BENCH_REPORT_H

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"

static inline double bench_now_us(void) { return (double)cox_clock_mono_us(cox_clock_system()); }

static inline int bench_by_value(const void *left, const void *right) {
  const double a = *(const double *)left, b = *(const double *)right;
  return (a > b) - (a < b);
}

/* Sorts the values. */
static inline void bench_report(const char *figure, double *values, size_t count, const char *unit) {
  qsort(values, count, sizeof *values, bench_by_value);
  printf("{\"figure\": \"%s\", \"median\": %.2f, \"p99\": %.2f, \"min\": %.2f, \"max\": %.2f, \"unit\": \"%s\", \"runs\": %zu}\n", figure,
         values[count / 2], values[count * 99 / 100], values[0], values[count - 1], unit, count);
  fflush(stdout);
}

static inline void bench_report_one(const char *figure, double value, const char *unit) { bench_report(figure, &value, 1, unit); }

#endif
