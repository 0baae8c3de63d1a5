#include "core/wheel.h"

#include <stddef.h>

void cox_wheel_init(struct cox_wheel *wheel, int64_t tick_us, int64_t now_us) {
  wheel->tick_us = tick_us;
  wheel->turned = now_us / tick_us;
  for (int i = 0; i < COX_WHEEL_SLOTS; i++) wheel->slots[i].prev = wheel->slots[i].next = &wheel->slots[i];
}

/* An entry whose time lies behind the hand goes to the slot that is looked at next. */
void cox_wheel_add(struct cox_wheel *wheel, struct cox_wheel_entry *entry, int64_t at_us) {
  int64_t tick = at_us / wheel->tick_us;
  if (tick < wheel->turned) tick = wheel->turned;
  struct cox_wheel_entry *const head = &wheel->slots[(uint64_t)tick % COX_WHEEL_SLOTS];
  entry->at_us = at_us;
  entry->prev = head->prev;
  entry->next = head;
  head->prev->next = entry;
  head->prev = entry;
}

void cox_wheel_remove(struct cox_wheel_entry *entry) {
  if (entry->next == NULL) return;
  entry->prev->next = entry->next;
  entry->next->prev = entry->prev;
  entry->prev = entry->next = NULL;
}

static struct cox_wheel_entry *take_due(struct cox_wheel_entry *head, int64_t now_us) {
  struct cox_wheel_entry *list = NULL;
  for (struct cox_wheel_entry *entry = head->next, *next; entry != head; entry = next) {
    next = entry->next;
    if (entry->at_us > now_us) continue;
    cox_wheel_remove(entry);
    entry->next = list;
    list = entry;
  }
  return list;
}

/* A tick is looked at when it is wholly over; then everything of this turn in its slot is due. A clock that jumped far ahead
 * needs one full turn at most.                                                                                             */
struct cox_wheel_entry *cox_wheel_take(struct cox_wheel *wheel, int64_t now_us) {
  const int64_t now = now_us / wheel->tick_us;
  if (now - wheel->turned > COX_WHEEL_SLOTS) wheel->turned = now - COX_WHEEL_SLOTS;
  while (wheel->turned < now) {
    struct cox_wheel_entry *const list = take_due(&wheel->slots[(uint64_t)wheel->turned++ % COX_WHEEL_SLOTS], now_us);
    if (list != NULL) return list;
  }
  return NULL;
}

struct cox_wheel_entry *cox_wheel_taken(struct cox_wheel_entry *entry) {
  struct cox_wheel_entry *const next = entry->next;
  entry->next = NULL;
  return next;
}
