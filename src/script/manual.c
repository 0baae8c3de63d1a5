#include "script/manual.h"

#include "script/api.h"
#include "script/library.h"

#define BUDGET_S 2.0

/* What scripts of that context see; the description of everything too when `apis` is given. */
static json_t *ask(enum cox_context context, struct cox_sources *sources, const struct cox_clock *clock, const char *function, json_t *args,
                   struct cox_err *err) {
  struct cox_vm *const vm = cox_vm_create(&(struct cox_vm_options){.context = context, .sources = sources, .clock = clock}, err);
  json_t *result = NULL;
  if (vm != NULL) result = cox_library_call(vm, "coxswain.manual", function, args, BUDGET_S, err);
  else json_decref(args);
  cox_vm_destroy(vm);
  return result;
}

static json_t *see_all(struct cox_sources *sources, const struct cox_clock *clock, struct cox_err *err) {
  json_t *const contexts = json_object();
  for (enum cox_context i = COX_CONTEXT_POLICY; i <= COX_CONTEXT_JOBS; i++) {
    json_t *const seen = ask(i, sources, clock, "globals", json_object(), err);
    if (seen != NULL) json_object_set_new(contexts, cox_api_context_name(i), seen);
  }
  return contexts;
}

json_t *cox_manual_make(const char *scripts_dir, const char *library_dir, const struct cox_clock *clock, struct cox_err *err) {
  struct cox_faults faults = {0};
  struct cox_sources *const sources = cox_sources_read(scripts_dir, library_dir, &faults);
  if (sources == NULL) {
    *err = faults.list[0];
    cox_faults_fini(&faults);
    return NULL;
  }
  json_t *const description = cox_api_describe();
  json_object_set_new(description, "contexts", see_all(sources, clock, err));
  json_t *const made = ask(COX_CONTEXT_POLICY, sources, clock, "render", json_incref(description), err);
  if (made != NULL) json_object_update(made, description);
  json_decref(description);
  cox_sources_release(sources);
  return made;
}
