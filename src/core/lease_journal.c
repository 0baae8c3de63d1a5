/* Ejections go to the log and to the journal, from cox-command: under the leases' lock nothing is written. */
#include "base/log.h"
#include "core/lease_private.h"

/* The line is for people who ask later; that it was lost is said, and nothing depends on it. */
static void note(struct cox_broker *broker, json_t *record) {
  const char *const id = json_string_value(json_object_get(record, "node_id"));
  struct cox_err err = {0};
  if (id != NULL) {
    cox_log(COX_LOG_WARN, "lease", json_string_value(json_object_get(record, "op")), "node", id, "reason",
            json_string_value(json_object_get(record, "reason")), NULL);
  }
  json_t *const fields = json_copy(record);
  json_object_del(fields, "node_id");
  if (cox_broker_note(broker, "note", id, fields, &err) == 0) return;
  cox_log(COX_LOG_WARN, "lease", "an ejection was not journaled", "error", err.text, NULL);
}

size_t cox_lease_journal(struct cox_broker *broker) {
  json_t *const records = cox_lease_take_records(broker);
  if (records == NULL) return 0;
  size_t i;
  json_t *record;
  json_array_foreach(records, i, record) note(broker, record);
  const size_t count = json_array_size(records);
  json_decref(records);
  return count;
}
