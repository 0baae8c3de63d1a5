#include "logging.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

/* One log for one process. The descriptor's number stays: the file behind it is exchanged under the threads that write. */
static char *log_path;
static int log_fd = -1;

static int open_file(const char *path) { return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640); }

bool cox_logging_start(const json_t *config, const char *path) {
  const json_t *const log = json_object_get(config, "log");
  enum cox_log_level level = COX_LOG_INFO;
  cox_log_level_parse(json_string_value(json_object_get(log, "level")), &level);
  const char *const format = json_string_value(json_object_get(log, "format"));
  const bool is_json = format != NULL && strcmp(format, "json") == 0;
  if (path == NULL) {
    cox_log_setup(level, is_json, STDERR_FILENO);
    return true;
  }
  log_path = realpath(path, NULL); /* the working directory may change */
  log_fd = open_file(path);
  if (log_path == NULL && log_fd >= 0) log_path = realpath(path, NULL);
  if (log_fd < 0 || log_path == NULL) {
    fprintf(stderr, "opening the log file %s failed: %s\n", path, strerror(errno));
    return false;
  }
  cox_log_setup(level, is_json, log_fd);
  return true;
}

void cox_logging_reopen(void) {
  if (log_path == NULL) return;
  const int fresh = open_file(log_path);
  if (fresh < 0) {
    cox_log(COX_LOG_ERROR, "main", "the log file could not be opened anew: the old one goes on", "file", log_path, "error", strerror(errno), NULL);
    return;
  }
  dup3(fresh, log_fd, O_CLOEXEC);
  close(fresh);
}
