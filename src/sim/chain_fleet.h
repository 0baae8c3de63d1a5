/* What a made-up chain knows of nodes and models: who is in which model's group of an epoch, and the registered hardware.
 * Immutable but for the hardware; answers are new values that share nothing that is changed.                              */
#ifndef COX_SIM_CHAIN_FLEET_H
#define COX_SIM_CHAIN_FLEET_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct cox_chain_fleet;

/* `nodes`: node-config entries (checked here; NULL: none), borrowed. `is_rotating`: a node with several models changes its model
 * from epoch to epoch; else it stays with the first in sorted order. NULL with the first fault in `err`.                      */
struct cox_chain_fleet *cox_chain_fleet_create(const json_t *nodes, const char *participant, bool is_rotating, struct cox_err *err);
void cox_chain_fleet_destroy(struct cox_chain_fleet *fleet);

bool cox_chain_fleet_has_node(const struct cox_chain_fleet *fleet, const char *id);
bool cox_chain_fleet_has_model(const struct cox_chain_fleet *fleet, const char *model_id);

/* `{"model": […], "pagination": …}` of every model that some node has. A new reference. */
json_t *cox_chain_fleet_models_all(const struct cox_chain_fleet *fleet);
/* One model as the chain has it, or NULL. A new reference. */
json_t *cox_chain_fleet_model(const struct cox_chain_fleet *fleet, const char *model_id);
/* The models that have a node in that epoch, sorted. A new reference. */
json_t *cox_chain_fleet_models_of(const struct cox_chain_fleet *fleet, int64_t epoch);
/* `validation_weights` of one model in that epoch (NULL: of all); `preserved` holds node ids. A new reference. */
json_t *cox_chain_fleet_weights(const struct cox_chain_fleet *fleet, int64_t epoch, const char *model_id, const json_t *preserved);

/* `{"nodes": {"participant", "hardware_nodes": […]}}`; null for another participant or when none is registered. A new reference. */
json_t *cox_chain_fleet_hardware(const struct cox_chain_fleet *fleet, const char *participant);
/* Replaces the registered hardware by entries of the chain's shape, `[{"local_id", …}]`, borrowed. 0 or COX_EINVAL. */
int cox_chain_fleet_set_hardware(struct cox_chain_fleet *fleet, const json_t *hardware_nodes, struct cox_err *err);
/* What MsgSubmitHardwareDiff does: entries with a known local_id are replaced, others added; those of `removed` go. Borrowed. */
void cox_chain_fleet_change_hardware(struct cox_chain_fleet *fleet, const json_t *new_or_modified, const json_t *removed);

#endif
