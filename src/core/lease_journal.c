/* Ejections go to the log and to the journal, from cox-command: under the leases' lock nothing is written. */
#include "base/log.h"
#include "core/lease_private.h"

/* The record is for people who ask later; that it was lost is said, and nothing depends on it. */
static void stored(void *arg, const struct cox_err *err) {
  (void)arg;
  if (err != NULL) cox_log(COX_LOG_WARN, "lease", "an ejection was not journaled", "error", err->text, NULL);
}

size_t cox_lease_journal(struct cox_broker *broker) {
  json_t *const records = cox_lease_take_records(broker);
  if (records == NULL) return 0;
  size_t i;
  json_t *record;
  json_array_foreach(records, i, record) {
    const char *const id = json_string_value(json_object_get(record, "node_id"));
    if (id == NULL) continue;
    cox_log(COX_LOG_WARN, "lease", json_string_value(json_object_get(record, "op")), "node", id, "reason",
            json_string_value(json_object_get(record, "reason")), NULL);
  }
  const size_t count = json_array_size(records);
  const struct cox_store *const store = broker->options.store;
  if (store != NULL) store->append(store->ctx, records, stored, NULL);
  json_decref(records);
  return count;
}
