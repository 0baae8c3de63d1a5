/* Small looks at the broker that cost little, however many nodes there are. */
#include <stdlib.h>

#include "core/engine.h"

#define LOCK broker->registry.lock

json_t *cox_broker_ids_json(struct cox_broker *broker) {
  json_t *const list = json_array();
  json_t **ids = NULL;
  size_t count = 0, capacity = 0;
  for (bool is_done = false; !is_done;) {
    cox_rwlock_read(&LOCK);
    const struct cox_registry *const registry = &broker->registry;
    const size_t wanted = registry->count;
    is_done = wanted <= capacity;
    for (size_t i = 0; is_done && i < registry->num_count; i++) {
      if (registry->by_num[i] != NULL) ids[count++] = json_incref(registry->by_num[i]->id);
    }
    cox_rwlock_read_unlock(&LOCK);
    if (is_done) break;
    capacity = wanted + wanted / 8;
    free(ids);
    ids = malloc(capacity * sizeof(json_t *));
    if (ids == NULL) return list;
  }
  for (size_t i = 0; i < count; i++) json_array_append_new(list, ids[i]);
  free(ids);
  return list;
}

bool cox_broker_is_alive(struct cox_broker *broker, int64_t max_age_ms) {
  const int64_t oldest_us = cox_clock_mono_us(broker->options.clock) - max_age_ms * 1000;
  const int64_t command_us = atomic_load_explicit(&broker->heart.command_us, memory_order_relaxed);
  const int64_t reconcile_us = atomic_load_explicit(&broker->heart.reconcile_us, memory_order_relaxed);
  cox_commands_wake(&broker->commands);
  cox_broker_trigger(broker);
  return command_us >= oldest_us && reconcile_us >= oldest_us;
}
