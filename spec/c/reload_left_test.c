/* Scripts that take their time while they are loaded: a stop and a newer request end such a load, and what loops is run once. */
#include "reload_rig.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"

enum { LOOPING = 40 /* files, 1 s each: longer than anybody waits, and than the limit of a stop */ };

#define BEGINS "log.info('a load has begun')\n"
#define LOOPS BEGINS "while true do end\n"

static struct reload_rig rig;
static int log_fd;

static int setup(void **state) {
  (void)state;
  memset(&rig, 0, sizeof rig);
  log_fd = memfd_create("log", MFD_CLOEXEC);
  cox_log_setup(COX_LOG_INFO, false, log_fd);
  reload_rig_start(&rig);
  return 0;
}

static int teardown(void **state) {
  (void)state;
  reload_rig_stop(&rig);
  cox_log_setup(COX_LOG_INFO, false, STDERR_FILENO);
  close(log_fd);
  return 0;
}

/* How often the log says so. */
static unsigned said(const char *words) {
  static char text[256 * 1024];
  const ssize_t len = pread(log_fd, text, sizeof text - 1, 0);
  unsigned times = 0;
  text[len > 0 ? len : 0] = '\0';
  for (const char *place = text; (place = strstr(place, words)) != NULL; place++) times++;
  return times;
}

static bool has_begun(struct reload_rig *unused) {
  (void)unused;
  return said("a load has begun") > 0;
}

static void write_looping(void) {
  for (int i = 0; i < LOOPING; i++) {
    char path[64];
    snprintf(path, sizeof path, "jobs/loops%02d.lua", i);
    reload_rig_write(&rig, path, LOOPS);
  }
}

static void remove_looping(void) {
  for (int i = 0; i < LOOPING; i++) {
    char path[128];
    snprintf(path, sizeof path, "%s/jobs/loops%02d.lua", rig.folder, i);
    assert_int_equal(unlink(path), 0);
  }
}

/* ---- asking without waiting ---- */

struct asked {
  struct cox_scripts_request request;
  _Atomic(bool) is_answered;
  enum cox_scripts_status status;
  int code;
};

static void answered(struct cox_scripts_request *request, const struct cox_scripts_outcome *outcome) {
  struct asked *const asked = (struct asked *)(void *)request;
  asked->status = outcome->status;
  asked->code = outcome->err.code;
  atomic_store(&asked->is_answered, true);
}

static struct asked first, second;

static bool is_first_answered(struct reload_rig *unused) {
  (void)unused;
  return atomic_load(&first.is_answered);
}

static bool is_second_answered(struct reload_rig *unused) {
  (void)unused;
  return atomic_load(&second.is_answered);
}

static void ask(struct asked *asked, void (*what)(void *ctx, struct cox_scripts_request *request)) {
  *asked = (struct asked){.request = {.caller = "a spec", .done = answered}};
  what(rig.scripts->ctx, &asked->request);
}

/* ---- the specs ---- */

static void check_stop(void (*what)(void *ctx, struct cox_scripts_request *request)) {
  write_looping();
  ask(&first, what);
  reload_rig_until(&rig, has_begun, "the load");
  cox_script_stop(rig.script);
  assert_true(atomic_load(&first.is_answered));
  assert_int_equal(first.status, COX_SCRIPTS_FAILED); /* at its end it would have been refused for what loops */
  assert_int_equal(first.code, COX_ESTOPPED);
  assert_null(json_object_get(reload_rig_show(&rig), "rejected"));
  assert_int_equal(reload_rig_number(&rig), 1);
}

static void a_stop_ends_a_load_in_the_middle_of_what_loops(void **state) {
  (void)state;
  check_stop(rig.scripts->reload);
}

static void a_stop_ends_a_plan_too(void **state) {
  (void)state;
  check_stop(rig.scripts->plan);
}

static void a_load_begins_again_for_a_newer_request(void **state) {
  (void)state;
  write_looping();
  ask(&first, rig.scripts->reload);
  reload_rig_until(&rig, has_begun, "the load");
  remove_looping();
  reload_rig_write(&rig, "policy/note.lua", "return {}");
  ask(&second, rig.scripts->reload);
  reload_rig_until(&rig, is_second_answered, "the second answer");
  assert_true(is_first_answered(NULL));
  assert_int_equal(first.status, COX_SCRIPTS_DONE);
  assert_int_equal(second.status, COX_SCRIPTS_UNCHANGED);
  assert_int_equal(reload_rig_number(&rig), 2);
  assert_null(json_object_get(reload_rig_show(&rig), "rejected"));
}

static void a_look_ends_an_older_load_as_well(void **state) {
  (void)state;
  write_looping();
  ask(&first, rig.scripts->reload);
  reload_rig_until(&rig, has_begun, "the load");
  remove_looping();
  cox_script_look(rig.script, "SIGHUP");
  reload_rig_until(&rig, is_first_answered, "the answer");
  assert_int_equal(first.status, COX_SCRIPTS_UNCHANGED); /* as before the looping ones came */
  assert_int_equal(reload_rig_number(&rig), 1);
}

/* All commands need phases.lua. */
static void a_module_that_loops_is_run_once_however_many_need_it(void **state) {
  (void)state;
  reload_rig_write(&rig, "policy/phases.lua", LOOPS);
  assert_int_equal(reload_rig_ask(&rig, RIG_RELOAD, NULL), COX_SCRIPTS_REFUSED);
  assert_int_equal(said("a load has begun"), 1);
  assert_non_null(strstr(rig.err.text, "policy/phases.lua:2: it ran longer than its time budget"));
  assert_int_equal(json_array_size(rig.result), 1); /* the same for all that need it */
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
  const struct CMUnitTest tests[] = {
      TEST(a_stop_ends_a_load_in_the_middle_of_what_loops),
      TEST(a_stop_ends_a_plan_too),
      TEST(a_load_begins_again_for_a_newer_request),
      TEST(a_look_ends_an_older_load_as_well),
      TEST(a_module_that_loops_is_run_once_however_many_need_it),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
