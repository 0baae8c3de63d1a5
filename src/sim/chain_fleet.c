#include "sim/chain_fleet.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/node_config.h"

enum { POC_WEIGHT = 100, HARDWARE_MAX = 100000 };

struct cox_chain_fleet {
  json_t *nodes;     /* checked copies of the entries */
  json_t *own_ids;   /* for each of them the ids of its models, sorted */
  json_t *ids;       /* node id → null, to find doubles and strangers */
  json_t *model_ids; /* all, sorted */
  json_t *models;    /* id → the model as the chain has it */
  json_t *hardware;  /* as the chain has it */
  char *participant;
  bool is_rotating;
};

static int by_text(const void *left, const void *right) { return strcmp(*(const char *const *)left, *(const char *const *)right); }

/* Keys of an object in byte order: the order must not depend on a hash. */
static json_t *sorted_keys(const json_t *object) {
  json_t *const keys = json_array();
  const size_t count = json_object_size(object);
  const char **const names = calloc(count + 1, sizeof *names);
  if (names == NULL) return keys;
  size_t i = 0;
  const char *name;
  json_t *value;
  json_object_foreach((json_t *)(uintptr_t)object, name, value) names[i++] = name;
  qsort(names, count, sizeof *names, by_text);
  for (i = 0; i < count; i++) json_array_append_new(keys, json_string(names[i]));
  free(names);
  return keys;
}

/* ---- models ---- */

/* The network's arguments of a model are those of the first node in the file that has it. */
static json_t *make_model(const char *id, const json_t *configured) {
  json_t *const args = json_object_get(configured, "args");
  return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:s, s:s, s:{s:s, s:i}}", "proposed_by", "genesis", "id", id,
                   "units_of_compute_per_token", "100", "context_window", "32768", "quantization", "", "coins_per_input_token", "0",
                   "coins_per_output_token", "0", "hf_repo", id, "hf_commit", "", "model_args",
                   args != NULL ? json_deep_copy(args) : json_array(), "v_ram", "24", "throughput_per_nonce", "1000",
                   "validation_threshold", "value", "97", "exponent", -2);
}

static void collect_models(struct cox_chain_fleet *fleet) {
  size_t i;
  json_t *node, *configured;
  const char *id;
  json_array_foreach(fleet->nodes, i, node) {
    json_object_foreach(json_object_get(node, "models"), id, configured) {
      if (json_object_get(fleet->models, id) == NULL) json_object_set_new(fleet->models, id, make_model(id, configured));
    }
  }
  fleet->model_ids = sorted_keys(fleet->models);
}

/* Which of its models the i-th node is asked to serve in an epoch. */
static const char *model_of(const struct cox_chain_fleet *fleet, size_t i, int64_t epoch) {
  const json_t *const own_ids = json_array_get(fleet->own_ids, i);
  const size_t count = json_array_size(own_ids);
  assert(count > 0);
  const size_t which = fleet->is_rotating ? (size_t)((uint64_t)epoch % count) : 0;
  return json_string_value(json_array_get(own_ids, which));
}

json_t *cox_chain_fleet_models_all(const struct cox_chain_fleet *fleet) {
  json_t *const list = json_array();
  size_t i;
  json_t *id;
  json_array_foreach(fleet->model_ids, i, id) {
    json_array_append_new(list, cox_chain_fleet_model(fleet, json_string_value(id)));
  }
  return json_pack("{s:o, s:{s:n, s:o}}", "model", list, "pagination", "next_key", "total",
                   json_sprintf("%zu", json_array_size(list)));
}

bool cox_chain_fleet_has_node(const struct cox_chain_fleet *fleet, const char *id) { return json_object_get(fleet->ids, id) != NULL; }

bool cox_chain_fleet_has_model(const struct cox_chain_fleet *fleet, const char *model_id) {
  return json_object_get(fleet->models, model_id) != NULL;
}

json_t *cox_chain_fleet_model(const struct cox_chain_fleet *fleet, const char *model_id) {
  json_t *const model = json_object_get(fleet->models, model_id);
  return model != NULL ? json_deep_copy(model) : NULL;
}

json_t *cox_chain_fleet_models_of(const struct cox_chain_fleet *fleet, int64_t epoch) {
  json_t *const used = json_object();
  for (size_t i = 0; i < json_array_size(fleet->nodes); i++) json_object_set_new(used, model_of(fleet, i, epoch), json_null());
  json_t *const sorted = sorted_keys(used);
  json_decref(used);
  return sorted;
}

/* ---- who serves what ---- */

static bool is_in(const json_t *ids, const char *id) {
  size_t i;
  json_t *item;
  json_array_foreach(ids, i, item) {
    if (strcmp(json_string_value(item), id) == 0) return true;
  }
  return false;
}

/* A preserved node is the one whose second time slot, that of the PoC, is given to inference. */
static json_t *make_ml_node(const char *id, bool is_preserved) {
  return json_pack("{s:s, s:s, s:o, s:[b, b]}", "node_id", id, "throughput", "0", "poc_weight", json_sprintf("%d", POC_WEIGHT),
                   "timeslot_allocation", 1, is_preserved ? 1 : 0);
}

json_t *cox_chain_fleet_weights(const struct cox_chain_fleet *fleet, int64_t epoch, const char *model_id, const json_t *preserved) {
  json_t *const ml_nodes = json_array();
  size_t i;
  json_t *node;
  json_array_foreach(fleet->nodes, i, node) {
    const char *const id = json_string_value(json_object_get(node, "id"));
    if (model_id == NULL || strcmp(model_of(fleet, i, epoch), model_id) == 0)
      json_array_append_new(ml_nodes, make_ml_node(id, is_in(preserved, id)));
  }
  if (json_array_size(ml_nodes) == 0) {
    json_decref(ml_nodes);
    return json_array();
  }
  json_t *const weight = json_sprintf("%zu", POC_WEIGHT * json_array_size(ml_nodes));
  return json_pack("[{s:s, s:O, s:i, s:o, s:o, s:s}]", "member_address", fleet->participant, "weight", weight, "reputation", 100,
                   "ml_nodes", ml_nodes, "confirmation_weight", weight, "voting_power", "0");
}

/* ---- hardware ---- */

static json_t *make_hardware_node(const struct cox_chain_fleet *fleet, const json_t *node) {
  const json_t *const hardware = json_object_get(node, "hardware");
  return json_pack("{s:s, s:s, s:s, s:o, s:o, s:s, s:o}", "participant", fleet->participant, "local_id",
                   json_string_value(json_object_get(node, "id")), "status", "INFERENCE", "hardware",
                   json_is_array(hardware) ? json_deep_copy(hardware) : json_array(), "models",
                   sorted_keys(json_object_get(node, "models")), "host", json_string_value(json_object_get(node, "host")), "port",
                   json_sprintf("%" JSON_INTEGER_FORMAT, json_integer_value(json_object_get(node, "poc_port"))));
}

static void register_hardware(struct cox_chain_fleet *fleet) {
  fleet->hardware = json_array();
  size_t i;
  json_t *node;
  json_array_foreach(fleet->nodes, i, node) json_array_append_new(fleet->hardware, make_hardware_node(fleet, node));
}

json_t *cox_chain_fleet_hardware(const struct cox_chain_fleet *fleet, const char *participant) {
  if (strcmp(participant, fleet->participant) != 0 || json_array_size(fleet->hardware) == 0)
    return json_pack("{s:n}", "nodes");
  return json_pack("{s:{s:s, s:o}}", "nodes", "participant", fleet->participant, "hardware_nodes", json_deep_copy(fleet->hardware));
}

static int check_hardware_node(const json_t *entry, size_t i, struct cox_err *err) {
  if (json_string_length(json_object_get(entry, "local_id")) == 0)
    return cox_err_set(err, COX_EINVAL, "hardware node %zu: local_id must be a node id", i);
  const char *const status = json_string_value(json_object_get(entry, "status"));
  static const char *const names[] = {"UNKNOWN", "INFERENCE", "POC", "TRAINING", "STOPPED", "FAILED"};
  for (size_t k = 0; status != NULL && k < sizeof names / sizeof *names; k++) {
    if (strcmp(names[k], status) == 0) return 0;
  }
  return cox_err_set(err, COX_EINVAL, "hardware node %zu: status must be UNKNOWN, INFERENCE, POC, TRAINING, STOPPED or FAILED", i);
}

int cox_chain_fleet_set_hardware(struct cox_chain_fleet *fleet, const json_t *hardware_nodes, struct cox_err *err) {
  if (!json_is_array(hardware_nodes) || json_array_size(hardware_nodes) > HARDWARE_MAX)
    return cox_err_set(err, COX_EINVAL, "the hardware must be a list of at most %d nodes", HARDWARE_MAX);
  size_t i;
  json_t *entry;
  json_array_foreach(hardware_nodes, i, entry) {
    if (check_hardware_node(entry, i, err) != 0) return COX_EINVAL;
  }
  json_t *const copy = json_deep_copy(hardware_nodes);
  json_array_foreach(copy, i, entry) json_object_set_new(entry, "participant", json_string(fleet->participant));
  json_decref(fleet->hardware);
  fleet->hardware = copy;
  return 0;
}

static void drop_hardware(struct cox_chain_fleet *fleet, const json_t *entry) {
  const char *const id = json_string_value(json_object_get(entry, "local_id"));
  for (size_t i = json_array_size(fleet->hardware); i > 0; i--) {
    const char *const other = json_string_value(json_object_get(json_array_get(fleet->hardware, i - 1), "local_id"));
    if (strcmp(id, other) == 0) json_array_remove(fleet->hardware, i - 1);
  }
}

void cox_chain_fleet_change_hardware(struct cox_chain_fleet *fleet, const json_t *new_or_modified, const json_t *removed) {
  size_t i;
  json_t *entry;
  json_array_foreach(removed, i, entry) drop_hardware(fleet, entry);
  json_array_foreach(new_or_modified, i, entry) {
    json_t *const copy = json_deep_copy(entry);
    drop_hardware(fleet, entry);
    json_object_set_new(copy, "participant", json_string(fleet->participant));
    json_array_append_new(fleet->hardware, copy);
  }
}

/* ---- life ---- */

static int take_node(struct cox_chain_fleet *fleet, const json_t *entry, struct cox_err *err) {
  json_t *const node = cox_node_config_create(entry, err);
  if (node == NULL) return COX_EINVAL;
  const char *const id = json_string_value(json_object_get(node, "id"));
  const bool is_double = cox_chain_fleet_has_node(fleet, id);
  if (is_double) cox_err_set(err, COX_EINVAL, "node %.80s is given twice: ids must differ", id);
  else json_object_set_new(fleet->ids, id, json_null());
  json_array_append_new(fleet->nodes, node);
  json_array_append_new(fleet->own_ids, sorted_keys(json_object_get(node, "models")));
  return is_double ? COX_EINVAL : 0;
}

static int take_nodes(struct cox_chain_fleet *fleet, const json_t *nodes, struct cox_err *err) {
  if (nodes != NULL && !json_is_array(nodes)) return cox_err_set(err, COX_EINVAL, "the nodes must be a list of node objects");
  size_t i;
  json_t *entry;
  json_array_foreach(nodes, i, entry) {
    if (take_node(fleet, entry, err) != 0) return COX_EINVAL;
  }
  return 0;
}

struct cox_chain_fleet *cox_chain_fleet_create(const json_t *nodes, const char *participant, bool is_rotating, struct cox_err *err) {
  struct cox_chain_fleet *const fleet = calloc(1, sizeof *fleet);
  char *const owned = strdup(participant);
  if (fleet == NULL || owned == NULL) {
    free(fleet);
    free(owned);
    cox_err_set(err, COX_ENOMEM, "making the chain's nodes failed: out of memory");
    return NULL;
  }
  *fleet = (struct cox_chain_fleet){.nodes = json_array(), .own_ids = json_array(), .ids = json_object(), .models = json_object(),
                                    .participant = owned, .is_rotating = is_rotating};
  if (take_nodes(fleet, nodes, err) != 0) {
    cox_chain_fleet_destroy(fleet);
    return NULL;
  }
  collect_models(fleet);
  register_hardware(fleet);
  return fleet;
}

void cox_chain_fleet_destroy(struct cox_chain_fleet *fleet) {
  if (fleet == NULL) return;
  json_decref(fleet->nodes);
  json_decref(fleet->own_ids);
  json_decref(fleet->ids);
  json_decref(fleet->model_ids);
  json_decref(fleet->models);
  json_decref(fleet->hardware);
  free(fleet->participant);
  free(fleet);
}
