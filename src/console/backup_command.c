/* `coxswain backup FILE`: a copy of the daemon's store, written here. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "console/client_commands.h"
#include "console/request.h"

enum { COPY_MAX = 1 << 30 };

static int run(void *ctx, int argc, char **argv);

const struct cox_cli_entry cox_cli_backup = {
    .name = "backup",
    .synopsis = "FILE",
    .summary = "Copies the daemon's store to a new file while the daemon works",
    .detail = "`coxswain restore FILE` puts the copy back while the daemon is stopped.",
    .is_client = true,
    .run = run,
};

static int fail_at(const char *program, const char *what, const char *name) {
  return cox_cli_fail(program, "%s %s failed: %s", what, name, strerror(errno));
}

/* The whole or nothing, and never over another file. */
static int write_copy(const char *program, const char *name, const struct cox_buf *copy) {
  char part[PATH_MAX];
  if ((size_t)snprintf(part, sizeof part, "%s.part", name) >= sizeof part) return cox_cli_fail(program, "the name %.200s… is too long", name);
  const int fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return fail_at(program, "writing", part);
  bool is_good = true;
  for (size_t done = 0; is_good && done < copy->len;) {
    const ssize_t count = write(fd, copy->data + done, copy->len - done);
    is_good = count > 0;
    done += count > 0 ? (size_t)count : 0;
  }
  is_good = is_good && fsync(fd) == 0 && link(part, name) == 0;
  const int exit_code = is_good ? COX_EXIT_DONE : fail_at(program, "writing", name);
  close(fd);
  unlink(part);
  return exit_code;
}

static int fetch(struct cox_cli_session *session, const char *name) {
  static const char magic[] = "SQLite format 3";
  struct cox_buf copy = {.limit = COPY_MAX};
  struct cox_err err = {0};
  const char *const program = session->args.program;
  const int status = session->target.client.call(&session->target.client, "GET", "/v1/backup", NULL, &copy, &err);
  int exit_code;
  if (status < 0) {
    cox_cli_fail(program, "%s", err.text);
    exit_code = status == COX_ENOENT ? COX_EXIT_NO_DAEMON : COX_EXIT_FAILED;
  } else if (status != 200) {
    json_t *const answer = copy.data != NULL ? json_loads(copy.data, 0, NULL) : NULL;
    exit_code = cox_cli_report_refusal(session, status, answer);
    json_decref(answer);
  } else if (copy.len < sizeof magic || memcmp(copy.data, magic, sizeof magic) != 0) {
    exit_code = cox_cli_fail(program, "what came is no copy of a store: is it a coxswain?");
  } else {
    exit_code = write_copy(program, name, &copy);
    if (exit_code == COX_EXIT_DONE) printf("%s: %zu bytes\n", name, copy.len);
  }
  cox_buf_fini(&copy);
  return exit_code;
}

static int run(void *ctx, int argc, char **argv) {
  struct cox_cli_session session;
  int exit_code;
  if (!cox_cli_session_begin(&session, &cox_cli_backup, 1, 1, ctx, argc, argv, &exit_code)) return exit_code;
  const char *const name = session.args.rest[0];
  if (access(name, F_OK) == 0) exit_code = cox_cli_fail(argv[0], "there is a file %s already: give another name", name);
  else exit_code = fetch(&session, name);
  cox_cli_session_end(&session);
  return exit_code;
}
