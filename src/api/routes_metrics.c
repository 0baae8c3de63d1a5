/* What programs read about the daemon itself: metrics, and the description of the API. */
#include "api/routes.h"

#include "api/render.h"
#include "api/request.h"
#include "api/server.h"
#include "api/surface.h"

/* Commands that were never run are shown too, at 0. */
static void know_commands(struct cox_api *api) {
  const struct cox_api_options *const options = &api->options;
  json_t *const list = options->commands_json != NULL ? options->commands_json(options->commands_ctx) : NULL;
  size_t i;
  json_t *command;
  json_array_foreach(list, i, command) {
    const char *const name = json_string_value(json_object_get(command, "name"));
    if (name != NULL) cox_broker_know_command(options->broker, name);
  }
  json_decref(list);
}

static struct cox_blob *render_metrics(struct cox_api *api) {
  struct cox_buf text = {0};
  know_commands(api);
  bool is_whole = cox_broker_metrics_text(api->options.broker, &text) == 0 && cox_tally_text(&api->tally, &text);
  for (size_t i = 0; i < COX_METRICS_SOURCES && is_whole; i++) {
    const struct cox_metrics_source *const source = &api->options.metrics[i];
    is_whole = source->add == NULL || source->add(source->ctx, &text);
  }
  if (is_whole) return cox_blob_take(&text);
  cox_buf_fini(&text);
  return NULL;
}

void cox_get_metrics(struct cox_request *request) { cox_request_render(request, render_metrics, "text/plain; version=0.0.4; charset=utf-8"); }

void cox_get_openapi(struct cox_request *request) { cox_request_answer(request, 200, cox_openapi()); }
