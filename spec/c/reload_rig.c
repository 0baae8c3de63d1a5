#include "reload_rig.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void shell(const char *format, const char *folder) {
  char text[256];
  snprintf(text, sizeof text, format, folder);
  if (system(text) != 0) fail_msg("%s failed", text);
}

static void count_exchange(void *ctx) { ((struct reload_rig *)ctx)->exchanges++; }

static void open_scripts(struct reload_rig *rig) {
  struct cox_faults faults = {0};
  struct cox_err err = {0};
  json_t *const folders = rig->second[0] != '\0' ? json_pack("[ss]", rig->second, rig->folder) : json_pack("[s]", rig->folder);
  const struct cox_script_options options = {.folders = folders, .library_dir = "lua", .clock = &rig->fake->clock, .command_budget_s = 30,
                                             .is_watching = rig->is_watching};
  rig->script = cox_script_create(&options, &faults);
  json_decref(folders);
  if (rig->script == NULL) fail_msg("%s:%d: %s", faults.list[0].file, faults.list[0].line, faults.list[0].text);
  rig->scripts = cox_script_scripts(rig->script);
  json_t *const participant = json_pack("{ss, ss}", "address", "gonka1test", "pubkey", "Atest");
  fake_use_policy(rig->fake, cox_script_policy(rig->script), participant, "http://10.0.0.5:9100");
  json_decref(participant);
  cox_script_set_broker(rig->script, rig->fake->broker);
  if (cox_script_start(rig->script, count_exchange, rig, &err) != 0) fail_msg("%s", err.text);
}

void reload_rig_start(struct reload_rig *rig) {
  cox_mutex_init(&rig->mutex);
  if (rig->folder[0] == '\0') {
    snprintf(rig->folder, sizeof rig->folder, "/tmp/coxswain-reload-XXXXXX");
    assert_non_null(mkdtemp(rig->folder));
    shell("cp -r scripts/. %s", rig->folder);
  }
  rig->fake = fake_create(-1);
  open_scripts(rig);
  for (int i = 1; i <= 3; i++) {
    char id[16];
    snprintf(id, sizeof id, "node%d", i);
    assert_int_equal(fake_send(rig->fake, "register_node", json_pack("{so}", "node", fake_node(id, 5000 + 10 * i))), COX_ANSWER_DONE);
  }
  assert_int_equal(reload_rig_block(rig, 50, 0, 0), COX_ANSWER_DONE);
}

void reload_rig_stop(struct reload_rig *rig) {
  reload_rig_show(NULL);
  cox_script_stop(rig->script);
  fake_run(rig->fake); /* what it has told the store and the journal */
  fake_destroy(rig->fake);
  cox_script_destroy(rig->script);
  json_decref(rig->result);
  cox_mutex_fini(&rig->mutex);
  shell("rm -rf %s", rig->folder);
  if (rig->second[0] != '\0') shell("rm -rf %s", rig->second);
}

/* ---- files ---- */

static char *read_text(const char *path) {
  static char text[256 * 1024];
  FILE *const file = fopen(path, "r");
  if (file == NULL) fail_msg("%s cannot be read", path);
  text[fread(text, 1, sizeof text - 1, file)] = '\0';
  fclose(file);
  return text;
}

void reload_rig_write(struct reload_rig *rig, const char *path, const char *text) {
  char full[256];
  snprintf(full, sizeof full, "%s/%s", rig->folder, path);
  FILE *const file = fopen(full, "w");
  assert_non_null(file);
  fputs(text, file);
  fclose(file);
}

void reload_rig_edit(struct reload_rig *rig, const char *path, const char *from, const char *to) {
  char full[256];
  snprintf(full, sizeof full, "%s/%s", rig->folder, path);
  char *const text = read_text(full), *const place = strstr(text, from);
  if (place == NULL) fail_msg("%s has no \"%s\"", path, from);
  FILE *const file = fopen(full, "w");
  assert_non_null(file);
  fprintf(file, "%.*s%s%s", (int)(place - text), text, to, place + strlen(from));
  fclose(file);
}

/* ---- asking ---- */

struct asked {
  struct cox_scripts_request request;
  struct reload_rig *rig;
};

static void answered(struct cox_scripts_request *request, const struct cox_scripts_outcome *outcome) {
  struct reload_rig *const rig = ((struct asked *)(void *)request)->rig;
  cox_mutex_lock(&rig->mutex);
  rig->is_answered = true;
  rig->status = outcome->status;
  rig->result = json_incref(outcome->result);
  rig->err = outcome->err;
  cox_mutex_unlock(&rig->mutex);
}

static bool is_answered(struct reload_rig *rig) {
  cox_mutex_lock(&rig->mutex);
  const bool is = rig->is_answered;
  cox_mutex_unlock(&rig->mutex);
  return is;
}

void reload_rig_until(struct reload_rig *rig, bool (*is_so)(struct reload_rig *rig), const char *what) {
  const int64_t end_us = cox_clock_mono_us(cox_clock_system()) + RELOAD_RIG_LIMIT_MS * INT64_C(1000);
  while (!is_so(rig)) {
    fake_run(rig->fake);
    if (cox_clock_mono_us(cox_clock_system()) > end_us) fail_msg("%s did not come", what);
    nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
  }
  fake_run(rig->fake);
}

void reload_rig_begin(struct reload_rig *rig, enum reload_rig_ask what, const char *dir) {
  static struct asked asked; /* there is one at a time */
  asked = (struct asked){.request = {.caller = "a spec", .dir = dir, .done = answered}, .rig = rig};
  json_decref(rig->result);
  rig->result = NULL;
  rig->is_answered = false;
  switch (what) {
    case RIG_RELOAD: rig->scripts->reload(rig->scripts->ctx, &asked.request); break;
    case RIG_ROLLBACK: rig->scripts->rollback(rig->scripts->ctx, &asked.request); break;
    case RIG_PLAN: rig->scripts->plan(rig->scripts->ctx, &asked.request); break;
  }
}

enum cox_scripts_status reload_rig_ask(struct reload_rig *rig, enum reload_rig_ask what, const char *dir) {
  reload_rig_begin(rig, what, dir);
  reload_rig_until(rig, is_answered, "an answer of cox-reload");
  return rig->status;
}

json_t *reload_rig_show(struct reload_rig *rig) {
  static json_t *kept;
  json_decref(kept);
  kept = rig != NULL ? rig->scripts->show(rig->scripts->ctx) : NULL;
  return kept;
}

json_int_t reload_rig_number(struct reload_rig *rig) { return json_integer_value(json_object_get(reload_rig_show(rig), "generation")); }

enum cox_outcome reload_rig_block(struct reload_rig *rig, int height, int epoch, int start) {
  return fake_send(rig->fake, "new_block",
                   json_pack("{si, so, s{si, si}, s{si, si, si, si}}", "height", height, "hash", json_sprintf("H%d", height), "epoch",
                             "index", epoch, "poc_start_block_height", start, "params", "epoch_length", 100, "poc_stage_duration", 20,
                             "poc_validation_delay", 2, "poc_validation_duration", 10));
}
