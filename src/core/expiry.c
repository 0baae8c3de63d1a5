#include "core/expiry.h"

#include "base/fault.h"
#include "core/engine.h"
#include "core/serve.h"

enum {
  AT_A_TIME = 16,          /* then other commands have their turn */
  RETRY_US = 5000000,      /* after one that could not be ended */
  LOOK_MAX_US = 60000000,  /* the wall clock may be set meanwhile */
  OLD_MAX = 64,
};

void cox_expiry_init(struct cox_expiry *expiry) { *expiry = (struct cox_expiry){.is_incomplete = !cox_fault("expiry.forgets_start")}; }

void cox_expiry_fini(struct cox_expiry *expiry) { cox_timers_fini(&expiry->timers); }

static void add(struct cox_expiry *expiry, const struct cox_node *node) {
  if (node->admin.expires_ms == 0) return;
  if (cox_timers_add(&expiry->timers, node->admin.expires_ms, node->registration, COX_TIMER_EXPIRY) != 0) expiry->is_incomplete = true;
}

/* Moments that do not hold any more are forgotten once they are more than the nodes. */
void cox_expiry_follow(struct cox_broker *broker, const struct cox_node *node) {
  if (!cox_fault("expiry.misses_change")) add(&broker->expiry, node);
  if (broker->expiry.timers.count > OLD_MAX + 2 * broker->registry.num_count) broker->expiry.is_incomplete = true;
}

void cox_expiry_forget(struct cox_broker *broker) { broker->expiry.is_incomplete = true; }

static void try_later(struct cox_broker *broker) {
  broker->expiry.not_before_us = cox_clock_mono_us(broker->options.clock) + RETRY_US;
}

/* This thread is the only writer of what it reads. */
static void collect(struct cox_broker *broker) {
  struct cox_expiry *const expiry = &broker->expiry;
  expiry->is_incomplete = false;
  expiry->timers.count = 0;
  for (size_t i = 0; i < broker->registry.num_count; i++) {
    if (broker->registry.by_num[i] != NULL) add(expiry, broker->registry.by_num[i]);
  }
  if (expiry->is_incomplete) try_later(broker); /* no memory */
}

static const struct cox_node *over(struct cox_broker *broker, uint64_t registration) {
  const struct cox_node *const node = cox_registry_find_registration(&broker->registry, registration);
  return node != NULL && cox_admin_is_over(&node->admin, cox_clock_wall_ms(broker->options.clock)) ? node : NULL;
}

/* Scripts that know nothing of expiries can still be told what is asked of them. */
static struct cox_command *command_for(struct cox_broker *broker, const struct cox_node *node) {
  static const char name[] = "expire_admin_state", older_name[] = "set_admin_state";
  const struct cox_policy *const policy = broker->options.policy;
  enum cox_priority priority;
  const bool is_known = policy->lookup(policy->ctx, name, &priority) == 0;
  json_t *const args = is_known ? json_pack("{sO}", "node_id", node->id)
                                : json_pack("{sO, sb}", "node_id", node->id, "enabled", !node->admin.is_enabled);
  struct cox_command *const command = args != NULL ? cox_command_create(is_known ? name : older_name, "expiry", args, NULL, NULL) : NULL;
  json_decref(args);
  if (command == NULL) return NULL;
  command->pending = cox_pending_create(broker, command);
  if (command->pending != NULL) return command;
  cox_command_destroy(command);
  return NULL;
}

/* False: it holds on for now. */
static bool end_one(struct cox_broker *broker, const struct cox_node *node) {
  struct cox_err err;
  const uint64_t registration = node->registration;
  struct cox_command *const command = cox_ledger_admits(broker, &err) == 0 ? command_for(broker, node) : NULL;
  if (command == NULL) return false;
  cox_serve(broker, command);
  return over(broker, registration) == NULL;
}

size_t cox_expiry_handle(struct cox_broker *broker) {
  struct cox_expiry *const expiry = &broker->expiry;
  if (!expiry->is_incomplete && expiry->timers.count == 0) return 0;
  if (cox_clock_mono_us(broker->options.clock) < expiry->not_before_us || cox_commands_is_closed(&broker->commands)) return 0;
  if (expiry->is_incomplete) collect(broker);
  const int64_t now_ms = cox_clock_wall_ms(broker->options.clock);
  size_t count = 0;
  while (count < AT_A_TIME && cox_timers_next(&expiry->timers) <= now_ms) {
    const struct cox_node *const node = over(broker, cox_timers_pop(&expiry->timers).registration);
    if (node == NULL) continue; /* removed, or something else was said since */
    count++;
    if (end_one(broker, node)) continue;
    expiry->is_incomplete = true;
    try_later(broker);
    break;
  }
  return count;
}

int64_t cox_expiry_next_us(struct cox_broker *broker) {
  struct cox_expiry *const expiry = &broker->expiry;
  const int64_t first_ms = cox_timers_next(&expiry->timers), now_us = cox_clock_mono_us(broker->options.clock);
  if (cox_commands_is_closed(&broker->commands)) return INT64_MAX;
  if (expiry->is_incomplete || (first_ms != INT64_MAX && expiry->not_before_us > now_us)) return expiry->not_before_us;
  if (first_ms == INT64_MAX) return INT64_MAX;
  /* Kept while it holds: made anew each time, it would differ by a millisecond, and each earlier one wakes somebody. */
  if (first_ms == expiry->planned_ms && expiry->look_us > now_us) return expiry->look_us;
  const int64_t left_ms = first_ms - cox_clock_wall_ms(broker->options.clock);
  expiry->planned_ms = first_ms;
  expiry->look_us = now_us + (left_ms > LOOK_MAX_US / 1000 ? LOOK_MAX_US : left_ms > 0 ? left_ms * 1000 : 0);
  return expiry->look_us;
}
