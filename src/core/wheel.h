/* Many deadlines that mostly never come: a hashed timing wheel (Varghese and Lauck 1987, scheme 6). Adding and removing cost
 * O(1); a turn looks only at the slots whose time has come. An entry that lies more than one turn of the wheel ahead stays in
 * its slot and is looked at once per turn. Not thread-safe: its owner's lock guards it.                                       */
#ifndef COX_CORE_WHEEL_H
#define COX_CORE_WHEEL_H

#include <stdbool.h>
#include <stdint.h>

struct cox_wheel_entry {
  struct cox_wheel_entry *prev, *next; /* NULL: in no wheel */
  int64_t at_us;
};

enum { COX_WHEEL_SLOTS = 512 };

struct cox_wheel {
  int64_t tick_us;
  int64_t turned; /* ticks that were looked at */
  struct cox_wheel_entry slots[COX_WHEEL_SLOTS]; /* heads of rings */
};

/* Every deadline is found at the first turn that is at least `tick_us` after it. */
void cox_wheel_init(struct cox_wheel *wheel, int64_t tick_us, int64_t now_us);
void cox_wheel_add(struct cox_wheel *wheel, struct cox_wheel_entry *entry, int64_t at_us);
/* Nothing happens when it is in no wheel. */
void cox_wheel_remove(struct cox_wheel_entry *entry);
/* Takes out what is due, one slot at a time, as a list that is walked with cox_wheel_taken; NULL: nothing is due any more. */
struct cox_wheel_entry *cox_wheel_take(struct cox_wheel *wheel, int64_t now_us);
/* The next of a taken list; the entry may be added again or freed afterwards. */
struct cox_wheel_entry *cox_wheel_taken(struct cox_wheel_entry *entry);

#endif
