#include "core/admin.h"

#include "base/clock.h"

void cox_admin_fini(struct cox_admin *admin) {
  json_decref(admin->reason);
  json_decref(admin->actor);
  admin->reason = admin->actor = NULL;
}

void cox_admin_hold(struct cox_admin *copy) {
  json_incref(copy->reason);
  json_incref(copy->actor);
}

bool cox_admin_is_over(const struct cox_admin *admin, int64_t wall_ms) { return admin->expires_ms != 0 && admin->expires_ms <= wall_ms; }

bool cox_admin_write(const struct cox_admin *admin, json_t *object) {
  char time[COX_CLOCK_TEXT];
  bool is_good = json_object_set_new_nocheck(object, "enabled", json_boolean(admin->is_enabled)) == 0 &&
                 json_object_set_new_nocheck(object, "epoch", json_integer(admin->epoch)) == 0;
  if (admin->reason != NULL) is_good = is_good && json_object_set_nocheck(object, "reason", admin->reason) == 0;
  if (admin->actor != NULL) is_good = is_good && json_object_set_nocheck(object, "actor", admin->actor) == 0;
  if (admin->expires_ms == 0) return is_good;
  cox_clock_format(admin->expires_ms, time);
  return is_good && json_object_set_new_nocheck(object, "expires_at", json_string_nocheck(time)) == 0;
}

void cox_admin_read(struct cox_admin *out, const json_t *object) {
  json_t *const reason = json_object_get(object, "reason"), *const actor = json_object_get(object, "actor");
  *out = (struct cox_admin){
      .is_enabled = json_is_true(json_object_get(object, "enabled")),
      .epoch = json_integer_value(json_object_get(object, "epoch")),
      .expires_ms = cox_clock_parse(json_string_value(json_object_get(object, "expires_at"))),
      .reason = json_is_string(reason) ? json_incref(reason) : NULL,
      .actor = json_is_string(actor) ? json_incref(actor) : NULL,
  };
}
