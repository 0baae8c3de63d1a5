#include "script/api.h"

/* In the order of the manual. */
static const struct cox_api *const bound[] = {
    &cox_api_json, &cox_api_log, &cox_api_time, &cox_api_time_jobs, &cox_api_broker, &cox_api_node, &cox_api_driver_node,
    &cox_api_job_broker, &cox_api_http, &cox_api_ws, &cox_api_connection, &cox_api_wallet, NULL,
};

const char *cox_api_context_name(enum cox_context context) {
  static const char *const names[] = {"policy", "drivers", "jobs", "console"};
  return names[context];
}

static json_t *contexts_of(const struct cox_api *api) {
  json_t *const list = json_array();
  for (enum cox_context i = COX_CONTEXT_POLICY; i <= COX_CONTEXT_JOBS; i++) {
    if ((api->contexts & 1u << i) != 0) json_array_append_new(list, json_string(cox_api_context_name(i)));
  }
  return list;
}

static json_t *functions_of(const struct cox_binding *functions) {
  json_t *const list = json_array();
  for (; functions != NULL && functions->name != NULL; functions++) {
    json_array_append_new(list, json_pack("{ss, ss, ss}", "name", functions->name, "signature", functions->signature, "help", functions->help));
  }
  return list;
}

static json_t *fields_of(const struct cox_api_field *fields) {
  json_t *const list = json_array();
  for (; fields != NULL && fields->name != NULL; fields++) {
    json_array_append_new(list, json_pack("{ss, ss, ss}", "name", fields->name, "type", fields->type, "help", fields->help));
  }
  return list;
}

static void describe(json_t *list, const struct cox_api *const *apis) {
  for (; *apis != NULL; apis++) {
    json_array_append_new(list, json_pack("{ss, ss, so, so, so}", "name", (*apis)->name, "help", (*apis)->help, "contexts", contexts_of(*apis),
                                          "functions", functions_of((*apis)->functions), "fields", fields_of((*apis)->fields)));
  }
}

json_t *cox_api_describe(void) {
  json_t *const list = json_array();
  describe(list, bound);
  describe(list, cox_api_types);
  return json_pack("{so}", "apis", list);
}
