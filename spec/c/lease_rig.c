#include "lease_rig.h"

#include <string.h>

static void same_bytes(void *ctx, void *bytes, size_t count) {
  (void)ctx;
  memset(bytes, 0x5a, count);
}

struct fake *lease_fake(const struct cox_lease_options *options) {
  struct fake *const fake = fake_create(-1);
  fake->leases = options != NULL ? *options : (struct cox_lease_options){0};
  if (fake->leases.start_number == 0) fake->leases.start_number = 7;
  if (fake->leases.slow_start_s == 0) fake->leases.slow_start_s = -1;
  fake->leases.random = same_bytes;
  fake_use_policy(fake, &fake->policy, NULL, NULL);
  return fake;
}

json_t *lease_node(const char *id, int port, int max, const char *model, const char *version) {
  json_t *const node = fake_node(id, port);
  json_object_set_new(node, "max_concurrent", json_integer(max));
  json_object_set_new(node, "models", json_pack("{s{s[]}}", model, "args"));
  if (version[0] != '\0') json_object_set_new(node, "version", json_string(version));
  return node;
}

void lease_serve(struct fake *fake, const char *id, int port, int max, const char *model, const char *version) {
  json_t *const args = json_pack("{so}", "node", lease_node(id, port, max, model, version));
  assert_int_equal(fake_send(fake, "register", args), COX_ANSWER_DONE);
  fake_arm(fake);
  fake_intend(fake, id, json_pack("{ss, ss}", "status", "INFERENCE", "model", model));
  fake_finish(fake, id, COX_CLASS_NONE, NULL);
}

int lease_take(struct fake *fake, const char *model, struct cox_lease_grant *grant) {
  const struct cox_lease_ask ask = {.model = model};
  return cox_lease_acquire(fake->broker, &ask, 0, NULL, grant, NULL);
}

int lease_count(struct fake *fake, const char *id) {
  json_t *const node = cox_broker_node_json(fake->broker, id);
  const int count = node == NULL ? -1 : (int)json_integer_value(json_object_get(json_object_get(node, "state"), "lock_count"));
  json_decref(node);
  return count;
}

size_t lease_active(struct fake *fake) {
  struct cox_lease_stats stats;
  cox_lease_stats(fake->broker, &stats);
  return stats.active;
}

size_t lease_waiters(struct fake *fake) {
  struct cox_lease_stats stats;
  cox_lease_stats(fake->broker, &stats);
  return stats.waiters;
}

int lease_ask_for(struct fake *fake, const struct cox_lease_ask *ask, struct cox_lease_grant *grant) {
  return cox_lease_acquire(fake->broker, ask, 0, NULL, grant, NULL);
}

int lease_give_back(struct fake *fake, struct cox_lease_grant *grant, enum cox_lease_outcome outcome) {
  cox_lease_grant_fini(grant);
  return cox_lease_release(fake->broker, grant->id, outcome, NULL);
}

const char *lease_reason(struct fake *fake, const struct cox_lease_ask *ask, const char *id) {
  static char text[200];
  size_t omitted, i;
  json_t *const list = cox_lease_reasons(fake->broker, ask, &omitted), *entry;
  text[0] = '\0';
  json_array_foreach(list, i, entry) {
    if (strcmp(json_string_value(json_object_get(entry, "node_id")), id) != 0) continue;
    snprintf(text, sizeof text, "%s", json_string_value(json_object_get(entry, "reason")));
  }
  json_decref(list);
  return text;
}
