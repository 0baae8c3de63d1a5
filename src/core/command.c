#include "core/command.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void cox_commands_init(struct cox_commands *commands, size_t max) {
  memset(commands, 0, sizeof *commands);
  cox_mutex_init(&commands->mutex);
  cox_cond_init(&commands->cond);
  commands->max = max;
}

void cox_commands_fini(struct cox_commands *commands) {
  assert(commands->queue[COX_PRIORITY_HIGH].count == 0 && commands->queue[COX_PRIORITY_LOW].count == 0);
  cox_cond_fini(&commands->cond);
  cox_mutex_fini(&commands->mutex);
}

struct cox_command *cox_command_create(const char *name, const char *caller, json_t *args, cox_reply_fn *reply, void *arg) {
  struct cox_command *const command = calloc(1, sizeof *command);
  if (command == NULL) return NULL;
  command->name = strdup(name);
  snprintf(command->caller, sizeof command->caller, "%s", caller);
  command->args = args != NULL ? json_incref(args) : json_object();
  command->reply = reply;
  command->arg = arg;
  if (command->name != NULL && command->args != NULL) return command;
  cox_command_destroy(command);
  return NULL;
}

void cox_command_destroy(struct cox_command *command) {
  if (command == NULL) return;
  cox_condition_fini(&command->condition);
  free(command->pending); /* nothing has come into it yet */
  free(command->name);
  json_decref(command->args);
  free(command);
}

int cox_commands_push(struct cox_commands *commands, enum cox_priority priority, struct cox_command *command,
                      struct cox_err *err) {
  int rc = 0;
  cox_mutex_lock(&commands->mutex);
  if (commands->is_closed) {
    rc = cox_err_set(err, COX_ESTOPPED, "command %s was not accepted: the broker is stopping", command->name);
  } else if (commands->queue[priority].count >= commands->max) {
    rc = cox_err_set(err, COX_EFULL, "command %s was not accepted: %zu commands of its priority wait already; try again later",
                     command->name, commands->max);
  } else {
    command->next = NULL;
    if (commands->queue[priority].last != NULL) commands->queue[priority].last->next = command;
    else commands->queue[priority].first = command;
    commands->queue[priority].last = command;
    commands->queue[priority].count++;
  }
  cox_mutex_unlock(&commands->mutex);
  if (rc == 0) cox_cond_signal(&commands->cond); /* without the lock: who wakes at once would only sleep again, for it */
  return rc;
}

static struct cox_command *pop_locked(struct cox_commands *commands, enum cox_priority priority)
    COX_REQUIRES(commands->mutex) {
  struct cox_command *const command = commands->queue[priority].first;
  commands->queue[priority].first = command->next;
  if (command->next == NULL) commands->queue[priority].last = NULL;
  commands->queue[priority].count--;
  return command;
}

struct cox_command *cox_commands_take(struct cox_commands *commands) {
  cox_mutex_lock(&commands->mutex);
  const bool has_high = commands->queue[COX_PRIORITY_HIGH].count > 0;
  const bool has_low = commands->queue[COX_PRIORITY_LOW].count > 0;
  struct cox_command *command = NULL;
  if (has_low && (!has_high || commands->highs >= COX_COMMAND_HIGHS)) {
    command = pop_locked(commands, COX_PRIORITY_LOW);
    commands->highs = 0;
  } else if (has_high) {
    command = pop_locked(commands, COX_PRIORITY_HIGH);
    commands->highs = has_low ? commands->highs + 1 : 0;
  }
  cox_mutex_unlock(&commands->mutex);
  return command;
}

bool cox_commands_wait(struct cox_commands *commands) {
  cox_mutex_lock(&commands->mutex);
  while (!commands->is_woken && !commands->is_ended && commands->queue[COX_PRIORITY_HIGH].count == 0 &&
         commands->queue[COX_PRIORITY_LOW].count == 0) {
    cox_cond_wait(&commands->cond, &commands->mutex);
  }
  const bool goes_on = commands->is_woken || !commands->is_ended || commands->queue[COX_PRIORITY_HIGH].count > 0 ||
                       commands->queue[COX_PRIORITY_LOW].count > 0;
  commands->is_woken = false;
  cox_mutex_unlock(&commands->mutex);
  return goes_on;
}

void cox_commands_wake(struct cox_commands *commands) {
  cox_mutex_lock(&commands->mutex);
  commands->is_woken = true;
  cox_mutex_unlock(&commands->mutex);
  cox_cond_signal(&commands->cond);
}

void cox_commands_close(struct cox_commands *commands) {
  cox_mutex_lock(&commands->mutex);
  commands->is_closed = true;
  cox_mutex_unlock(&commands->mutex);
}

bool cox_commands_is_closed(struct cox_commands *commands) {
  cox_mutex_lock(&commands->mutex);
  const bool is_closed = commands->is_closed;
  cox_mutex_unlock(&commands->mutex);
  return is_closed;
}

void cox_commands_end(struct cox_commands *commands) {
  cox_mutex_lock(&commands->mutex);
  commands->is_ended = true;
  cox_cond_broadcast(&commands->cond);
  cox_mutex_unlock(&commands->mutex);
}

size_t cox_commands_depth(struct cox_commands *commands, enum cox_priority priority) {
  cox_mutex_lock(&commands->mutex);
  const size_t count = commands->queue[priority].count;
  cox_mutex_unlock(&commands->mutex);
  return count;
}
