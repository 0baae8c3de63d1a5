/* The shapes of bodies and answers, as JSON schemas. */
#include <assert.h>
#include <stddef.h>

#include "api/surface.h"

#define JSON(...) #__VA_ARGS__

static const struct part {
  const char *name, *json;
} schemas[] = {
    {"Error", JSON({"type": "object", "required": ["error"], "properties": {"error": {"type": "string", "description":
                    "what, on what, why, what next"}, "file": {"type": "string"}, "line": {"type": "integer"}, "errors": {"type": "array",
                    "items": {"$ref": "#/components/schemas/BatchError"}}}, "additionalProperties": false})},
    {"Object", JSON({"type": "object"})},
    {"Boolean", JSON({"type": "boolean"})},
    {"Page", JSON({"type": "string"})},
    {"Script", JSON({"type": "string"})},
    {"Style", JSON({"type": "string"})},
    {"Picture", JSON({"type": "string"})},
    {"Metrics", JSON({"type": "string"})},
    {"Events", JSON({"type": "string"})},
    {"Health", JSON({"type": "object", "required": ["status"], "properties": {"status": {"enum": ["ok", "ready"]},
                     "degraded": {"type": "boolean"}, "reasons": {"type": "array", "items": {"type": "string"}}},
                     "additionalProperties": false})},
    {"NotReady", JSON({"type": "object", "required": ["error", "reasons"], "properties": {"error": {"type": "string"}, "reasons":
                       {"type": "array", "items": {"type": "string"}}}, "additionalProperties": false})},
#define NODE_FIELDS                                                                                                                       \
  "host": {"type": "string"}, "inference_port": {"type": "integer", "minimum": 1, "maximum": 65535}, "poc_port": {"type": "integer",      \
  "minimum": 1, "maximum": 65535}, "inference_segment": {"type": "string"}, "poc_segment": {"type": "string"}, "max_concurrent":          \
  {"type": "integer", "minimum": 1}, "models": {"type": "object", "additionalProperties": {"type": "object", "properties": {"args":       \
  {"type": "array", "items": {"type": "string"}}}}}, "hardware": {"type": "array", "items": {"type": "object", "properties": {"type":     \
  {"type": "string"}, "count": {"type": "integer"}}}}, "version": {"type": "string"}, "kind": {"type": "string"}
#define EXPAND(...) JSON(__VA_ARGS__)
    {"Node", EXPAND({"type": "object", "required": ["id", "host", "inference_port", "poc_port", "max_concurrent", "models"], "properties":
                     {"id": {"type": "string"}, "node_num": {"type": "integer", "readOnly": true}, NODE_FIELDS},
                     "additionalProperties": false})},
    {"NodeWithoutId", EXPAND({"type": "object", "required": ["host", "inference_port", "poc_port", "max_concurrent", "models"],
                              "properties": {"id": {"type": "string", "description": "that of the path, or left out"}, NODE_FIELDS},
                              "additionalProperties": false})},
    {"Nodes", JSON({"type": "array", "items": {"$ref": "#/components/schemas/Node"}})},
    {"NodeView", JSON({"type": "object", "required": ["node", "state"], "properties": {"node": {"$ref": "#/components/schemas/Node"},
                       "state": {"$ref": "#/components/schemas/NodeState"}}, "additionalProperties": false})},
    {"NodeViews", JSON({"type": "array", "items": {"$ref": "#/components/schemas/NodeView"}})},
    {"Status", JSON({"enum": ["UNKNOWN", "INFERENCE", "POC", "TRAINING", "STOPPED", "FAILED"]})},
    {"PocStatus", JSON({"enum": ["IDLE", "GENERATING", "VALIDATING"]})},
    {"NodeState", JSON({"type": "object", "required": ["intended_status", "current_status", "poc_intended_status", "poc_current_status",
                        "lock_count", "failure_reason", "admin_state", "epoch_models", "epoch_ml_nodes", "generation", "registration",
                        "attempts", "explain"], "properties": {
                        "intended_status": {"$ref": "#/components/schemas/Status"}, "current_status": {"$ref":
                        "#/components/schemas/Status"}, "poc_intended_status": {"$ref": "#/components/schemas/PocStatus"},
                        "poc_current_status": {"$ref": "#/components/schemas/PocStatus"}, "reconcile_info": {"type": "object",
                        "description": "the attempt that is under way"}, "lock_count": {"type": "integer", "minimum": 0},
                        "failure_reason": {"type": "string"}, "status_timestamp": {"type": "string"}, "checked_at": {"type": "string"},
                        "admin_state": {"$ref": "#/components/schemas/AdminState"},
                        "training_task": {"type": "object"}, "epoch_models": {"type": "object"}, "epoch_ml_nodes": {"type": "object"},
                        "generation": {"type": "integer"}, "registration": {"type": "integer"}, "attempts": {"type": "array", "items":
                        {"type": "object"}}, "next_attempt_at": {"type": "string"}, "explain": {"type": "object", "required": ["doing",
                        "settled"]}}})},
    {"BatchError", JSON({"type": "object", "required": ["index", "error"], "properties": {"index": {"type": "integer"}, "id": {}, "error":
                         {"type": "string"}}, "additionalProperties": false})},
    {"BatchPart", JSON({"type": "object", "required": ["nodes", "errors"], "properties": {"nodes": {"$ref": "#/components/schemas/Nodes"},
                        "errors": {"type": "array", "items": {"$ref": "#/components/schemas/BatchError"}}}, "additionalProperties": false})},
    {"Config", JSON({"type": "object", "required": ["nodes"], "properties": {"nodes": {"$ref": "#/components/schemas/Nodes"}}})},
    {"Commands", JSON({"type": "array", "items": {"type": "object", "required": ["name", "help"], "properties": {"name": {"type":
                       "string"}, "help": {"type": "string"}, "priority": {"type": "string"}, "scope": {"enum": ["operate",
                       "admin"]}}}})},
    {"CommandAnswer", JSON({"type": "object", "required": ["status"], "properties": {"status": {"enum": ["done", "skipped"]}, "reason":
                            {"type": "string"}, "result": {}}, "additionalProperties": false})},
    {"Nothing", JSON({"type": "object", "properties": {}, "additionalProperties": false})},
    {"ScriptSet", JSON({"type": "object", "required": ["generation", "hash"], "properties": {"generation": {"type": "integer"}, "hash":
                        {"type": "string"}}})},
    {"ScriptFault", JSON({"type": "object", "required": ["message"], "properties": {"file": {"type": "string"}, "line": {"type": "integer"},
                          "message": {"type": "string"}}, "additionalProperties": false})},
    {"ScriptFile", JSON({"type": "object", "required": ["path", "from", "hash"], "properties": {"path": {"type": "string"}, "from": {"type":
                         "string", "description": "the folder that it was found in"}, "hash": {"type": "string"}, "size": {"type":
                         "integer"}, "shadows": {"type": "array", "items": {"type": "string"}, "description":
                         "folders that hold another one of that path"}}})},
    {"ScriptRejected", JSON({"type": "object", "required": ["hash", "reason"], "properties": {"hash": {"type": "string"}, "reason": {"type":
                             "string"}, "faults": {"type": "array", "items": {"$ref": "#/components/schemas/ScriptFault"}}}})},
    {"Scripts", JSON({"type": "object", "required": ["generation", "hash", "loaded_at", "can_roll_back", "folders", "files", "commands",
                      "drivers", "jobs"], "properties": {"generation": {"type": "integer"}, "hash": {"type": "string"}, "loaded_at":
                      {"type": "string"}, "can_roll_back": {"type": "boolean"}, "previous": {"$ref": "#/components/schemas/ScriptSet"},
                      "rejected": {"$ref": "#/components/schemas/ScriptRejected"}, "unstored": {"type": "string", "description":
                      "why the store does not have this choice of scripts: a start would not know of it"}, "folders": {"type": "array", "items": {"type":
                      "string"}}, "files": {"type": "array", "items": {"$ref": "#/components/schemas/ScriptFile"}}, "commands": {"type":
                      "array"}, "drivers": {"type": "array"}, "jobs": {"type": "array"}, "difference": {"type": "object", "required":
                      ["files"], "properties": {"files": {"type": "object", "additionalProperties": {"type": "object", "properties":
                      {"live": {"type": "string"}, "previous": {"type": "string"}}, "additionalProperties": false}}}}}})},
    {"Reloaded", JSON({"type": "object", "required": ["status", "generation"], "properties": {"status": {"enum": ["done", "unchanged"]},
                       "generation": {"type": "integer"}, "changes": {"type": "array", "items": {"$ref":
                       "#/components/schemas/PlannedChange"}}, "unstored": {"type": "string", "description":
                       "they are live, and this is why a start would not know of it yet"}}})},
    {"Faults", JSON({"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}, "faults": {"type": "array",
                     "items": {"$ref": "#/components/schemas/ScriptFault"}}}})},
    {"PlanRequest", JSON({"type": "object", "properties": {"scripts": {"type": "string", "description":
                          "absolute path of a folder on the daemon's machine; without it the configured folders"}},
                          "additionalProperties": false})},
    {"PlannedChange", JSON({"type": "object", "required": ["node_id"], "properties": {"node_id": {"type": "string"}, "from": {}, "to": {},
                            "reason": {"type": "string"}}})},
    {"Plan", JSON({"type": "object", "required": ["changes"], "properties": {"changes": {"type": "array", "items": {"$ref":
                   "#/components/schemas/PlannedChange"}}}})},
};

/* What is asked and told about leases. */
static const struct part lease_schemas[] = {
    {"LeaseRequest", JSON({"type": "object", "required": ["model"], "properties": {"model": {"type": "string", "minLength": 1, "maxLength":
                           256}, "version": {"type": "string", "maxLength": 256, "description": "of the node; left out or empty: any"},
                           "accept_earlier_version": {"type": "boolean", "description": "lower versions too, never a higher one"},
                           "skip": {"type": "array", "maxItems": 256, "items": {"type": "string"}, "description":
                           "ids of nodes not to be given"}, "tenant": {"type": "string", "maxLength": 256, "description":
                           "those of different tenants that wait take turns"}, "affinity": {"type": "string", "maxLength": 1024,
                           "description": "equal keys get the same node as long as its load allows"}, "bind": {"enum": ["connection"],
                           "description": "the lease ends with the connection"}, "wait_ms": {"type": "integer", "minimum": 0, "maximum":
                           600000, "description": "how long to wait for a free node; by default not at all"}, "ttl_ms": {"type":
                           "integer", "minimum": 1, "maximum": 86400000, "description":
                           "how long it lives unless it is renewed; by default 1200000"}}, "additionalProperties": false})},
    {"Lease", JSON({"type": "object", "required": ["lease_id", "node_id", "inference_url", "poc_url", "expires_at_ms"], "properties":
                    {"lease_id": {"type": "string"}, "node_id": {"type": "string"}, "inference_url": {"type": "string"}, "poc_url":
                    {"type": "string"}, "expires_at_ms": {"type": "integer", "description": "milliseconds since 1970 UTC"}}})},
    {"NoLease", JSON({"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}, "reasons": {"type": "array",
                      "items": {"type": "object", "required": ["node_id", "reason"]}, "description":
                      "of each node, why it was not given"}, "reasons_omitted": {"type": "integer", "description":
                      "nodes beyond the first 1000"}}})},
    {"LeaseRenewal", JSON({"type": "object", "required": ["ttl_ms"], "properties": {"ttl_ms": {"type": "integer", "minimum": 1, "maximum":
                           86400000, "description": "how long it lives from now"}, "node_id": {"type": "string", "description":
                           "its node: a lease of an earlier start of the daemon is taken over there"}},
                           "additionalProperties": false})},
    {"LeaseRenewed", JSON({"type": "object", "required": ["lease_id", "node_id", "expires_at_ms"], "properties": {"lease_id": {"type":
                           "string"}, "node_id": {"type": "string"}, "expires_at_ms": {"type": "integer"}},
                           "additionalProperties": false})},
    {"LeaseEnd", JSON({"type": "object", "properties": {"outcome": {"enum": ["success", "transport_error", "application_error",
                       "timeout"], "description": "how the request went: transport_error and timeout count against the node"}},
                       "additionalProperties": false})},
    {"LeaseEnded", JSON({"type": "object", "required": ["lease_id", "released"], "properties": {"lease_id": {"type": "string"},
                         "released": {"type": "boolean"}}, "additionalProperties": false})},
};

/* Who wants a node to work, and how that is said. */
static const struct part admin_schemas[] = {
    {"AdminState", JSON({"type": "object", "required": ["enabled", "epoch"], "properties": {"enabled": {"type": "boolean"}, "epoch":
                         {"type": "integer"}, "reason": {"type": "string"}, "actor": {"type": "string", "description":
                         "the caller that set it"}, "expires_at": {"type": "string", "description": "when it ends by itself"}},
                         "additionalProperties": false})},
    {"Reason", JSON({"type": "object", "properties": {"reason": {"type": "string"}}, "additionalProperties": false})},
    {"Disable", JSON({"type": "object", "properties": {"reason": {"type": "string"}, "expires_s": {"type": "number", "exclusiveMinimum": 0,
                      "description": "seconds after which it ends by itself"}, "expires_at": {"type": "string", "description":
                      "the time (RFC 3339) at which it ends by itself"}}, "additionalProperties": false})},
    {"Switched", JSON({"type": "object", "required": ["message", "node_id"], "properties": {"message": {"type": "string"}, "node_id":
                       {"type": "string"}}, "additionalProperties": false})},
};

static const struct part parameters[] = {
    {"If-Match", JSON({"name": "If-Match", "in": "header", "required": false, "schema": {"type": "string"}, "description":
                       "ETags of GET /admin/v1/nodes/:id, or *: nobody may have changed the node since then"})},
    {"If-None-Match", JSON({"name": "If-None-Match", "in": "header", "required": false, "schema": {"type": "string"}, "description":
                            "with GET: ETags, an unchanged node is 304; with PUT and POST: *, a node that is there already is 412"})},
    {"Idempotency-Key", JSON({"name": "Idempotency-Key", "in": "header", "required": false, "schema": {"type": "string", "minLength": 1,
                              "maxLength": 255}, "description": 
                              "the same request with the same key is carried out once, and gets the same answer for 24 h"})},
    {"difference", JSON({"name": "difference", "in": "query", "required": false, "schema": {"enum": ["0", "1"]}, "description":
                         "1: with the texts of the files that differ between the live set and the one before"})},
    {"since", JSON({"name": "since", "in": "query", "required": false, "schema": {"type": "integer", "minimum": 0}, "description":
                    "the number of a record: those after it"})},
    {"max", JSON({"name": "max", "in": "query", "required": false, "schema": {"type": "integer", "minimum": 1, "maximum": 5000},
                  "description": "with format=json: at most so many records; by default 256"})},
    {"format", JSON({"name": "format", "in": "query", "required": false, "schema": {"enum": ["sse", "json"]}, "description":
                     "json: one page of records that are there, instead of a stream"})},
    {"kind", JSON({"name": "kind", "in": "query", "required": false, "schema": {"type": "string"}, "description":
                   "only records of this kind"})},
    {"node", JSON({"name": "node", "in": "query", "required": false, "schema": {"type": "string"}, "description":
                   "only records about this node"})},
    {"Last-Event-ID", JSON({"name": "Last-Event-ID", "in": "header", "required": false, "schema": {"type": "integer"}})},
};

static json_t *load(const struct part *parts, size_t count) {
  json_t *const all = json_object();
  for (size_t i = 0; i < count; i++) {
    json_t *const part = json_loads(parts[i].json, JSON_REJECT_DUPLICATES, NULL);
    assert(part != NULL && "a part of the OpenAPI document is no JSON");
    json_object_set_new(all, parts[i].name, part);
  }
  return all;
}

static void add(json_t *all, const struct part *parts, size_t count) {
  json_t *const more = load(parts, count);
  json_object_update(all, more);
  json_decref(more);
}

json_t *cox_openapi_schemas(void) {
  json_t *const all = load(schemas, sizeof schemas / sizeof *schemas);
  add(all, admin_schemas, sizeof admin_schemas / sizeof *admin_schemas);
  add(all, lease_schemas, sizeof lease_schemas / sizeof *lease_schemas);
  return all;
}

json_t *cox_openapi_parameters(void) { return load(parameters, sizeof parameters / sizeof *parameters); }
