/* Commands that wait. A worker runs them; what the command loop does for the others, counting and a line in the journal, is done
 * here when the answer comes.                                                                                                  */
#include <stdlib.h>

#include "base/log.h"
#include "core/serve.h"

/* What its worker has of it. */
struct chore {
  struct cox_broker *broker;
  struct cox_command *command; /* owned: name, caller, arguments, and who is to be answered */
};

static void destroy(struct chore *chore) {
  cox_command_destroy(chore->command);
  free(chore);
}

static struct chore *create(struct cox_broker *broker, const char *caller, const char *name, json_t *args, cox_reply_fn *reply, void *arg) {
  struct chore *const chore = calloc(1, sizeof *chore);
  if (chore == NULL) return NULL;
  chore->broker = broker;
  chore->command = cox_command_create(name, caller, args, reply, arg);
  if (chore->command != NULL) return chore;
  free(chore);
  return NULL;
}

/* On the worker. */
static void answered(void *arg, const struct cox_answer *answer) {
  struct chore *const chore = arg;
  const struct cox_command *const command = chore->command;
  struct cox_err err = {0};
  cox_metrics_command(&chore->broker->metrics, command->name, (enum cox_command_outcome)answer->outcome);
  struct cox_record *const record = cox_record_command(command->name, command->caller, command->args, answer);
  if (cox_note_send(chore->broker, record, NULL, NULL, "a line of the journal", &err) != 0) {
    cox_log(COX_LOG_WARN, "command", "a command was not journaled", "name", command->name, "error", err.text, NULL);
  }
  if (command->reply != NULL) command->reply(command->arg, answer);
  destroy(chore);
}

int cox_chore_submit(struct cox_broker *broker, const char *caller, const char *name, json_t *args, cox_reply_fn *reply, void *arg,
                     struct cox_err *err) {
  const struct cox_transport *const transport = broker->options.transport;
  if (cox_commands_is_closed(&broker->commands)) return cox_err_set(err, COX_ESTOPPED, "command %s was not accepted: the broker is stopping", name);
  if (transport == NULL || transport->chore == NULL) return cox_err_set(err, COX_EREFUSED, "command %s waits for the world outside: it needs running workers", name);
  struct chore *const chore = create(broker, caller, name, args, reply, arg);
  if (chore == NULL) return cox_err_set(err, COX_ENOMEM, "command %s was not accepted: out of memory", name);
  const int rc = transport->chore(transport->ctx, name, chore->command->args, answered, chore, err);
  if (rc == 0) {
    atomic_fetch_add_explicit(&broker->counters.commands, 1, memory_order_relaxed);
    return 0;
  }
  if (rc == COX_EFULL) cox_metrics_command(&broker->metrics, name, COX_COMMAND_REFUSED);
  destroy(chore);
  return rc;
}
