#include "net/program.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"

extern char **environ;

struct cox_program {
  struct cox_program *next;
  struct cox_programs *owner;
  void *user;
  pid_t pid; /* 0: it has ended */
  int in_fd, out_fd, end_fd; /* ours; -1: closed */
  char *input;
  size_t input_len, written;
  struct cox_buf output;
  char name[128];
  int64_t timeout_ms;
  bool has_ended, is_taken;
  enum cox_class class_;
  char error[300];
};

static void close_fd(struct cox_program *program, int *fd) {
  if (*fd < 0) return;
  epoll_ctl(program->owner->epoll_fd, EPOLL_CTL_DEL, *fd, NULL);
  close(*fd);
  *fd = -1;
}

static void conclude(struct cox_program *program, enum cox_class class_, const char *why) {
  if (program->has_ended) return;
  program->has_ended = true;
  program->class_ = class_;
  snprintf(program->error, sizeof program->error, "the program %s %s", program->name, why);
  close_fd(program, &program->in_fd);
  close_fd(program, &program->out_fd);
  close_fd(program, &program->end_fd);
}

/* A killed process ends soon, but not at once: whoever killed it does not wait. */
static void reap(struct cox_programs *programs, int options) {
  for (size_t i = 0; i < COX_PROGRAMS_MAX * 2; i++) {
    if (programs->killed[i] != 0 && waitpid(programs->killed[i], NULL, options) != 0) programs->killed[i] = 0;
  }
}

static void kill_program(struct cox_program *program) {
  if (program->pid == 0) return;
  kill(program->pid, SIGKILL);
  if (waitpid(program->pid, NULL, WNOHANG) == 0) {
    struct cox_programs *const programs = program->owner;
    size_t place = 0;
    while (place < COX_PROGRAMS_MAX * 2 && programs->killed[place] != 0) place++;
    if (place < COX_PROGRAMS_MAX * 2) programs->killed[place] = program->pid;
    else waitpid(program->pid, NULL, 0);
  }
  program->pid = 0;
}

/* ---- start ---- */

static int watch(struct cox_program *program, int fd, uint32_t events) {
  struct epoll_event event = {.events = events, .data.fd = fd};
  return epoll_ctl(program->owner->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

static int spawn(struct cox_program *program, const char *path, int in_fd, int out_fd) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in_fd, STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, out_fd, STDOUT_FILENO);
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  posix_spawnattr_setsigmask(&attributes, &none); /* workers block all signals */
  posix_spawnattr_setsigdefault(&attributes, &all);
  char *const words[] = {(char *)(uintptr_t)path, NULL};
  const int rc = posix_spawn(&program->pid, path, &actions, &attributes, words, environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (rc != 0) program->pid = 0;
  return rc;
}

/* Pipes, process and end; 0 or an errno. */
static int begin(struct cox_program *program, const char *path) {
  int in[2] = {-1, -1}, out[2] = {-1, -1};
  int rc = 0;
  if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0) rc = errno;
  if (rc == 0) rc = spawn(program, path, in[0], out[1]);
  if (in[0] >= 0) close(in[0]);
  if (out[1] >= 0) close(out[1]);
  program->in_fd = in[1];
  program->out_fd = out[0];
  if (rc != 0) return rc;
  program->end_fd = (int)syscall(SYS_pidfd_open, program->pid, 0);
  if (program->end_fd < 0) return errno;
  fcntl(program->in_fd, F_SETFL, O_NONBLOCK);
  fcntl(program->out_fd, F_SETFL, O_NONBLOCK);
  if (watch(program, program->in_fd, EPOLLOUT) != 0 || watch(program, program->out_fd, EPOLLIN) != 0 ||
      watch(program, program->end_fd, EPOLLIN) != 0) {
    return errno;
  }
  return 0;
}

struct cox_program *cox_program_start(struct cox_programs *programs, const struct cox_io_request *request, void *user, const char **why) {
  reap(programs, WNOHANG);
  if (programs->count >= COX_PROGRAMS_MAX) {
    *why = "running a program was refused: too many run on this worker";
    return NULL;
  }
  struct cox_program *const program = calloc(1, sizeof *program);
  char *const input = malloc(request->body_len + 1);
  if (program == NULL || input == NULL) {
    free(program);
    free(input);
    *why = "running a program failed: out of memory";
    return NULL;
  }
  *program = (struct cox_program){.owner = programs, .user = user, .in_fd = -1, .out_fd = -1, .end_fd = -1, .input = input,
                                  .input_len = request->body_len, .timeout_ms = request->timeout_ms};
  if (request->body_len > 0) memcpy(input, request->body, request->body_len);
  program->output.limit = request->response_max != 0 ? request->response_max : COX_PROGRAM_OUTPUT_MAX;
  snprintf(program->name, sizeof program->name, "%s", request->url);
  program->next = programs->first;
  programs->first = program;
  programs->count++;
  const int rc = begin(program, request->url);
  if (rc != 0) {
    char text[120];
    snprintf(text, sizeof text, "could not be started: %s", strerror(rc));
    kill_program(program);
    conclude(program, COX_CLASS_SCRIPT, text);
  }
  return program;
}

/* ---- while it runs ---- */

static void write_input(struct cox_program *program) {
  while (program->in_fd >= 0 && program->written < program->input_len) {
    const ssize_t count = write(program->in_fd, program->input + program->written, program->input_len - program->written);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) return;
    if (count < 0) break; /* it reads no more: its output decides */
    program->written += (size_t)count;
  }
  close_fd(program, &program->in_fd);
}

static void read_output(struct cox_program *program) {
  char bytes[4096];
  while (program->out_fd >= 0) {
    const ssize_t count = read(program->out_fd, bytes, sizeof bytes);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) return;
    if (count <= 0) {
      close_fd(program, &program->out_fd);
    } else if (!cox_buf_add(&program->output, bytes, (size_t)count)) {
      kill_program(program);
      conclude(program, COX_CLASS_BAD_ANSWER, "wrote more than it may, and was killed");
    }
  }
}

/* What it started may hold its output open: its own end decides, with what was written until then. */
static void note_end(struct cox_program *program) {
  int status = 0;
  if (program->pid == 0 || waitpid(program->pid, &status, WNOHANG) != program->pid) return;
  program->pid = 0;
  read_output(program);
  char why[80];
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
    conclude(program, COX_CLASS_NONE, "is done");
  } else if (WIFEXITED(status)) {
    snprintf(why, sizeof why, "ended with exit code %d", WEXITSTATUS(status));
    conclude(program, COX_CLASS_SERVER, why);
  } else {
    snprintf(why, sizeof why, "was ended by signal %d", WTERMSIG(status));
    conclude(program, COX_CLASS_SERVER, why);
  }
}

bool cox_programs_event(struct cox_programs *programs, int fd) {
  for (struct cox_program *program = programs->first; program != NULL; program = program->next) {
    if (fd != program->in_fd && fd != program->out_fd && fd != program->end_fd) continue;
    if (fd == program->in_fd) write_input(program);
    else if (fd == program->out_fd) read_output(program);
    else note_end(program);
    return true;
  }
  return false;
}

/* ---- end ---- */

void cox_program_expire(struct cox_program *program) {
  if (program->has_ended) return;
  char why[80];
  snprintf(why, sizeof why, "did not end within %lld ms and was killed", (long long)program->timeout_ms);
  kill_program(program);
  conclude(program, COX_CLASS_TIMEOUT, why);
}

void cox_program_stop(struct cox_program *program) {
  struct cox_programs *const programs = program->owner;
  kill_program(program);
  conclude(program, COX_CLASS_CANCELLED, "was killed");
  struct cox_program **place = &programs->first;
  while (*place != program) place = &(*place)->next;
  *place = program->next;
  programs->count--;
  cox_buf_fini(&program->output);
  free(program->input);
  free(program);
}

struct cox_io_reply cox_program_reply(const struct cox_program *program) {
  assert(program->has_ended);
  if (program->class_ != COX_CLASS_NONE) return (struct cox_io_reply){.class_ = program->class_, .error = program->error};
  return (struct cox_io_reply){.class_ = COX_CLASS_NONE, .body = program->output.data != NULL ? program->output.data : "",
                               .body_len = program->output.len};
}

void *cox_programs_take_ended(struct cox_programs *programs) {
  for (struct cox_program *program = programs->first; program != NULL; program = program->next) {
    if (!program->has_ended || program->is_taken) continue;
    program->is_taken = true;
    return program->user;
  }
  return NULL;
}

bool cox_programs_has_ended(const struct cox_programs *programs) {
  const struct cox_program *program = programs->first;
  while (program != NULL && (!program->has_ended || program->is_taken)) program = program->next;
  return program != NULL;
}

void cox_programs_init(struct cox_programs *programs, int epoll_fd) { *programs = (struct cox_programs){.epoll_fd = epoll_fd}; }

void cox_programs_fini(struct cox_programs *programs) {
  assert(programs->count == 0);
  reap(programs, 0);
}
