/* Configurations for specs: written to a folder of their own, loaded, and their faults looked at. */
#ifndef SPEC_LOAD_CONFIG_H
#define SPEC_LOAD_CONFIG_H

#include <jansson.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include "base/err.h"

#define LOAD_FIXTURES "spec/fixtures/config/"

extern char load_folder[], load_config_path[64], load_nodes_path[64];

/* Set-up and tear-down of a group. */
int load_make_folder(void **state);
int load_remove_folder(void **state);

void load_write(const char *path, const char *text, size_t len);
/* Writes the configuration and returns its path. */
const char *load_file(const char *text);
/* A configuration that must be good; a new reference. */
json_t *load_good(const char *path, const char *const *overrides);
/* The faults of one that must not be. */
struct cox_faults load_bad(const char *path, const char *const *overrides);
/* Faults of that file (its last name), line and part of the text. */
size_t load_count_faults(const struct cox_faults *faults, const char *file, int line, const char *part);
void load_assert_fault(const struct cox_faults *faults, const char *file, int line, const char *part);
/* Values at a dotted path; "(absent)" and 0 when there is none. */
const char *load_text(const json_t *config, const char *path);
double load_number(const json_t *config, const char *path);

#endif
