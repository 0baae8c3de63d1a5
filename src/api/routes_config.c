/* What the daemon runs with, and what it knows of the network. Both grow with the fleet: rendered off the server threads. */
#include "api/routes.h"

#include "api/render.h"
#include "api/server.h"

/* `.nodes[]` is the fleet as it is now, not the list or the path that the configuration named. */
static struct cox_blob *render_config(struct cox_api *api) {
  json_t *const config = api->options.config != NULL ? json_copy(api->options.config) : json_object();
  json_t *const nodes = json_array(), *const present = cox_broker_nodes_json(api->options.broker);
  size_t i;
  json_t *item;
  json_array_foreach(present, i, item) json_array_append(nodes, json_object_get(item, "node"));
  json_decref(present);
  json_object_set_new(config, "nodes", nodes);
  struct cox_blob *const blob = cox_blob_json(config);
  json_decref(config);
  return blob;
}

static struct cox_blob *render_world(struct cox_api *api) {
  json_t *const world = cox_broker_world_json(api->options.broker);
  struct cox_blob *const blob = cox_blob_json(world);
  json_decref(world);
  return blob;
}

void cox_get_config(struct cox_request *request) { cox_request_render(request, render_config, "application/json"); }
void cox_get_world(struct cox_request *request) { cox_request_render(request, render_world, "application/json"); }
