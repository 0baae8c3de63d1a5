#include "script/cases.h"

#include <string.h>

#include "script/library.h"

static void check_module(struct cox_vm *vm, const struct cox_source *module, double budget_s, struct cox_faults *faults) {
  struct cox_err err;
  json_t *const name = json_stringn(module->name, strlen(module->name) - strlen(".lua"));
  json_t *const messages = cox_library_call(vm, "coxswain.cases", "run", name, budget_s, &err);
  if (messages == NULL) {
    cox_vm_blame(vm, module, &err);
    cox_faults_add(faults, err.file, err.line, "%s", err.text);
  }
  size_t i;
  json_t *message;
  json_array_foreach(messages, i, message) cox_faults_add(faults, module->path, 0, "%s", json_string_value(message));
  json_decref(messages);
}

void cox_cases_check(struct cox_vm *vm, double budget_s, struct cox_faults *faults) {
  for (size_t i = 0; i < vm->sources->count; i++) {
    const struct cox_source *const source = &vm->sources->list[i];
    if (!source->is_trusted && strncmp(source->name, "policy/", strlen("policy/")) == 0) check_module(vm, source, budget_s, faults);
  }
}
