/* A copy of the store, made beside it and sent: the client says where it goes, so nobody can make the daemon write elsewhere. */
#include "api/routes.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/request.h"
#include "api/server.h"
#include "base/clock.h"

enum { COPY_US = 25000000 /* the client waits 30 s */ };

struct backup_wait {
  struct cox_wait wait;
  char path[PATH_MAX];
  struct cox_err err; /* its code is 0 when the copy was made */
};

static void destroy_wait(struct cox_wait *wait) {
  struct backup_wait *const own = COX_CONTAINER(wait, struct backup_wait, wait);
  unlink(own->path); /* whoever reads it has it open */
  free(own);
}

/* On the store's thread. */
static void copied(void *arg, const struct cox_err *err) {
  struct backup_wait *const own = arg;
  if (err != NULL) own->err = *err;
  cox_wait_finish(&own->wait, COX_WAIT_ANSWERED);
  cox_wait_release(&own->wait);
}

static void close_file(void *state) {
  close(*(int *)state);
  free(state);
}

static ssize_t send_file(void *state, uint64_t position, char *out, size_t room) {
  const ssize_t count = pread(*(int *)state, out, room, (off_t)position);
  if (count < 0) return COX_STREAM_BROKEN;
  return count == 0 ? COX_STREAM_END : count;
}

static void answered(struct cox_request *request, struct cox_wait *wait) {
  const struct backup_wait *const own = COX_CONTAINER(wait, struct backup_wait, wait);
  int *const fd = malloc(sizeof *fd);
  if (own->err.code == 0 && fd != NULL && (*fd = open(own->path, O_RDONLY | O_CLOEXEC)) >= 0) {
    cox_request_answer_stream(request, "application/vnd.sqlite3", send_file, fd, close_file);
    return;
  }
  free(fd);
  const unsigned status = own->err.code == COX_EBUSY ? 409 : own->err.code == COX_EDEGRADED ? 503 : 500;
  cox_request_fail(request, status, "%s", own->err.code != 0 ? own->err.text : "the copy of the store cannot be read; try again later");
}

void cox_get_backup(struct cox_request *request) {
  const char *const store = json_string_value(json_object_get(request->api->options.config, "store"));
  struct backup_wait *const own = calloc(1, sizeof *own);
  if (own == NULL || store == NULL || strcmp(store, ":memory:") == 0) {
    free(own);
    cox_request_fail(request, 400, "there is no file to copy: this daemon keeps its state in memory only; `coxswain export` gives the nodes");
    return;
  }
  own->wait.destroy = destroy_wait;
  request->resume = answered;
  snprintf(own->path, sizeof own->path, "%s.copy-%s", store, request->id);
  cox_wait_begin(&own->wait, request, cox_clock_mono_us(cox_clock_system()) + COPY_US);
  cox_wait_hold(&own->wait);
  const int rc = cox_broker_backup(request->api->options.broker, own->path, copied, own, &own->err);
  if (rc == 0) return;
  own->err.code = rc;
  cox_wait_finish(&own->wait, COX_WAIT_ANSWERED);
  cox_wait_release(&own->wait);
}
