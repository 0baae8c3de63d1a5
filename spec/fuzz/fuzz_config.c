/* The configuration. Input: the bytes of the file. The clock of its budget is ours, so that an endless loop costs no second. */
#include "input.h"

#include <string.h>

#include "base/clock.h"
#include "script/config_schema.h"
#include "script/script.h"

enum { STEP_US = 50000 /* per look at the clock */ };

static int64_t now_us;

static int64_t next_us(void *ctx) {
  (void)ctx;
  return now_us += STEP_US;
}

static int64_t next_ms(void *ctx) { return next_us(ctx) / 1000; }

/* Linked with --wrap. */
const struct cox_clock *__wrap_cox_clock_system(void);
const struct cox_clock *__wrap_cox_clock_system(void) {
  static const struct cox_clock clock = {.mono_us = next_us, .wall_ms = next_ms};
  return &clock;
}

static void look_at(const json_t *config) {
  json_t *const masked = cox_config_masked(config);
  const char *const token = json_string_value(cox_config_get(masked, "admin.token"));
  input_must(masked != NULL && (token == NULL || strcmp(token, "***") == 0), "a token is masked");
  json_decref(masked);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct cox_faults faults = {0};
  now_us = 0;
  json_t *const config = cox_config_load_partial(input_file(data, size), NULL, "/scripts", &faults);
  input_must(config != NULL, "there is something to go on with");
  for (size_t i = 0; i < faults.count; i++) input_must(faults.list[i].text[0] != '\0', "a fault has words");
  if (faults.count == 0) look_at(config);
  json_decref(config);
  cox_faults_fini(&faults);
  return 0;
}
