/* Asks cox-reload for an exchange of scripts and waits for its answer. */
#ifndef SPEC_SCRIPTS_ASK_H
#define SPEC_SCRIPTS_ASK_H

#include <stdbool.h>

#include "core/scripts.h"

enum cox_scripts_status scripts_ask(const struct cox_scripts *scripts, bool is_rollback);

#endif
