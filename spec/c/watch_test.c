/* Edits of the scripts are noticed, also where the system has no room for watches or lost count of changes. */
#include "reload_rig.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/log.h"

static struct reload_rig rig;

static int teardown(void **state) {
  (void)state;
  reload_rig_stop(&rig);
  return 0;
}

static int setup_watching(void **state) {
  (void)state;
  memset(&rig, 0, sizeof rig);
  rig.is_watching = true;
  reload_rig_start(&rig);
  return 0;
}

static json_int_t wanted;
static bool is_wanted(struct reload_rig *of) { return reload_rig_number(of) >= wanted; }
static bool is_rejected(struct reload_rig *of) { return json_object_get(reload_rig_show(of), "rejected") != NULL; }

static void shell_in_folder(const char *format) {
  char text[400], command[500];
  snprintf(text, sizeof text, "cd %s && ", rig.folder);
  snprintf(command, sizeof command, "%s%s", text, format);
  assert_int_equal(system(command), 0);
}

static void shell_until_next(const char *edit) {
  wanted++;
  shell_in_folder(edit);
  reload_rig_until(&rig, is_wanted, edit);
}

static void edits_of_all_kinds_are_noticed(void **state) {
  (void)state;
  static const char *const edits[] = {
      "echo '-- written' >> policy/phases.lua",
      "cp policy/phases.lua .p && echo '-- replaced' >> .p && mv .p policy/phases.lua",
      "mkdir -p lib/deep && echo 'return {}' > lib/deep/new.lua",
      "echo '-- deeper' >> lib/deep/new.lua",
      "rm -r lib",
      "cp -r . ../${PWD##*/}.new && echo 'return {}' > ../${PWD##*/}.new/policy/whole.lua && mv ../${PWD##*/} ../${PWD##*/}.old && "
      "mv ../${PWD##*/}.new ../${PWD##*/} && rm -r ../${PWD##*/}.old",
      "echo '-- in the new folder' >> policy/whole.lua",
  };
  wanted = 1;
  for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) shell_until_next(edits[i]);
}

static void a_broken_edit_is_refused_once_and_its_repair_noticed(void **state) {
  (void)state;
  shell_in_folder("cp policy/phases.lua ../${PWD##*/}/.kept && echo 'broken' >> policy/phases.lua");
  reload_rig_until(&rig, is_rejected, "the refusal");
  wanted = 2;
  shell_in_folder("mv .kept policy/phases.lua && echo '-- repaired' >> policy/phases.lua");
  reload_rig_until(&rig, is_wanted, "the repaired scripts");
}

/* ---- the system does not tell ---- */

static FILE *log_file;
static const char *unwatchable; /* a fault point */

static int setup_unwatchable(void **state) {
  log_file = tmpfile();
  assert_non_null(log_file);
  fcntl(fileno(log_file), F_SETFL, O_APPEND); /* wherever it is read */
  cox_log_setup(COX_LOG_INFO, false, fileno(log_file));
  if (unwatchable != NULL) cox_fault_arm(unwatchable, 0, 0);
  return setup_watching(state);
}

static int teardown_unwatchable(void **state) {
  cox_fault_disarm();
  const int rc = teardown(state);
  cox_log_setup(COX_LOG_ERROR, false, 2);
  fclose(log_file);
  return rc;
}

/* How many lines of the log have all of these. */
static int logged(const char *what, const char *more) {
  char line[2048];
  int count = 0;
  rewind(log_file);
  while (fgets(line, sizeof line, log_file) != NULL) count += strstr(line, what) != NULL && strstr(line, more) != NULL;
  return count;
}

static bool is_watched_again(struct reload_rig *of) {
  (void)of;
  return logged("all folders of scripts are watched now", "watched=") > 0;
}

static void edits_are_looked_for(const char *reason, const char *remedy) {
  wanted = 1;
  assert_int_equal(logged(reason, remedy), 1);
  shell_until_next("mkdir -p lib/deep && echo 'return {}' > lib/deep/new.lua");
  assert_int_equal(logged("can be watched", ""), 1); /* said once */
  cox_fault_disarm();
  shell_until_next("touch lib/deep/new.lua && echo '-- there is room' >> lib/deep/new.lua");
  reload_rig_until(&rig, is_watched_again, "the watch over all folders");
  assert_int_equal(reload_rig_number(&rig), wanted); /* what was noticed once is not loaded twice */
}

static void where_no_folder_can_be_watched_edits_are_looked_for(void **state) {
  (void)state;
  edits_are_looked_for("inotify watches", "fs.inotify.max_user_watches");
}

static void where_there_is_no_queue_edits_are_looked_for(void **state) {
  (void)state;
  edits_are_looked_for("inotify instances", "fs.inotify.max_user_instances");
}

static bool is_third_refused(struct reload_rig *of) {
  (void)of;
  return logged("scripts refused", "policy/third.lua") > 0;
}

static void after_an_overflow_all_folders_are_looked_at_anew(void **state) {
  (void)state;
  wanted = 1;
  cox_fault_arm("watch.overflows", 0, 0); /* nothing but that is told: neither the name of a folder nor that of a file */
  shell_until_next("mkdir -p lib/deep && echo 'return {}' > lib/deep/new.lua");
  assert_true(cox_fault_visits("watch.overflows") > 0);
  cox_fault_disarm();
  shell_until_next("echo '-- deeper' >> lib/deep/new.lua");
  shell_in_folder("echo 'broken' > policy/third.lua");
  reload_rig_until(&rig, is_third_refused, "the refusal");
}

static int setup_without_room(void **state) {
  unwatchable = "watch.has_no_room";
  return setup_unwatchable(state);
}

static int setup_without_queue(void **state) {
  unwatchable = "watch.has_no_queue";
  return setup_unwatchable(state);
}

static int setup_overflow(void **state) {
  unwatchable = NULL;
  return setup_unwatchable(state);
}

int main(void) {
  const struct CMUnitTest tests[] = {
#define TEST(name, before, after) cmocka_unit_test_setup_teardown(name, before, after)
      TEST(edits_of_all_kinds_are_noticed, setup_watching, teardown),
      TEST(a_broken_edit_is_refused_once_and_its_repair_noticed, setup_watching, teardown),
      TEST(where_no_folder_can_be_watched_edits_are_looked_for, setup_without_room, teardown_unwatchable),
      TEST(where_there_is_no_queue_edits_are_looked_for, setup_without_queue, teardown_unwatchable),
      TEST(after_an_overflow_all_folders_are_looked_at_anew, setup_overflow, teardown_unwatchable),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
