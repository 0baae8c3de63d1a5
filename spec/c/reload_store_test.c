/* The choice of scripts in the store: as one commit with its texts, and as soon as the store can be written. */
#include "reload_rig.h"

#include <string.h>

#include "base/buf.h"
#include "core/engine.h"
#include "core/record.h"

static struct reload_rig rig;

static int setup(void **state) {
  (void)state;
  memset(&rig, 0, sizeof rig);
  reload_rig_start(&rig);
  return 0;
}

static int teardown(void **state) {
  (void)state;
  reload_rig_stop(&rig);
  return 0;
}


static int refuse(void *ctx, struct cox_batch *batch, struct cox_err *err) {
  (void)ctx;
  (void)batch;
  return cox_err_set(err, COX_EDEGRADED, "the disk is full");
}

/* A store that refuses everything from now on, and its working self. */
static int (*begin_full_disk(void))(void *, struct cox_batch *, struct cox_err *) {
  int (*const append)(void *, struct cox_batch *, struct cox_err *) = rig.fake->store.append;
  rig.fake->store.append = refuse;
  assert_int_equal(cox_broker_note(rig.fake->broker, "note", NULL, json_object(), NULL), 0); /* the store shuts at the next write */
  fake_run(rig.fake);
  assert_true(cox_broker_is_degraded(rig.fake->broker, NULL));
  return append;
}

static void end_full_disk(int (*append)(void *, struct cox_batch *, struct cox_err *)) {
  rig.fake->store.append = append;
  atomic_store(&rig.fake->broker->ledger.is_back, true); /* as the store says it */
  fake_run(rig.fake);
  assert_false(cox_broker_is_degraded(rig.fake->broker, NULL));
}

/* Number of the generation that a start would find. */
static json_int_t stored_number(void) {
  json_t *const choice = cox_broker_kept(rig.fake->broker, "scripts", "choice");
  const json_int_t number = json_integer_value(json_object_get(json_object_get(choice, "live"), "generation"));
  json_decref(choice);
  return number;
}

static bool is_live_stored(struct reload_rig *asked) { return stored_number() == reload_rig_number(asked); }

static bool metric_is(const char *line) {
  struct cox_buf text = {0};
  assert_int_equal(cox_broker_metrics_text(rig.fake->broker, &text), 0);
  const bool is_so = strstr(text.data, line) != NULL;
  cox_buf_fini(&text);
  return is_so;
}

static bool is_told_as_stored(struct reload_rig *asked) {
  return json_object_get(reload_rig_show(asked), "unstored") == NULL && metric_is("coxswain_scripts_unstored 0\n");
}

static void a_choice_that_a_full_disk_refused_is_stored_when_there_is_room(void **state) {
  (void)state;
  int (*const append)(void *, struct cox_batch *, struct cox_err *) = begin_full_disk();
  reload_rig_edit(&rig, RIG_PHASES, RIG_SERVE, RIG_STOP_ONE);
  assert_int_equal(reload_rig_ask(&rig, RIG_RELOAD, NULL), COX_SCRIPTS_DONE);
  assert_false(is_live_stored(&rig));
  const char *const why = json_string_value(json_object_get(rig.result, "unstored")); /* who asked knows */
  if (why == NULL || strstr(why, "the disk is full") == NULL) fail_msg("the answer does not say that the choice is not stored: %s", why);
  assert_non_null(json_object_get(reload_rig_show(&rig), "unstored")); /* and who looks */
  assert_true(metric_is("coxswain_scripts_unstored 1\n"));
  end_full_disk(append);
  reload_rig_until(&rig, is_live_stored, "the choice in the store, without another exchange,");
  reload_rig_until(&rig, is_told_as_stored, "that it is stored");
}

static void a_stop_stores_a_choice_that_is_still_owed(void **state) {
  (void)state;
  int (*const append)(void *, struct cox_batch *, struct cox_err *) = begin_full_disk();
  reload_rig_edit(&rig, RIG_PHASES, RIG_SERVE, RIG_STOP_ONE);
  assert_int_equal(reload_rig_ask(&rig, RIG_RELOAD, NULL), COX_SCRIPTS_DONE);
  end_full_disk(append);
  cox_script_stop(rig.script);
  fake_run(rig.fake);
  assert_true(is_live_stored(&rig));
}

static size_t stored_texts(void) {
  json_t *const table = cox_broker_kept_all(rig.fake->broker, "scripts");
  const size_t count = json_object_size(table) - 1; /* without the choice */
  json_decref(table);
  return count;
}

static size_t batches_with_scripts;

static int count_batches(void *ctx, struct cox_batch *batch, struct cox_err *err) {
  (void)ctx;
  (void)err;
  bool has_one = false;
  for (size_t i = 0; i < batch->count; i++) has_one = has_one || batch->records[i]->kind == COX_RECORD_KEEP;
  batches_with_scripts += has_one;
  batch->done(batch, NULL);
  return 0;
}

/* Else a full disk or a kill between them leaves a choice whose texts are not there. */
static void a_choice_its_texts_and_what_is_forgotten_are_one_commit(void **state) {
  (void)state;
  int (*const append)(void *, struct cox_batch *, struct cox_err *) = rig.fake->store.append;
  rig.fake->store.append = count_batches;
  batches_with_scripts = 0;
  reload_rig_edit(&rig, RIG_PHASES, RIG_SERVE, RIG_STOP_ONE);
  assert_int_equal(reload_rig_ask(&rig, RIG_RELOAD, NULL), COX_SCRIPTS_DONE);
  assert_int_equal(batches_with_scripts, 1);
  const size_t texts = stored_texts(); /* of the set before, too */
  assert_int_equal(reload_rig_ask(&rig, RIG_ROLLBACK, NULL), COX_SCRIPTS_DONE);
  assert_int_equal(batches_with_scripts, 2);
  assert_int_equal(stored_texts(), texts - 1);
  rig.fake->store.append = append;
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
  const struct CMUnitTest tests[] = {
      TEST(a_choice_that_a_full_disk_refused_is_stored_when_there_is_room),
      TEST(a_stop_stores_a_choice_that_is_still_owed),
      TEST(a_choice_its_texts_and_what_is_forgotten_are_one_commit),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
