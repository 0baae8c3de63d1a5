#include "core/metrics.h"

#include <stdio.h>
#include <string.h>

/* Attempts take from milliseconds to the 20 minutes of a model load; loops and cancels are meant to take milliseconds. */
static const double attempt_bounds_s[] = {0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 120, 300, 600, 1200};
static const double quick_bounds_s[] = {0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1, 5};

static void init(struct cox_histogram *histogram, const double *bounds_s) {
  histogram->bounds_s = bounds_s;
  histogram->bounds = COX_BUCKETS_MAX;
}

void cox_metrics_init(struct cox_metrics *metrics) {
  memset(metrics, 0, sizeof *metrics);
  cox_mutex_init(&metrics->mutex);
  for (int kind = 0; kind < COX_STATUS_FAILED; kind++) init(&metrics->attempt_s[kind], attempt_bounds_s);
  struct cox_histogram *const quick[] = {&metrics->cancel_s, &metrics->commit_s, &metrics->stall_s, &metrics->busy_s,
                                         &metrics->queued_s, &metrics->work_s};
  for (size_t i = 0; i < sizeof quick / sizeof *quick; i++) init(quick[i], quick_bounds_s);
  snprintf(metrics->commands[COX_NAMES_MAX - 1].name, COX_NAME_TEXT, "other");
}

void cox_metrics_fini(struct cox_metrics *metrics) { cox_mutex_fini(&metrics->mutex); }

void cox_histogram_add(struct cox_histogram *histogram, int64_t us, uint64_t times) {
  if (us < 0) us = 0;
  size_t place = 0;
  while (place < histogram->bounds && (double)us > histogram->bounds_s[place] * 1e6) place++;
  atomic_fetch_add_explicit(&histogram->buckets[place], times, memory_order_relaxed);
  atomic_fetch_add_explicit(&histogram->sum_us, (uint64_t)us * times, memory_order_relaxed);
}

/* COX_NAMES_MAX: it is not there. */
static size_t find(struct cox_metrics *metrics, const char *name) {
  const size_t names = atomic_load_explicit(&metrics->names, memory_order_acquire);
  for (size_t i = 0; i < names; i++) {
    if (strcmp(metrics->commands[i].name, name) == 0) return i;
  }
  return COX_NAMES_MAX;
}

static size_t place_of(struct cox_metrics *metrics, const char *name) {
  size_t place = find(metrics, name);
  if (place < COX_NAMES_MAX) return place;
  cox_mutex_lock(&metrics->mutex);
  place = find(metrics, name); /* somebody else was faster? */
  const size_t names = atomic_load(&metrics->names);
  if (place == COX_NAMES_MAX && names < COX_NAMES_MAX - 1 && strlen(name) < COX_NAME_TEXT) {
    place = names;
    snprintf(metrics->commands[place].name, COX_NAME_TEXT, "%s", name);
    atomic_store_explicit(&metrics->names, names + 1, memory_order_release);
  }
  cox_mutex_unlock(&metrics->mutex);
  return place < COX_NAMES_MAX ? place : COX_NAMES_MAX - 1;
}

void cox_metrics_command(struct cox_metrics *metrics, const char *name, enum cox_command_outcome outcome) {
  atomic_fetch_add_explicit(&metrics->commands[place_of(metrics, name)].outcomes[outcome], 1, memory_order_relaxed);
}

void cox_metrics_know(struct cox_metrics *metrics, const char *name) { place_of(metrics, name); }

bool cox_metrics_head(struct cox_buf *out, const char *name, const char *type, const char *help) {
  return cox_buf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

bool cox_metrics_count(struct cox_buf *out, const char *name, const char *labels, uint64_t value) {
  if (labels == NULL) return cox_buf_addf(out, "%s %llu\n", name, (unsigned long long)value);
  return cox_buf_addf(out, "%s{%s} %llu\n", name, labels, (unsigned long long)value);
}

bool cox_metrics_histogram(struct cox_buf *out, const char *name, const char *labels, const struct cox_histogram *histogram) {
  const char *const more = labels != NULL ? labels : "", *const comma = labels != NULL ? "," : "";
  const char *const open = labels != NULL ? "{" : "", *const close = labels != NULL ? "}" : "";
  uint64_t count = 0;
  bool is_whole = true;
  for (size_t i = 0; i <= histogram->bounds && is_whole; i++) {
    char bound[32] = "+Inf";
    if (i < histogram->bounds) snprintf(bound, sizeof bound, "%g", histogram->bounds_s[i]);
    count += atomic_load_explicit(&histogram->buckets[i], memory_order_relaxed);
    is_whole = cox_buf_addf(out, "%s_bucket{%s%sle=\"%s\"} %llu\n", name, more, comma, bound, (unsigned long long)count);
  }
  const double sum_s = (double)atomic_load_explicit(&histogram->sum_us, memory_order_relaxed) / 1e6;
  return is_whole && cox_buf_addf(out, "%s_sum%s%s%s %.6f\n%s_count%s%s%s %llu\n", name, open, more, close, sum_s, name, open, more, close,
                                  (unsigned long long)count);
}
