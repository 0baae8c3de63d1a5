/* The control socket: what is said to it in frames, in text and in garbage, by many at once, and what it says back. The console behind
 * it is one in C whose lines can be told to run until they are cancelled.                                                             */
#include "fake_core.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/holder.h"
#include "base/lock.h"
#include "console/control.h"
#include "console/control_listen.h"
#include "console/control_wire.h"

enum { LIMIT_MS = 20000 };

/* ---- the console behind it ---- */

struct cox_console_session {
  struct cox_mutex mutex;
  struct cox_cond cond;
  bool is_cancelled;
};

static atomic_int sessions_open, lines_run, lines_cut;

static struct cox_console_session *console_open(void *ctx, const struct cox_console_caller *caller, struct cox_err *err) {
  (void)ctx;
  (void)err;
  assert_true(caller->name[0] != '\0');
  struct cox_console_session *const session = calloc(1, sizeof *session);
  cox_mutex_init(&session->mutex);
  cox_cond_init(&session->cond);
  atomic_fetch_add(&sessions_open, 1);
  return session;
}

static void console_close(struct cox_console_session *session) {
  cox_cond_fini(&session->cond);
  cox_mutex_fini(&session->mutex);
  free(session);
  atomic_fetch_sub(&sessions_open, 1);
}

static void console_begin(struct cox_console_session *session) {
  cox_mutex_lock(&session->mutex);
  session->is_cancelled = false;
  cox_mutex_unlock(&session->mutex);
}

static void console_cancel(struct cox_console_session *session) {
  cox_mutex_lock(&session->mutex);
  session->is_cancelled = true;
  cox_cond_signal(&session->cond);
  cox_mutex_unlock(&session->mutex);
}

/* "endless" runs until it is cancelled, "open" is not whole, "large" prints a megabyte; all else is shown as it came. */
static enum cox_console_outcome console_eval(struct cox_console_session *session, const char *code, size_t len, int width, struct cox_buf *text) {
  atomic_fetch_add(&lines_run, 1);
  if (len == 4 && memcmp(code, "open", 4) == 0) return COX_CONSOLE_INCOMPLETE;
  if (len == 7 && memcmp(code, "endless", 7) == 0) {
    cox_mutex_lock(&session->mutex);
    while (!session->is_cancelled) cox_cond_wait(&session->cond, &session->mutex);
    cox_mutex_unlock(&session->mutex);
    atomic_fetch_add(&lines_cut, 1);
    cox_buf_addf(text, "cancelled");
    return COX_CONSOLE_ERROR;
  }
  for (int i = 0; len == 5 && memcmp(code, "large", 5) == 0 && i < 1000; i++) cox_buf_addf(text, "%01000d", i);
  cox_buf_addf(text, "<%.*s> %d", (int)len, code, width);
  return COX_CONSOLE_DONE;
}

static json_t *console_complete(struct cox_console_session *session, const char *line, size_t len) {
  (void)session;
  (void)line;
  return json_pack("{si, s[s]}", "start", (int)len, "words", "word");
}

static json_t *console_commands(void *ctx) {
  (void)ctx;
  return json_pack("[{ss, ss, ss}]", "name", "reconcile", "help", "Looks again.", "priority", "high");
}

static const struct cox_console console = {.open = console_open,
                                           .close = console_close,
                                           .begin = console_begin,
                                           .cancel = console_cancel,
                                           .eval = console_eval,
                                           .complete = console_complete,
                                           .commands = console_commands};

/* ---- the rig ---- */

static struct fake *f;
static struct cox_control *control;
static char folder[64], path[96];

static struct cox_control *start(int64_t silent_ms) {
  const struct cox_control_options options = {.path = path, .broker = f->broker, .console = &console, .silent_ms = silent_ms};
  struct cox_err err = {0};
  struct cox_control *const fresh = cox_control_create(&options, &err);
  if (fresh == NULL) print_error("%s\n", err.text);
  return fresh;
}

static int setup(void **state) {
  (void)state;
  snprintf(folder, sizeof folder, "/tmp/coxswain-control-XXXXXX");
  if (mkdtemp(folder) == NULL) return -1;
  snprintf(path, sizeof path, "%s/c.sock", folder);
  f = fake_create(-1);
  fake_register(f, "node1", 5000);
  atomic_store(&lines_run, 0);
  atomic_store(&lines_cut, 0);
  control = start(0);
  return control != NULL ? 0 : -1;
}

static int teardown(void **state) {
  (void)state;
  cox_control_destroy(control);
  control = NULL;
  fake_destroy(f);
  if (access(path, F_OK) == 0) return -1; /* the file goes with the socket */
  if (atomic_load(&sessions_open) != 0) return -1;
  return rmdir(folder);
}

static int dial(void) {
  struct cox_err err = {0};
  const int fd = cox_socket_file_connect(path, &err);
  if (fd < 0) print_error("%s\n", err.text);
  assert_true(fd >= 0);
  return fd;
}

static void say(int fd, const void *bytes, size_t len) { assert_int_equal(send(fd, bytes, len, MSG_NOSIGNAL), (ssize_t)len); }
static void say_text(int fd, const char *text) { say(fd, text, strlen(text)); }

static void say_frame(int fd, json_t *request) {
  struct cox_buf out = {0};
  assert_true(cox_frame_add(&out, request));
  say(fd, out.data, out.len);
  cox_buf_fini(&out);
  json_decref(request);
}

/* At least one more byte into `in`; false: the other end closed. */
static bool hear(int fd, struct cox_buf *in) {
  static char bytes[65536];
  struct pollfd ready = {.fd = fd, .events = POLLIN};
  assert_int_equal(poll(&ready, 1, LIMIT_MS), 1);
  const ssize_t count = recv(fd, bytes, sizeof bytes, 0);
  if (count <= 0) return false;
  assert_true(cox_buf_add(in, bytes, (size_t)count));
  return true;
}

/* The next frame; NULL: the other end closed. */
static json_t *hear_frame(int fd) {
  static struct cox_buf in;
  size_t len = 0;
  cox_buf_clear(&in);
  for (;;) {
    const size_t have = in.len;
    if (have >= COX_FRAME_HEAD && cox_frame_find(in.data, in.len, COX_FRAME_ANSWER_MAX, &len) == COX_FRAME_WHOLE) break;
    /* Byte by byte, so that nothing of the next frame is taken. */
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    const size_t wanted = have < COX_FRAME_HEAD ? COX_FRAME_HEAD - have : COX_FRAME_HEAD + len - have;
    static char bytes[1 << 16];
    assert_int_equal(poll(&ready, 1, LIMIT_MS), 1);
    const ssize_t count = recv(fd, bytes, wanted < sizeof bytes ? wanted : sizeof bytes, 0);
    if (count <= 0) {
      cox_buf_fini(&in);
      return NULL;
    }
    assert_true(cox_buf_add(&in, bytes, (size_t)count));
  }
  json_t *const value = json_loadb(in.data + COX_FRAME_HEAD, len, 0, NULL);
  assert_non_null(value);
  cox_buf_fini(&in);
  return value;
}

static const char *text_at(json_t *object, const char *key) {
  const char *const text = json_string_value(json_object_get(object, key));
  return text != NULL ? text : "";
}

static json_t *ask(int fd, json_t *request) {
  say_frame(fd, request);
  json_t *const answer = hear_frame(fd);
  assert_non_null(answer);
  return answer;
}

static void expect_line(int fd, const char *code, const char *expected) {
  json_t *const answer = ask(fd, json_pack("{si, ss, ss, si}", "id", 7, "op", "line", "text", code, "width", 80));
  assert_int_equal(json_integer_value(json_object_get(answer, "id")), 7);
  assert_string_equal(text_at(answer, "text"), expected);
  json_decref(answer);
}

static void wait_for(atomic_int *counter, int value) {
  const struct timespec pause = {.tv_nsec = 2000000};
  for (int i = 0; i < LIMIT_MS / 2 && atomic_load(counter) != value; i++) nanosleep(&pause, NULL);
  assert_int_equal(atomic_load(counter), value);
}

/* All that comes until the other end closes. */
static void expect_text(int fd, const char *expected) {
  struct cox_buf in = {0};
  while (hear(fd, &in)) {}
  assert_string_equal(in.data != NULL ? in.data : "", expected);
  cox_buf_fini(&in);
  close(fd);
}

/* ---- frames ---- */

static void frames_are_answered_with_their_id(void **state) {
  (void)state;
  const int fd = dial();
  expect_line(fd, "1 + 1", "<1 + 1> 80");
  json_t *answer = ask(fd, json_pack("{ss, ss, ss}", "id", "x", "op", "complete", "text", "no"));
  assert_string_equal(text_at(answer, "id"), "x");
  assert_int_equal(json_integer_value(json_object_get(answer, "start")), 2);
  json_decref(answer);
  answer = ask(fd, json_pack("{si, ss}", "id", 1, "op", "nodes"));
  assert_int_equal(json_array_size(json_object_get(answer, "value")), 1);
  json_decref(answer);
  answer = ask(fd, json_pack("{si, ss, ss}", "id", 1, "op", "node", "node_id", "node1"));
  assert_non_null(json_object_get(json_object_get(answer, "value"), "state"));
  json_decref(answer);
  answer = ask(fd, json_pack("{si, ss}", "id", 1, "op", "hello"));
  assert_int_equal(json_integer_value(json_object_get(json_object_get(answer, "value"), "pid")), getpid());
  json_decref(answer);
  close(fd);
}

static void wrong_requests_are_answered_and_the_connection_goes_on(void **state) {
  (void)state;
  const int fd = dial();
  json_t *const wrong[] = {
      json_pack("{si}", "id", 1),
      json_pack("{si, si}", "id", 1, "op", 5),
      json_pack("{si, ss}", "id", 1, "op", "fly"),
      json_pack("{si, ss}", "id", 1, "op", "line"),
      json_pack("{si, ss, si}", "id", 1, "op", "line", "text", 4),
      json_pack("{si, ss}", "id", 1, "op", "node"),
      json_pack("{si, ss, ss}", "id", 1, "op", "node", "node_id", "nobody"),
  };
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    json_t *const answer = ask(fd, wrong[i]);
    assert_int_equal(json_integer_value(json_object_get(answer, "id")), 1);
    assert_true(text_at(answer, "error")[0] != '\0');
    json_decref(answer);
  }
  expect_line(fd, "2", "<2> 80");
  close(fd);
}

static void frames_that_cannot_be_read_end_the_connection_with_the_reason(void **state) {
  (void)state;
  static const char huge[] = {0, 0x20, 0, 1, '{'}, no_json[] = {0, 0, 0, 3, '{', '"', 'a'}, no_object[] = {0, 0, 0, 2, '[', ']'};
  const struct {
    const char *bytes;
    size_t len;
  } wrong[] = {{huge, sizeof huge}, {no_json, sizeof no_json}, {no_object, sizeof no_object}};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    const int fd = dial();
    say(fd, wrong[i].bytes, wrong[i].len);
    json_t *const answer = hear_frame(fd);
    assert_true(text_at(answer, "error")[0] != '\0');
    json_decref(answer);
    assert_null(hear_frame(fd));
    close(fd);
  }
}

static void a_flood_of_requests_is_answered_in_order(void **state) {
  (void)state;
  enum { COUNT = 300 };
  const int fd = dial();
  for (int i = 0; i < COUNT; i++) say_frame(fd, json_pack("{si, ss, ss}", "id", i, "op", "line", "text", "x"));
  shutdown(fd, SHUT_WR); /* what was asked before is still answered */
  for (int i = 0; i < COUNT; i++) {
    json_t *const answer = hear_frame(fd);
    assert_int_equal(json_integer_value(json_object_get(answer, "id")), i);
    json_decref(answer);
  }
  assert_null(hear_frame(fd));
  close(fd);
}

/* ---- text ---- */

static void text_lines_are_answered_in_text(void **state) {
  (void)state;
  const int fd = dial();
  say_text(fd, "one\r\ntwo\n\nthree");
  shutdown(fd, SHUT_WR);
  expect_text(fd, "<one> 0\n<two> 0\n<> 0\n<three> 0\n");
}

static void verbs_work_in_text_and_quit_ends_it(void **state) {
  (void)state;
  const int fd = dial();
  say_text(fd, "why nobody\nwhy nod1\nwhy\ncommands\nwhy = 5\nquit\nnever\n");
  expect_text(fd, "error: there is no node nobody: `nodes` lists them\nerror: there is no node nod1: did you mean node1?\nerror: usage: why NODE\n"
                  "COMMAND    PRIORITY  DOES          ARGUMENTS\nreconcile  high      Looks again.\n<why = 5> 0\n");
}

static void a_chunk_may_have_many_lines_in_text(void **state) {
  (void)state;
  const int fd = dial();
  say_text(fd, "open\nnodes\nopen\n\nend\n");
  shutdown(fd, SHUT_WR);
  /* "open" is kept, and what follows belongs to it, also the word of a verb; an empty line gives up what is not whole. */
  expect_text(fd, "<open\nnodes> 0\nerror: given up: the chunk was not whole\n<end> 0\n");
}

static void garbage_is_answered_or_cut(void **state) {
  (void)state;
  const int fd = dial();
  say(fd, "\xff\xfe\x01 binary\n", 11);
  shutdown(fd, SHUT_WR);
  expect_text(fd, "error: a line must be text in UTF-8\n");
  const int endless = dial();
  static char letters[80 << 10];
  memset(letters, 'a', sizeof letters);
  say(endless, letters, sizeof letters);
  expect_text(endless, "error: a line is longer than 64 KiB: the connection is closed\n");
}

/* ---- sessions ---- */

static void sessions_do_not_wait_for_each_other(void **state) {
  (void)state;
  const int busy = dial(), other = dial();
  say_frame(busy, json_pack("{si, ss, ss}", "id", 1, "op", "line", "text", "endless"));
  wait_for(&lines_run, 1);
  expect_line(other, "meanwhile", "<meanwhile> 80");
  close(other);
  close(busy);
  wait_for(&lines_cut, 1); /* who has gone takes no answer: its line is cancelled */
}

static void a_line_is_cancelled_while_it_runs_and_the_session_goes_on(void **state) {
  (void)state;
  const int fd = dial();
  say_frame(fd, json_pack("{si, ss, ss}", "id", 1, "op", "line", "text", "endless"));
  say_frame(fd, json_pack("{si, ss, ss}", "id", 2, "op", "line", "text", "endless"));
  wait_for(&lines_run, 1);
  say_frame(fd, json_pack("{si, ss, si}", "id", 3, "op", "cancel", "of", 2)); /* the one that waits */
  json_t *answer = hear_frame(fd);
  assert_int_equal(json_integer_value(json_object_get(answer, "id")), 3);
  json_decref(answer);
  say_frame(fd, json_pack("{si, ss, si}", "id", 4, "op", "cancel", "of", 1));
  bool has_first = false, has_second = false;
  for (int i = 0; i < 3; i++) {
    answer = hear_frame(fd);
    const json_int_t id = json_integer_value(json_object_get(answer, "id"));
    if (id == 1) assert_string_equal(text_at(answer, "text"), "cancelled");
    if (id == 2) assert_string_equal(text_at(answer, "error"), "cancelled before it began");
    has_first = has_first || id == 1;
    has_second = has_second || id == 2;
    json_decref(answer);
  }
  assert_true(has_first && has_second);
  expect_line(fd, "on", "<on> 80");
  assert_int_equal(atomic_load(&lines_cut), 1);
  close(fd);
}

static void trace_goes_on_until_it_is_cancelled(void **state) {
  (void)state;
  const int fd = dial();
  say_frame(fd, json_pack("{si, ss, ss}", "id", 1, "op", "line", "text", "trace node1"));
  json_t *answer = hear_frame(fd);
  assert_non_null(strstr(text_at(answer, "part"), "status    UNKNOWN"));
  json_decref(answer);
  say_frame(fd, json_pack("{ss}", "op", "cancel"));
  for (bool is_over = false; !is_over;) {
    answer = hear_frame(fd);
    is_over = json_object_get(answer, "id") != NULL && json_object_get(answer, "part") == NULL;
    json_decref(answer);
  }
  expect_line(fd, "on", "<on> 80");
  close(fd);
}

static void more_sessions_than_there_may_be_are_refused(void **state) {
  (void)state;
  int fds[COX_CONTROL_SESSIONS_MAX];
  for (int i = 0; i < COX_CONTROL_SESSIONS_MAX; i++) {
    fds[i] = dial();
    expect_line(fds[i], "x", "<x> 80");
  }
  const int late = dial();
  json_t *const answer = ask(late, json_pack("{si, ss, ss}", "id", 1, "op", "line", "text", "x"));
  assert_non_null(strstr(text_at(answer, "error"), "sessions are open already"));
  json_decref(answer);
  close(late);
  for (int i = 0; i < COX_CONTROL_SESSIONS_MAX; i++) close(fds[i]);
  wait_for(&sessions_open, 0);
  const int after = dial();
  expect_line(after, "x", "<x> 80");
  close(after);
}

static void silent_connections_give_way_to_those_that_speak(void **state) {
  (void)state;
  int fds[2 * COX_CONTROL_CONNECTIONS_MAX];
  for (int i = 0; i < 2 * COX_CONTROL_CONNECTIONS_MAX; i++) fds[i] = dial();
  const int fd = dial();
  expect_line(fd, "x", "<x> 80");
  close(fd);
  for (int i = 0; i < 2 * COX_CONTROL_CONNECTIONS_MAX; i++) close(fds[i]);
}

static void who_says_nothing_is_cut_and_who_has_spoken_is_not(void **state) {
  (void)state;
  cox_control_destroy(control);
  control = start(50);
  const int silent = dial(), half = dial(), spoken = dial();
  say(half, "\0\0", 2);
  expect_line(spoken, "x", "<x> 80");
  struct cox_buf in = {0};
  assert_false(hear(silent, &in));
  assert_false(hear(half, &in));
  expect_line(spoken, "y", "<y> 80");
  cox_buf_fini(&in);
  close(silent);
  close(half);
  close(spoken);
}

static void who_takes_no_answers_is_cut(void **state) {
  (void)state;
  cox_control_destroy(control);
  control = start(300);
  const int fd = dial(), other = dial();
  expect_line(other, "x", "<x> 80");
  for (int i = 0; i < 8; i++) say_frame(fd, json_pack("{si, ss, ss}", "id", i, "op", "line", "text", "large"));
  struct pollfd gone = {.fd = fd, .events = 0};
  assert_int_equal(poll(&gone, 1, LIMIT_MS), 1); /* POLLHUP: the other end closed, though nothing was read */
  expect_line(other, "y", "<y> 80");
  close(fd);
  close(other);
}

/* ---- the file ---- */

static void the_file_is_for_its_owner_only(void **state) {
  (void)state;
  struct stat status;
  assert_int_equal(stat(path, &status), 0);
  assert_int_equal(status.st_mode & 07777, 0600);
}

static void a_second_one_is_told_who_holds_the_socket(void **state) {
  (void)state;
  const struct cox_control_options options = {.path = path, .broker = f->broker, .console = &console};
  struct cox_err err = {0};
  char holder[COX_HOLDER_TEXT];
  assert_null(cox_control_create(&options, &err));
  assert_int_equal(err.code, COX_EBUSY);
  cox_holder_name(getpid(), holder);
  assert_non_null(strstr(err.text, holder));
  const int fd = dial(); /* the first one goes on */
  expect_line(fd, "x", "<x> 80");
  close(fd);
}

static void a_file_that_nobody_listens_on_is_taken_over(void **state) {
  (void)state;
  cox_control_destroy(control);
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
  const int dead = socket(AF_UNIX, SOCK_STREAM, 0);
  assert_int_equal(bind(dead, (struct sockaddr *)&address, sizeof address), 0);
  close(dead);
  control = start(0);
  assert_non_null(control);
  const int fd = dial();
  expect_line(fd, "x", "<x> 80");
  close(fd);
}

static void a_file_that_is_no_socket_is_left_alone(void **state) {
  (void)state;
  struct cox_socket_file file;
  struct cox_err err = {0};
  char other[128];
  snprintf(other, sizeof other, "%s/precious", folder);
  FILE *const precious = fopen(other, "w");
  fclose(precious);
  assert_int_equal(cox_socket_file_open(&file, other, &err), COX_EINVAL);
  assert_int_equal(access(other, F_OK), 0);
  unlink(other);
  assert_true(cox_socket_file_open(&file, "/nonexistent/x.sock", &err) < 0);
  assert_true(cox_socket_file_connect("/nonexistent/x.sock", &err) == COX_ENOENT);
}

static void a_path_may_be_longer_than_an_address(void **state) {
  (void)state;
  struct cox_socket_file file;
  struct cox_err err = {0};
  char deep[256], name[300];
  snprintf(deep, sizeof deep, "%s/%0120d", folder, 0);
  assert_int_equal(mkdir(deep, 0700), 0);
  snprintf(name, sizeof name, "%s/c.sock", deep);
  assert_int_equal(cox_socket_file_open(&file, name, &err), 0);
  const int fd = cox_socket_file_connect(name, &err);
  assert_true(fd >= 0);
  close(fd);
  cox_socket_file_close(&file);
  assert_int_equal(rmdir(deep), 0);
}

/* Run as root only: nobody else can become another user. The file is opened for all, so that the peer's credentials decide. */
static void another_user_is_turned_away(void **state) {
  (void)state;
  if (geteuid() != 0) skip();
  assert_int_equal(chmod(folder, 0755), 0);
  assert_int_equal(chmod(path, 0666), 0);
  const pid_t pid = fork();
  if (pid == 0) {
    char bytes[256] = "";
    struct cox_err err;
    if (setgid(65534) != 0 || setuid(65534) != 0) _exit(3);
    const int fd = cox_socket_file_connect(path, &err);
    const ssize_t count = fd >= 0 ? recv(fd, bytes, sizeof bytes - 1, MSG_WAITALL) : -1;
    _exit(count > 0 && strstr(bytes, "only the daemon's user and root") != NULL ? 0 : 1);
  }
  int status;
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_int_equal(WIFEXITED(status) ? WEXITSTATUS(status) : -1, 0);
}

static void it_stops_though_lines_run_and_clients_stay(void **state) {
  (void)state;
  int fds[4];
  for (int i = 0; i < 4; i++) {
    fds[i] = dial();
    say_frame(fds[i], json_pack("{si, ss, ss}", "id", 1, "op", "line", "text", "endless"));
  }
  wait_for(&lines_run, 4);
  cox_control_destroy(control);
  control = NULL;
  assert_int_equal(atomic_load(&lines_cut), 4);
  assert_int_equal(atomic_load(&sessions_open), 0);
  for (int i = 0; i < 4; i++) close(fds[i]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(frames_are_answered_with_their_id),
      TEST(wrong_requests_are_answered_and_the_connection_goes_on),
      TEST(frames_that_cannot_be_read_end_the_connection_with_the_reason),
      TEST(a_flood_of_requests_is_answered_in_order),
      TEST(text_lines_are_answered_in_text),
      TEST(verbs_work_in_text_and_quit_ends_it),
      TEST(a_chunk_may_have_many_lines_in_text),
      TEST(garbage_is_answered_or_cut),
      TEST(sessions_do_not_wait_for_each_other),
      TEST(a_line_is_cancelled_while_it_runs_and_the_session_goes_on),
      TEST(trace_goes_on_until_it_is_cancelled),
      TEST(more_sessions_than_there_may_be_are_refused),
      TEST(silent_connections_give_way_to_those_that_speak),
      TEST(who_says_nothing_is_cut_and_who_has_spoken_is_not),
      TEST(who_takes_no_answers_is_cut),
      TEST(the_file_is_for_its_owner_only),
      TEST(a_second_one_is_told_who_holds_the_socket),
      TEST(a_file_that_nobody_listens_on_is_taken_over),
      TEST(a_file_that_is_no_socket_is_left_alone),
      TEST(a_path_may_be_longer_than_an_address),
      TEST(another_user_is_turned_away),
      TEST(it_stops_though_lines_run_and_clients_stay),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
