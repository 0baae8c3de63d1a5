#include "net/run.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct cox_run *cox_run_create(struct cox_attempt *attempt, const char *job) {
  assert((attempt == NULL) != (job == NULL));
  struct cox_run *const run = calloc(1, sizeof *run);
  if (run == NULL) return NULL;
  run->wake_us = run->deadline_us = INT64_MAX;
  if (job != NULL) run->job = strdup(job);
  if (job != NULL && run->job == NULL) {
    free(run);
    return NULL;
  }
  run->attempt = attempt;
  return run;
}

struct cox_run *cox_run_create_chore(struct cox_note *chore) {
  struct cox_run *const run = calloc(1, sizeof *run);
  if (run == NULL) return NULL;
  run->wake_us = run->deadline_us = INT64_MAX;
  run->chore = chore;
  return run;
}

void cox_run_destroy(struct cox_run *run) {
  if (run == NULL) return;
  assert(run->list == NULL && run->alarm.place == 0 && run->fiber == NULL && run->transfer == NULL && run->errand == NULL);
  assert(run->attempt == NULL && run->chore == NULL && run->socket == NULL && run->program == NULL);
  json_decref(run->answer);
  free(run->job);
  free(run);
}

void cox_run_list_add(struct cox_run_list *list, struct cox_run *run) {
  assert(run->list == NULL);
  run->list = list;
  run->next = NULL;
  run->prev = list->last;
  if (list->last != NULL) {
    list->last->next = run;
  } else {
    list->first = run;
  }
  list->last = run;
}

void cox_run_unlist(struct cox_run *run) {
  struct cox_run_list *const list = run->list;
  if (list == NULL) return;
  if (run->prev != NULL) {
    run->prev->next = run->next;
  } else {
    list->first = run->next;
  }
  if (run->next != NULL) {
    run->next->prev = run->prev;
  } else {
    list->last = run->prev;
  }
  run->prev = run->next = NULL;
  run->list = NULL;
}

struct cox_run *cox_run_list_take(struct cox_run_list *list) {
  struct cox_run *const run = list->first;
  if (run != NULL) cox_run_unlist(run);
  return run;
}

enum { TABLE_FIRST = 256 };

int cox_run_table_init(struct cox_run_table *table) {
  *table = (struct cox_run_table){.buckets = calloc(TABLE_FIRST, sizeof(struct cox_run *)), .size = TABLE_FIRST};
  return table->buckets == NULL ? COX_ENOMEM : 0;
}

void cox_run_table_fini(struct cox_run_table *table) {
  assert(table->count == 0);
  free(table->buckets);
  *table = (struct cox_run_table){0};
}

static struct cox_run **bucket(const struct cox_run_table *table, uint64_t attempt) {
  return &table->buckets[attempt & (table->size - 1)];
}

static void grow(struct cox_run_table *table) {
  struct cox_run_table larger = {.size = table->size * 2, .count = table->count};
  larger.buckets = calloc(larger.size, sizeof(struct cox_run *));
  if (larger.buckets == NULL) return;
  for (size_t i = 0; i < table->size; i++) {
    while (table->buckets[i] != NULL) {
      struct cox_run *const run = table->buckets[i];
      table->buckets[i] = run->chain;
      struct cox_run **const place = bucket(&larger, run->attempt->fence.attempt);
      run->chain = *place;
      *place = run;
    }
  }
  free(table->buckets);
  *table = larger;
}

void cox_run_table_add(struct cox_run_table *table, struct cox_run *run) {
  if (table->count >= table->size) grow(table);
  struct cox_run **const place = bucket(table, run->attempt->fence.attempt);
  run->chain = *place;
  *place = run;
  table->count++;
}

struct cox_run *cox_run_table_find(const struct cox_run_table *table, uint64_t attempt) {
  struct cox_run *run = *bucket(table, attempt);
  while (run != NULL && run->attempt->fence.attempt != attempt) run = run->chain;
  return run;
}

void cox_run_table_remove(struct cox_run_table *table, struct cox_run *run) {
  struct cox_run **place = bucket(table, run->attempt->fence.attempt);
  while (*place != run) place = &(*place)->chain;
  *place = run->chain;
  run->chain = NULL;
  table->count--;
}

struct cox_run *cox_run_table_next(const struct cox_run_table *table, size_t *from) {
  for (; table->count > 0 && *from < table->size; ++*from) {
    if (table->buckets[*from] != NULL) return table->buckets[*from];
  }
  return NULL;
}
