/* Looks at every node as the driver would, with GETs only. */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/thread.h"
#include "console/checkup.h"
#include "core/node_config.h"

enum { LOOKERS = 16 };

struct rounds {
  struct cox_checkup *checkup;
  const json_t *nodes;
  atomic_size_t next;
};

struct look {
  struct cox_checkup *checkup;
  const json_t *config;
  const char *id;
  char poc[COX_URL_MAX], inference[COX_URL_MAX];
};

static const char *text_of(const json_t *object, const char *key) {
  const char *const text = json_string_value(json_object_get(object, key));
  return text != NULL ? text : "";
}

static void say_no_state(const struct look *look, const struct cox_asked *asked) {
  struct cox_checkup *const checkup = look->checkup;
  if (asked->status == 0) {
    const bool is_late = asked->err.code == COX_ETIME;
    cox_checkup_add(checkup, "node", look->id, COX_HEALTH_BAD, "%s %s: %s", look->poc, asked->err.text,
                    is_late ? "an old release is silent while it stops or loads a model; else look for a firewall or a hanging node"
                            : "is the node running, are host and poc_port right?");
  } else if (asked->status == 409 || asked->status == 500) {
    cox_checkup_add(checkup, "node", look->id, COX_HEALTH_DOUBT, "%s answers %d: two services ran on it, and it has stopped both", look->poc,
                    asked->status);
  } else {
    cox_checkup_add(checkup, "node", look->id, COX_HEALTH_BAD, "%s answers %d to /api/v1/state without a state: poc_port must be the port of the "
                    "management API", look->poc, asked->status);
  }
}

/* What serves, and whether it is ready. */
static void add_serving(const struct look *look, const json_t *state, json_t **finding, const char *release, int latency_ms) {
  const char *const loaded = text_of(state, "loaded_model");
  const bool is_shared = strcmp(look->poc, look->inference) == 0;
  struct cox_asked asked = {0};
  bool is_ready = json_is_true(json_object_get(state, "inference_healthy"));
  if (!is_shared) {
    cox_ask(look->checkup->env, look->inference, "/health", &asked);
    is_ready = asked.status == 200;
  } else if (json_object_get(state, "inference_healthy") == NULL) {
    cox_ask(look->checkup->env, look->inference, "/v1/models", &asked);
    is_ready = asked.status == 200;
  }
  if (is_ready && *loaded != '\0' && json_object_get(json_object_get(look->config, "models"), loaded) == NULL) {
    *finding = cox_checkup_add(look->checkup, "node", look->id, COX_HEALTH_DOUBT, "serves %s, which is not one of its configured models: it will be "
                               "stopped and loaded anew", loaded);
  } else if (is_ready) {
    *finding = cox_checkup_add(look->checkup, "node", look->id, COX_HEALTH_GOOD, "INFERENCE, ready, %s release, %d ms", release, latency_ms);
  } else if (asked.err.code == COX_ENOENT && !is_shared) {
    *finding = cox_checkup_add(look->checkup, "node", look->id, COX_HEALTH_DOUBT, "INFERENCE, %s release, %d ms, but %s %s: it loads a model, or "
                               "inference_port is wrong", release, latency_ms, look->inference, asked.err.text);
  } else {
    *finding = cox_checkup_add(look->checkup, "node", look->id, COX_HEALTH_DOUBT, "INFERENCE, not ready yet (a model is loading), %s release, %d ms",
                               release, latency_ms);
  }
  cox_asked_fini(&asked);
}

static bool is_state(const char *text) {
  static const char *const known[] = {"INFERENCE", "POW", "TRAIN", "STOPPED"};
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    if (strcmp(known[i], text) == 0) return true;
  }
  return false;
}

static void look_at(struct look *look) {
  struct cox_asked asked;
  cox_ask(look->checkup->env, look->poc, "/api/v1/state", &asked);
  const char *const state = text_of(asked.answer, "state"), *const version = text_of(asked.answer, "version");
  json_t *finding = NULL;
  if (asked.status != 200 || !is_state(state)) {
    say_no_state(look, &asked);
  } else {
    const char *const release = *version != '\0' ? version : json_object_get(asked.answer, "inference_healthy") != NULL ? "new" : "old";
    if (strcmp(state, "INFERENCE") == 0) add_serving(look, asked.answer, &finding, release, asked.latency_ms);
    else finding = cox_checkup_add(look->checkup, "node", look->id, COX_HEALTH_GOOD, "%s, %s release, %d ms", state, release, asked.latency_ms);
    cox_mutex_lock(&look->checkup->mutex);
    json_object_set_new(finding, "state", json_string(state));
    json_object_set_new(finding, "version", json_string(release));
    json_object_set_new(finding, "latency_ms", json_integer(asked.latency_ms));
    cox_mutex_unlock(&look->checkup->mutex);
  }
  cox_asked_fini(&asked);
}

static void run(void *arg) {
  struct rounds *const rounds = arg;
  for (;;) {
    const json_t *const config = json_array_get(rounds->nodes, atomic_fetch_add(&rounds->next, 1));
    if (config == NULL) return;
    struct look look = {.checkup = rounds->checkup, .config = config, .id = text_of(config, "id")};
    if (strcmp(text_of(config, "kind"), "mlnode") != 0 && *text_of(config, "kind") != '\0') {
      cox_checkup_add(rounds->checkup, "node", look.id, COX_HEALTH_DOUBT, "not looked at: only its driver, %s, knows how to ask it",
                      text_of(config, "kind"));
      continue;
    }
    cox_node_config_url(config, true, look.poc);
    cox_node_config_url(config, false, look.inference);
    look_at(&look);
  }
}

/* Who answers first is found first: the findings behind the first `start` ones are put into the order of the nodes. */
static void order(struct cox_checkup *checkup, const json_t *nodes, size_t start) {
  json_t *const by_id = json_object(), *const list = json_array(), *finding, *node;
  size_t i;
  json_array_foreach(checkup->findings, i, finding) {
    const char *const id = text_of(finding, "on");
    if (i < start || *id == '\0') json_array_append(list, finding);
    else json_object_set(by_id, id, finding);
  }
  json_array_foreach(nodes, i, node) {
    finding = json_object_get(by_id, text_of(node, "id"));
    if (finding != NULL) json_array_append(list, finding);
  }
  json_decref(by_id);
  json_decref(checkup->findings);
  checkup->findings = list;
}

void cox_checkup_nodes(struct cox_checkup *checkup, const json_t *nodes) {
  struct rounds rounds = {.checkup = checkup, .nodes = nodes};
  struct cox_thread threads[LOOKERS] = {0};
  struct cox_err err;
  const size_t count = json_array_size(nodes), start = json_array_size(checkup->findings);
  if (count == 0) cox_checkup_add(checkup, "node", NULL, COX_HEALTH_DOUBT, "the fleet has no nodes yet: add them to the nodes file, or with `coxswain node add`");
  for (size_t i = 0; i < LOOKERS && i < count; i++) {
    if (cox_thread_start(&threads[i], "cox-look", run, &rounds, &err) == 0) continue;
    cox_checkup_add(checkup, "node", NULL, COX_HEALTH_BAD, "not all nodes were looked at: %s", err.text);
    break;
  }
  for (size_t i = 0; i < LOOKERS; i++) cox_thread_join(&threads[i]);
  order(checkup, nodes, start);
}
