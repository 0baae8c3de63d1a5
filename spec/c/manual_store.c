#include "manual_store.h"

#include <string.h>

struct manual_store manual;

static int load(void *ctx, struct cox_stored *out, struct cox_err *err) {
  (void)ctx;
  (void)err;
  *out = (struct cox_stored){.tables = json_object(), .start = 1};
  return 0;
}

static void watch(void *ctx, void (*is_back)(void *arg), void *arg) {
  (void)ctx;
  manual.is_back = is_back;
  manual.arg = arg;
}

static int append(void *ctx, struct cox_batch *batch, struct cox_err *err) {
  (void)ctx;
  if (manual.is_shut) return cox_err_set(err, COX_EDEGRADED, "the disk is on fire");
  if (manual.is_full) {
    assert_true(++manual.refused < 100); /* it is not asked again and again */
    return cox_err_set(err, COX_EFULL, "there is no room");
  }
  assert_true(manual.count < MANUAL_HELD_MAX);
  manual.held[manual.count++] = batch;
  manual.appended++;
  return 0;
}

static void settle(void *ctx) {
  (void)ctx;
  manual.settled++;
}

void manual_reset(void) {
  manual.store = (struct cox_store){.ctx = &manual, .load = load, .watch = watch, .append = append, .settle = settle};
  manual.count = manual.appended = manual.settled = manual.refused = 0;
  manual.is_shut = manual.is_full = false;
}

void manual_commit(size_t count) {
  assert_true(count <= manual.count);
  for (size_t i = 0; i < count; i++) {
    struct cox_batch *const batch = manual.held[0];
    memmove(manual.held, manual.held + 1, --manual.count * sizeof(struct cox_batch *));
    batch->done(batch, NULL);
  }
}

void manual_commit_all(struct fake *f) {
  fake_run(f);
  while (manual.count > 0) {
    struct cox_batch *held[256];
    const size_t count = manual.count < 256 ? manual.count : 256;
    memcpy(held, manual.held, count * sizeof(struct cox_batch *));
    manual.count -= count;
    memmove(manual.held, manual.held + count, manual.count * sizeof(struct cox_batch *));
    for (size_t i = 0; i < count; i++) held[i]->done(held[i], NULL);
    fake_run(f);
  }
}

void manual_burn(struct fake *f, bool is_halting) {
  const struct cox_err err = {.code = COX_ESYS, .text = "the disk is on fire"};
  manual.is_shut = true;
  for (size_t i = 0, count = manual.count; i < count; i++) {
    manual.held[i]->done(manual.held[i], &err);
    if (i == 0 && is_halting) fake_run(f);
  }
  manual.count = 0;
  fake_run(f);
}

void manual_put_out(struct fake *f) {
  manual.is_shut = false;
  manual.is_back(manual.arg);
  fake_run(f);
}
