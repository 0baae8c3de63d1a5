/* The control socket, in frames and in text, with its verbs and a console in C. Input: a byte that chooses how it is cut into pieces, then
 * what the other side sends. Sessions are threads: here they run on this one (linked with --wrap), when all has been read.           */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/thread.h"
#include "console/control_peer.h"
#include "console/control_wire.h"
#include "fake_core.h"
#include "input.h"

enum { PAUSES_MAX = 3, ROUNDS_MAX = 20000 };

static struct fake *fake;
static struct cox_control_session *session;
static void (*body)(void *arg);
static void *body_arg;
static bool is_closed, has_ended;
static int pauses;
static struct cox_peer peer;
static size_t ends; /* requests that were said to have ended */

/* ---- threads that are none ---- */

int __wrap_cox_thread_start(struct cox_thread *thread, const char *name, void (*run)(void *), void *arg, struct cox_err *err);
int __wrap_cox_thread_start(struct cox_thread *thread, const char *name, void (*run)(void *), void *arg, struct cox_err *err) {
  (void)thread, (void)name, (void)err;
  body = run;
  body_arg = arg;
  return 0;
}

/* The session has nothing more to do: it is closed. */
void __wrap_cox_cond_wait(struct cox_cond *cond, struct cox_mutex *mutex);
void __wrap_cox_cond_wait(struct cox_cond *cond, struct cox_mutex *mutex) {
  (void)cond;
  input_must(!is_closed, "a closed session ends");
  is_closed = true;
  cox_mutex_unlock(mutex);
  cox_control_session_close(session);
  cox_mutex_lock(mutex);
}

/* A verb that goes on, or a command that waits for its answer. */
bool __wrap_cox_cond_wait_us(struct cox_cond *cond, struct cox_mutex *mutex, int64_t timeout_us);
bool __wrap_cox_cond_wait_us(struct cox_cond *cond, struct cox_mutex *mutex, int64_t timeout_us) {
  (void)cond, (void)timeout_us;
  cox_mutex_unlock(mutex);
  fake_run(fake);
  if (++pauses % PAUSES_MAX == 0) cox_control_session_cancel(session, NULL);
  cox_mutex_lock(mutex);
  return false;
}

/* ---- the console ---- */

static struct cox_console_session *console_open(void *ctx, const struct cox_console_caller *caller, struct cox_err *err) {
  (void)caller, (void)err;
  return ctx;
}

static void console_none(struct cox_console_session *console) { (void)console; }

static enum cox_console_outcome console_eval(struct cox_console_session *console, const char *code, size_t len, int width, struct cox_buf *text) {
  (void)console;
  if (len > 0 && code[len - 1] == '(') return COX_CONSOLE_INCOMPLETE;
  cox_buf_add(text, code, len);
  return width == 1 ? COX_CONSOLE_ERROR : COX_CONSOLE_DONE;
}

static json_t *console_complete(struct cox_console_session *console, const char *line, size_t len) {
  (void)console, (void)line;
  return json_pack("{si, s[s]}", "start", (int)len, "words", "word");
}

static json_t *console_commands(void *ctx) {
  (void)ctx;
  return json_pack("[{ss, ss, ss}]", "name", "reconcile", "help", "Looks again.", "priority", "high");
}

static const struct cox_console console = {.ctx = &pauses /* any address */, .open = console_open, .close = console_none, .begin = console_none,
                                           .cancel = console_none, .eval = console_eval, .complete = console_complete, .commands = console_commands};

/* ---- the connection ---- */

static void emit(void *arg, uint64_t connection, json_t *answer) {
  (void)arg, (void)connection;
  if (answer == NULL) ends++;
  else if (!cox_peer_answer(&peer, answer)) input_must(false, "an answer fits into its frame");
}

static void ended(void *arg, struct cox_control_session *which) {
  (void)arg, (void)which;
  has_ended = true;
}

static struct cox_control_host host = {.console = &console, .emit = emit, .ended = ended};

static struct cox_control_session *open_session(void *arg, struct cox_peer *for_peer, struct cox_err *err) {
  (void)arg;
  session = cox_control_session_create(&host, for_peer->number, &for_peer->caller, err);
  return session;
}

/* Runs what was pushed; the session ends with it. */
static void run_session(void) {
  const size_t pushed = peer.requests;
  if (session == NULL) return;
  ends = 0;
  is_closed = has_ended = false;
  body(body_arg);
  input_must(has_ended && ends <= pushed, "a session ends, and each request once");
  cox_control_session_destroy(session);
  peer.session = session = NULL;
  peer.requests = 0;
}

static void read_answers(int fd) {
  static char bytes[65536];
  struct cox_buf all = {0};
  for (int i = 0; i < ROUNDS_MAX && peer.sent < peer.out.len; i++) {
    input_must(cox_peer_write(&peer, 0), "answers are sent");
    for (ssize_t count; (count = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT)) > 0;) cox_buf_add(&all, bytes, (size_t)count);
  }
  for (size_t at = 0, len; peer.language == COX_PEER_FRAMES && at < all.len; at += COX_FRAME_HEAD + len) {
    struct cox_err err;
    input_must(cox_frame_find(all.data + at, all.len - at, COX_FRAME_ANSWER_MAX, &len) == COX_FRAME_WHOLE, "answers are whole frames");
    json_t *const answer = cox_frame_parse(all.data + at + COX_FRAME_HEAD, len, &err);
    input_must(answer != NULL, "a frame is a JSON object");
    json_decref(answer);
  }
  cox_buf_fini(&all);
}

/* One piece; false: nothing more is read. */
static bool feed(const struct cox_peer_host *peer_host, int fd, struct input *input, size_t most) {
  size_t size = input->left < most ? input->left : most;
  if (size > 0 && send(fd, input->at, size, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)size) return false;
  input->at += size;
  input->left -= size;
  if (input->left == 0) shutdown(fd, SHUT_WR);
  const bool is_good = cox_peer_read(&peer, peer_host);
  run_session();
  while (is_good && peer.is_full) {
    cox_peer_parse(&peer, peer_host);
    run_session();
  }
  read_answers(fd);
  return is_good && !peer.is_ended && peer.language != COX_PEER_HTTP && input->left > 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const struct cox_peer_host peer_host = {.open_session = open_session, .has_http = true};
  struct input input = {(const char *)data, size};
  const size_t most = (size_t)input_byte(&input) * 8 + 1;
  int ends_of[2];
  if (fake == NULL) {
    input_quiet();
    fake = fake_create(-1);
  }
  fake_use_policy(fake, &fake->policy, NULL, NULL);
  fake_register(fake, "node1", 5000);
  host.broker = fake->broker;
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends_of) != 0) abort();
  cox_peer_init(&peer, ends_of[0], 1, &(struct cox_console_caller){.uid = 0, .name = "root"}, 0);
  pauses = 0;
  while (feed(&peer_host, ends_of[1], &input, most)) continue;
  cox_peer_fini(&peer);
  close(ends_of[1]);
  for (; fake->opens > 0; fake->opens--) cox_attempt_destroy(fake->open[fake->opens - 1]);
  return 0;
}
