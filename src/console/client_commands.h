/* The client subcommands of this room, for main's table. Their ctx is a struct cox_cli_env. */
#ifndef COX_CONSOLE_CLIENT_COMMANDS_H
#define COX_CONSOLE_CLIENT_COMMANDS_H

#include "console/cli.h"
#include "console/target.h"

extern const struct cox_cli_entry cox_cli_nodes, cox_cli_node, cox_cli_command, cox_cli_commands, cox_cli_repl, cox_cli_completion, cox_cli_man;
extern const struct cox_cli_entry cox_cli_events, cox_cli_backup, cox_cli_export, cox_cli_import;
extern const struct cox_cli_entry cox_cli_plan, cox_cli_reload, cox_cli_rollback, cox_cli_scripts;
extern const struct cox_cli_entry cox_cli_init, cox_cli_doctor, cox_cli_report;

#endif
