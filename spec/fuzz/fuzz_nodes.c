/* The nodes file. Input: its bytes. What it is said to be without a fault, the broker takes. */
#include "input.h"

#include "fake_core.h"
#include "script/config_nodes.h"

static struct fake *fake;

static void register_all(json_t *nodes) {
  size_t i;
  json_t *node;
  fake_use_policy(fake, &fake->policy, NULL, NULL);
  json_array_foreach(nodes, i, node) {
    const enum cox_outcome outcome = fake_send(fake, "register", json_pack("{sO}", "node", node));
    if (outcome != COX_ANSWER_DONE) print_error("%s\n", fake->last.err.text);
    input_must(outcome == COX_ANSWER_DONE, "a nodes file without faults can be declared");
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (fake == NULL) {
    input_quiet();
    fake = fake_create(-1);
  }
  const char *const path = input_file(data, size);
  struct cox_faults faults = {0};
  json_t *const nodes = cox_config_nodes_read(path, &faults);
  input_must(nodes != NULL || faults.count > 0, "a file that is not read has a fault");
  for (size_t i = 0; i < faults.count; i++) input_must(faults.list[i].text[0] != '\0', "a fault has words");
  if (faults.count == 0) register_all(nodes);
  json_decref(nodes);
  cox_faults_fini(&faults);
  return 0;
}
