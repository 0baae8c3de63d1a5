#include "api/surface.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COMMAND " 400:Error 413:Error 422:Error 429:Error 503:Error 504:Error"
#define SCRIPTS " 400:Error 413:Error 422:Faults 429:Error 503:Error 504:Error"
#define KEY "Idempotency-Key"

static const struct cox_surface surfaces[] = {
    {"GET", "/", COX_SCOPE_READ, "The dashboard: a page that asks this API.", "If-None-Match", NULL, "200:Page 304:"},
    {"GET", "/page.js", COX_SCOPE_READ, "The dashboard's script.", "If-None-Match", NULL, "200:Script 304:"},
    {"GET", "/page.css", COX_SCOPE_READ, "The dashboard's style.", "If-None-Match", NULL, "200:Style 304:"},
    {"GET", "/page.svg", COX_SCOPE_READ, "The dashboard's icon.", "If-None-Match", NULL, "200:Picture 304:"},
    {"GET", "/routes", COX_SCOPE_READ, "The list of routes, for people.", NULL, NULL, "200:Page"},
    {"GET", "/livez", COX_SCOPE_READ, "Is the process alive?", NULL, NULL, "200:Health"},
    {"GET", "/readyz", COX_SCOPE_READ, "Are store and scripts live, and commands accepted? Says too whether the store can be written.", NULL,
     NULL, "200:Health 503:NotReady"},
    {"GET", "/metrics", COX_SCOPE_READ, "Metrics in Prometheus' text format.", NULL, NULL, "200:Metrics"},
    {"GET", "/openapi.json", COX_SCOPE_READ, "This document.", NULL, NULL, "200:Object"},
    {"GET", "/admin/v1/nodes", COX_SCOPE_READ, "All nodes with their states.", NULL, NULL, "200:NodeViews"},
    {"POST", "/admin/v1/nodes", COX_SCOPE_ADMIN, "Registers a node, or changes one that is registered.",
     "If-Match If-None-Match " KEY, "Node", "200:Node 412:Error" COMMAND},
    {"POST", "/admin/v1/nodes/batch", COX_SCOPE_ADMIN, "Registers or changes several nodes; each by itself.", KEY, "Nodes",
     "201:Nodes 206:BatchPart" COMMAND},
    {"GET", "/admin/v1/nodes/:id", COX_SCOPE_READ, "One node with its state.", "If-None-Match", NULL, "200:NodeView 304: 404:Error"},
    {"PUT", "/admin/v1/nodes/:id", COX_SCOPE_ADMIN, "Registers a node, or changes one that is registered.",
     "If-Match If-None-Match " KEY, "NodeWithoutId", "200:Node 412:Error" COMMAND},
    {"DELETE", "/admin/v1/nodes/:id", COX_SCOPE_ADMIN, "Unregisters a node; what it runs, it goes on running. Was there one?",
     "If-Match " KEY, NULL, "200:Boolean 412:Error" COMMAND},
    {"POST", "/admin/v1/nodes/:id/enable", COX_SCOPE_OPERATE, "Lets a node take part.", "If-Match " KEY, "Reason",
     "200:Switched 404:Error 412:Error" COMMAND},
    {"POST", "/admin/v1/nodes/:id/disable", COX_SCOPE_OPERATE, "Takes a node out once the running epoch is over.", "If-Match " KEY,
     "Disable", "200:Switched 404:Error 412:Error" COMMAND},
    {"GET", "/admin/v1/config", COX_SCOPE_ADMIN, "The effective configuration, secrets masked, with the nodes as they are now.", NULL,
     NULL, "200:Config"},
    {"GET", "/v1/commands", COX_SCOPE_READ, "The commands that POST /v1/commands/:name knows.", NULL, NULL, "200:Commands"},
    {"POST", "/v1/commands/:name", COX_SCOPE_OPERATE,
     "Runs a command. Some need the scope admin: GET /v1/commands tells which.", KEY, "Object",
     "200:CommandAnswer 404:Error" COMMAND},
    {"GET", "/v1/world", COX_SCOPE_READ, "What policy decides from besides the nodes; empty before the first block.", NULL, NULL,
     "200:Object"},
    {"POST", "/v1/leases", COX_SCOPE_OPERATE, "Picks a node for one request.", KEY, "LeaseRequest",
     "201:Lease 400:Error 404:Error 413:Error 422:Error 429:Error 503:NoLease 504:NoLease"},
    {"PUT", "/v1/leases/:id", COX_SCOPE_OPERATE,
     "Renews a lease; with node_id one of an earlier start of the daemon is taken over on that node.", KEY, "LeaseRenewal",
     "200:LeaseRenewed 400:Error 404:Error 409:Error 410:Error 413:Error 422:Error 429:Error 503:Error"},
    {"DELETE", "/v1/leases/:id", COX_SCOPE_OPERATE, "Ends a lease.", KEY, "LeaseEnd",
     "200:LeaseEnded 400:Error 404:Error 410:Error 413:Error 422:Error"},
    {"GET", "/v1/events", COX_SCOPE_READ, "The journal as server-sent events, resumable.",
     "?since ?max ?format ?kind ?node Last-Event-ID", NULL, "200:Events 400:Error"},
    {"GET", "/v1/backup", COX_SCOPE_ADMIN, "A copy of the store, made while it works: an SQLite file.", NULL, NULL, "200:"},
    {"GET", "/v1/scripts", COX_SCOPE_READ, "The live set of scripts, and what it would go back to.", "?difference", NULL,
     "200:Scripts 400:Error 503:Error"},
    {"POST", "/v1/scripts/reload", COX_SCOPE_ADMIN, "Loads the scripts anew. Broken ones are refused with all their faults; the live set goes on.",
     KEY, "Nothing", "200:Reloaded" SCRIPTS},
    {"POST", "/v1/scripts/rollback", COX_SCOPE_ADMIN, "Goes back to the set of scripts before.", KEY, "Nothing", "200:Reloaded" SCRIPTS},
    {"POST", "/v1/scripts/plan", COX_SCOPE_ADMIN, "What the scripts in their folders, or in another one, would change. Nothing is changed or called.",
     KEY, "PlanRequest", "200:Plan" SCRIPTS},
};

const struct cox_surface *cox_surface_of(const struct cox_route *route) {
  for (size_t i = 0; i < sizeof surfaces / sizeof *surfaces; i++) {
    if (strcmp(surfaces[i].method, route->method) == 0 && strcmp(surfaces[i].pattern, route->pattern) == 0) return &surfaces[i];
  }
  return NULL;
}

const char *cox_surface_next(const char *answers, unsigned *status, char schema[32]) {
  answers += strspn(answers, " ");
  if (*answers == '\0') return NULL;
  char *end;
  *status = (unsigned)strtoul(answers, &end, 10);
  const size_t len = strcspn(end, " ");
  snprintf(schema, 32, "%.*s", len > 0 ? (int)len - 1 : 0, len > 0 ? end + 1 : "");
  return end + len;
}
