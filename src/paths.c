#include "paths.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"

static bool is_data_dir(const char *dir, struct cox_paths *paths) {
  char probe[PATH_MAX];
  const int wanted = snprintf(probe, sizeof probe, "%s/lua/coxswain/handler.lua", dir);
  if (wanted < 0 || (size_t)wanted >= sizeof probe || access(probe, R_OK) != 0) return false;
  return (size_t)snprintf(paths->scripts, sizeof paths->scripts, "%s/scripts", dir) < sizeof paths->scripts &&
         (size_t)snprintf(paths->library, sizeof paths->library, "%s/lua", dir) < sizeof paths->library;
}

/* The folder of the running program; "" when the system does not say. */
static void program_dir(char out[PATH_MAX]) {
  const ssize_t len = readlink("/proc/self/exe", out, PATH_MAX - 1);
  out[len > 0 ? len : 0] = '\0';
  char *const slash = strrchr(out, '/');
  if (slash != NULL) *slash = '\0';
}

int cox_paths_find(struct cox_paths *paths, struct cox_err *err) {
  static const char *const beside[] = {"..", "../..", "../share/coxswain"};
  char program[PATH_MAX], dir[PATH_MAX + 32], real[PATH_MAX];
  struct cox_buf tried = {0};
  program_dir(program);
  for (size_t i = 0; program[0] != '\0' && i < sizeof beside / sizeof *beside; i++) {
    snprintf(dir, sizeof dir, "%s/%s", program, beside[i]);
    cox_buf_addf(&tried, "%s, ", dir);
    if (realpath(dir, real) == NULL || !is_data_dir(real, paths)) continue;
    cox_buf_fini(&tried);
    return 0;
  }
  const int rc = is_data_dir(COX_DATA_DIR, paths)
                     ? 0
                     : cox_err_set(err, COX_ENOENT, "the shipped scripts were not found in %s%s: install coxswain whole, or run it from its build",
                                   tried.data != NULL ? tried.data : "", COX_DATA_DIR);
  cox_buf_fini(&tried);
  return rc;
}
