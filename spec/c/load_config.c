#include "load_config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "script/config_schema.h"
#include "script/script.h"

char load_folder[] = "/tmp/coxswain-config-XXXXXX";
char load_config_path[64], load_nodes_path[64];

int load_make_folder(void **state) {
  (void)state;
  if (mkdtemp(load_folder) == NULL) return -1;
  snprintf(load_config_path, sizeof load_config_path, "%s/coxswain.lua", load_folder);
  snprintf(load_nodes_path, sizeof load_nodes_path, "%s/nodes.json", load_folder);
  return 0;
}

int load_remove_folder(void **state) {
  (void)state;
  unlink(load_config_path);
  unlink(load_nodes_path);
  return rmdir(load_folder);
}

void load_write(const char *path, const char *text, size_t len) {
  FILE *const file = fopen(path, "w");
  assert_non_null(file);
  assert_int_equal(fwrite(text, 1, len, file), len);
  assert_int_equal(fclose(file), 0);
}

const char *load_file(const char *text) {
  load_write(load_config_path, text, strlen(text));
  return load_config_path;
}

json_t *load_good(const char *path, const char *const *overrides) {
  struct cox_faults faults = {0};
  json_t *const config = cox_config_load(path, overrides, "/usr/share/coxswain/scripts", &faults);
  for (size_t i = 0; i < faults.count; i++)
    print_error("%s:%d: %s\n", faults.list[i].file, faults.list[i].line, faults.list[i].text);
  assert_int_equal(faults.count, 0);
  assert_non_null(config);
  cox_faults_fini(&faults);
  return config;
}

struct cox_faults load_bad(const char *path, const char *const *overrides) {
  struct cox_faults faults = {0};
  assert_null(cox_config_load(path, overrides, NULL, &faults));
  assert_true(faults.count > 0);
  return faults;
}

size_t load_count_faults(const struct cox_faults *faults, const char *file, int line, const char *part) {
  size_t count = 0;
  for (size_t i = 0; i < faults->count; i++) {
    const struct cox_err *const fault = &faults->list[i];
    const char *const name = strrchr(fault->file, '/') != NULL ? strrchr(fault->file, '/') + 1 : fault->file;
    count += strcmp(name, file) == 0 && fault->line == line && strstr(fault->text, part) != NULL;
  }
  return count;
}

void load_assert_fault(const struct cox_faults *faults, const char *file, int line, const char *part) {
  if (load_count_faults(faults, file, line, part) == 1) return;
  for (size_t i = 0; i < faults->count; i++) {
    print_error("has %s:%d: %s\n", faults->list[i].file, faults->list[i].line, faults->list[i].text);
  }
  fail_msg("no fault %s:%d: …%s…", file, line, part);
}

const char *load_text(const json_t *config, const char *path) {
  const char *const text = json_string_value(cox_config_get(config, path));
  return text != NULL ? text : "(absent)";
}

double load_number(const json_t *config, const char *path) { return json_number_value(cox_config_get(config, path)); }
