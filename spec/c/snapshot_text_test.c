/* The two renderings of the fleet say the same, byte for byte, whatever has happened to the nodes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/rng.h"
#include "core/json_text.h"
#include "fake_core.h"

enum { NODES = 12, STEPS = 400 };

static void assert_same(struct fake *fake) {
  json_t *const nodes = cox_broker_nodes_json(fake->broker);
  char *const expected = json_dumps(nodes, JSON_COMPACT);
  struct cox_buf text = {0};
  assert_int_equal(cox_broker_nodes_text(fake->broker, &text), 0);
  assert_string_equal(text.data, expected);
  free(expected);
  size_t i;
  json_t *node;
  json_array_foreach(nodes, i, node) {
    char tag[COX_TAG_MAX];
    char *const one = json_dumps(node, JSON_COMPACT);
    cox_buf_clear(&text);
    const char *const id = json_string_value(json_object_get(json_object_get(node, "node"), "id"));
    assert_int_equal(cox_broker_node_text(fake->broker, id, &text, tag), 0);
    assert_string_equal(text.data, one);
    free(one);
  }
  cox_buf_fini(&text);
  json_decref(nodes);
}

/* Eight bytes are looked at together where there are as many: each that needs an escape must be found wherever it stands. */
static void every_byte_is_escaped_wherever_it_stands(void **state) {
  (void)state;
  for (size_t len = 3; len <= 19; len++) {
    for (size_t at = 2; at < len; at++) {
      for (int byte = 1; byte < 0x80; byte++) {
        char words[32] = "\xc3\xbc ~!#[]\x7f{}~ ^_|!#";
        words[at] = (char)byte;
        struct cox_buf text = {0};
        json_t *const value = json_stringn(words, len);
        char *const expected = json_dumps(value, JSON_ENCODE_ANY);
        assert_true(cox_json_add_text(&text, words, len));
        assert_string_equal(text.data, expected);
        free(expected);
        json_decref(value);
        cox_buf_fini(&text);
      }
    }
  }
}

static json_t *random_target(struct cox_rng *rng) {
  switch (cox_rng_below(rng, 4)) {
    case 0: return fake_target("POC", cox_rng_below(rng, 2) == 0 ? "GENERATING" : "VALIDATING");
    case 1: return json_pack("{ss, ss, sf, s[s, s]}", "status", "INFERENCE", "model", "m\"ü\x01", "drain_s", 2.5, "args", "--a", "b\\c");
    case 2: return json_pack("{ss, s{ss, si}}", "status", "TRAINING", "task", "task_id", "t1", "rank", 3);
    default: return fake_target("STOPPED", NULL);
  }
}

static void step(struct fake *fake, struct cox_rng *rng, int number) {
  char id[16];
  snprintf(id, sizeof id, "n%d", (int)cox_rng_below(rng, NODES));
  const uint64_t choice = cox_rng_below(rng, 8);
  if (choice == 0) {
    fake_send(fake, "remove", json_pack("{ss}", "node_id", id));
  } else if (choice == 1) {
    json_t *const node = fake_node(id, 5000 + atoi(id + 1));
    json_object_set_new(node, "version", json_string("v\t\"1\""));
    fake_send(fake, "register", json_pack("{so}", "node", node));
  } else if (choice == 2) {
    fake_send(fake, "admin", json_pack("{ss, sb}", "node_id", id, "enabled", (int)cox_rng_below(rng, 2)));
  } else if (choice <= 4) {
    fake_send(fake, "intend", json_pack("{ss, so, ss}", "node_id", id, "target", random_target(rng), "reason", "because \x7f of \n"));
  } else if (choice == 5) {
    fake_send(fake, "block", json_pack("{si, ss, sb, s{s[{ss}, {ss, s[s]}, {ss}]}}", "height", number, "hash", "AA", "synced", 1,
                                       "epoch_models", id, "id", "m", "id", "q/\xe2\x82\xac", "model_args", "--x", "id", "m"));
  } else {
    fake->now_us += (int64_t)cox_rng_below(rng, 3000000);
    while (fake->opens > 0 && cox_rng_below(rng, 3) > 0) {
      const enum cox_class class_ = (enum cox_class)cox_rng_below(rng, COX_CLASS_COUNT);
      fake_give_back(fake, (size_t)cox_rng_below(rng, fake->opens), class_, class_ != COX_CLASS_NONE ? "it \"failed\"\r\n" : NULL);
    }
    fake_run(fake);
  }
}

static void the_text_is_what_the_values_would_give_at_every_step_of_random_lives(void **state) {
  (void)state;
  const uint64_t seeds[] = {1, 2, 3};
  for (size_t s = 0; s < sizeof seeds / sizeof *seeds; s++) {
    struct fake *const fake = fake_create(5);
    struct cox_rng rng;
    cox_rng_init(&rng, seeds[s]);
    assert_same(fake);
    fake_arm(fake);
    for (int i = 0; i < STEPS; i++) {
      step(fake, &rng, 11 + i);
      assert_same(fake);
    }
    fake_destroy(fake);
  }
}

static void assert_text(const char *json) {
  json_t *const value = json_loads(json, JSON_DECODE_ANY, NULL);
  char *const expected = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
  struct cox_buf text = {0};
  assert_true(cox_json_add(&text, value));
  assert_string_equal(text.data, expected);
  cox_buf_fini(&text);
  free(expected);
  json_decref(value);
}

static void single_values_are_written_as_jansson_writes_them(void **state) {
  (void)state;
  static const char *const values[] = {
      "0", "-1", "9223372036854775807", "-9223372036854775808", "1.5", "-0.0", "1e300", "1e-7", "0.1", "3.0", "true", "false", "null",
      "[]", "{}", "[[],{}]", "\"\"", "\"a/b\\u007f\\u0001\\u001f\\b\\f\\n\\r\\t\\\"\\\\\"", "\"\xf0\x9f\x9a\xa2 \\u2028\"",
      "{\"b\":1,\"a\":[1,2.25,{\"\":null}],\"\\n\":\"x\"}"};
  for (size_t i = 0; i < sizeof values / sizeof *values; i++) assert_text(values[i]);
}

static void an_unknown_node_has_no_text(void **state) {
  (void)state;
  struct fake *const fake = fake_create(-1);
  struct cox_buf text = {0};
  char tag[COX_TAG_MAX];
  assert_int_equal(cox_broker_node_text(fake->broker, "nobody", &text, tag), COX_ENOENT);
  assert_int_equal(text.len, 0);
  fake_destroy(fake);
}

static struct cox_answer answer;

static void keep(void *arg, const struct cox_answer *given) {
  (void)arg;
  answer = *given;
  answer.reason = NULL;
  answer.result = NULL;
}

static int update_if(struct fake *fake, enum cox_condition_kind kind, const char *tags, int port) {
  char id[] = "node1", *const own = tags != NULL ? strdup(tags) : NULL;
  const struct cox_condition condition = {.kind = kind, .node_id = id, .tags = own};
  json_t *const args = json_pack("{so}", "node", fake_node("node1", port));
  assert_int_equal(cox_broker_submit_as(fake->broker, "spec", "update", args, &condition, keep, NULL, NULL), 0);
  json_decref(args);
  free(own);
  fake_run(fake);
  return answer.outcome == COX_ANSWER_ERROR ? answer.err.code : 0;
}

static void tag_of(struct fake *fake, char tag[COX_TAG_MAX]) {
  struct cox_buf text = {0};
  assert_int_equal(cox_broker_node_text(fake->broker, "node1", &text, tag), 0);
  cox_buf_fini(&text);
}

static void of_two_editors_that_saw_the_same_node_only_the_first_wins(void **state) {
  (void)state;
  struct fake *const fake = fake_create(-1);
  char seen[COX_TAG_MAX], later[COX_TAG_MAX], list[3 * COX_TAG_MAX];
  assert_int_equal(update_if(fake, COX_CONDITION_EXISTS, NULL, 5000), COX_EMATCH);
  fake_register(fake, "node1", 5000);
  tag_of(fake, seen);
  assert_int_equal(update_if(fake, COX_CONDITION_TAGGED, seen, 5001), 0);
  assert_int_equal(update_if(fake, COX_CONDITION_TAGGED, seen, 5002), COX_EMATCH);
  tag_of(fake, later);
  assert_string_not_equal(seen, later);
  snprintf(list, sizeof list, "%s x %s", seen, later);
  assert_int_equal(update_if(fake, COX_CONDITION_TAGGED, list, 5003), 0);
  assert_int_equal(update_if(fake, COX_CONDITION_TAGGED, "", 5004), COX_EMATCH);
  assert_int_equal(update_if(fake, COX_CONDITION_ABSENT, NULL, 5004), COX_EMATCH);
  assert_int_equal(update_if(fake, COX_CONDITION_EXISTS, NULL, 5005), 0);
  tag_of(fake, seen);
  fake_send(fake, "remove", json_pack("{ss}", "node_id", "node1"));
  fake_register(fake, "node1", 5005); /* the same words, another registration */
  assert_int_equal(update_if(fake, COX_CONDITION_TAGGED, seen, 5006), COX_EMATCH);
  fake_destroy(fake);
}

int main(void) {
  cox_log_setup(COX_LOG_ERROR, false, 2); /* failures are meant here */
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_text_is_what_the_values_would_give_at_every_step_of_random_lives),
      cmocka_unit_test(every_byte_is_escaped_wherever_it_stands),
      cmocka_unit_test(single_values_are_written_as_jansson_writes_them),
      cmocka_unit_test(an_unknown_node_has_no_text),
      cmocka_unit_test(of_two_editors_that_saw_the_same_node_only_the_first_wins),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
