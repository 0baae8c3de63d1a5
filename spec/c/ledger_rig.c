#include "ledger_rig.h"

#include <string.h>

#include "base/log.h"
#include "manual_store.h"
#include "store_rig.h"

struct fake *ledger_fake;

int ledger_setup(void **state) {
  (void)state;
  cox_log_setup((enum cox_log_level)(COX_LOG_ERROR + 1), false, 2);
  ledger_fake = fake_create(0);
  manual_reset();
  assert_int_equal(fake_use_store(ledger_fake, &manual.store, NULL), 0);
  manual_commit_all(ledger_fake);
  return 0;
}

int ledger_teardown(void **state) {
  (void)state;
  if (ledger_fake == NULL) return 0;
  manual_commit_all(ledger_fake);
  fake_destroy(ledger_fake);
  return 0;
}

void ledger_answered(void *arg, const struct cox_answer *answer) {
  struct ledger_question *const question = arg;
  assert_false(question->is_answered);
  question->is_answered = true;
  question->outcome = answer->outcome;
  question->err = answer->err;
}

void ledger_send(struct ledger_question *question, const char *name, json_t *args) {
  *question = (struct ledger_question){0};
  assert_int_equal(cox_broker_submit(ledger_fake->broker, name, args, ledger_answered, question, NULL), 0);
  json_decref(args);
  fake_run(ledger_fake);
}

json_t *ledger_admin(const char *id, bool is_enabled) { return json_pack("{ss, sb}", "node_id", id, "enabled", (int)is_enabled); }
json_t *ledger_intent(const char *id, json_t *target) { return json_pack("{ss, so}", "node_id", id, "target", target); }
json_t *ledger_named(const char *id) { return json_pack("{ss}", "node_id", id); }

void ledger_must(const char *name, json_t *args) {
  struct ledger_question question;
  ledger_send(&question, name, args);
  manual_commit_all(ledger_fake);
  assert_true(question.is_answered);
  assert_int_equal(question.outcome, COX_ANSWER_DONE);
}

void ledger_add(const char *id, int port) { ledger_must("register", json_pack("{so}", "node", fake_node(id, port))); }

char *ledger_image(void) {
  struct store_rig rig = {.fake = ledger_fake};
  json_t *const tables = store_rig_memory(&rig);
  const char *id;
  json_t *value;
  json_object_del(tables, "counter");
  json_object_foreach(json_object_get(tables, "target"), id, value) json_object_del(value, "generation");
  char *const text = json_dumps(tables, JSON_SORT_KEYS);
  json_decref(tables);
  return text;
}

void ledger_refused(const struct ledger_question *question) {
  assert_true(question->is_answered);
  assert_int_equal(question->outcome, COX_ANSWER_ERROR);
  assert_int_equal(question->err.code, COX_EDEGRADED);
  assert_non_null(strstr(question->err.text, "on fire"));
}
