/* What is laid over a configuration: environment variables, and -D over these. */
#ifndef COX_SCRIPT_CONFIG_LAYERS_H
#define COX_SCRIPT_CONFIG_LAYERS_H

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"

/* Where faults of -D say they are. */
#define COX_CONFIG_FROM_OPTION "-D"

struct cox_config_layers {
  json_t *config;  /* what it is laid over; borrowed */
  json_t *origins; /* {"admin.listen": "-D" or a variable's name}: the values that were laid */
  struct cox_faults *faults;
};

/* `config` is an object. False: out of memory. */
bool cox_config_layers_init(struct cox_config_layers *layers, json_t *config, struct cox_faults *faults);
void cox_config_layers_fini(struct cox_config_layers *layers);

/* COXSWAIN_ADMIN__LISTEN=… of that environment ("NAME=value", NULL-terminated). An unknown one is a warning in the log. */
void cox_config_layers_add_environment(struct cox_config_layers *layers, char *const *environment);
/* "admin.listen=…" of -D (NULL-terminated, may be NULL). An unknown key is a fault. */
void cox_config_layers_add_options(struct cox_config_layers *layers, const char *const *options);

/* Who laid the value at that path, or a table that holds it, or else something inside of it: "-D" or a variable's name,
 * borrowed; NULL: nobody.                                                                                             */
const char *cox_config_layers_origin(const struct cox_config_layers *layers, const char *path);

#endif
