/* What specs and people ask of the simulator itself: "/sim/…". Errors are {"error": "what, on what, why, what next"}. */
#include <stdlib.h>
#include <string.h>

#include "sim/chain_routes.h"

enum { SPECS_MAX = 64 };

static void refuse(struct cox_chain_answer *answer, int status, const char *text) {
  answer->status = status;
  answer->json = json_pack("{s:s}", "error", text);
}

static int status_of(int rc) { return rc == COX_EREFUSED ? 409 : rc == COX_EFULL ? 429 : 400; }

static void get_state(struct cox_sim_chain *chain, json_t *body, struct cox_chain_answer *answer) {
  (void)body;
  answer->json = cox_sim_chain_state(chain);
}

/* The answer to whatever changes the chain is its state after it. */
static void conclude(struct cox_sim_chain *chain, int rc, const struct cox_err *err, struct cox_chain_answer *answer) {
  if (rc == 0) answer->json = cox_sim_chain_state(chain);
  else refuse(answer, status_of(rc), err->text);
}

static void post_faults(struct cox_sim_chain *chain, json_t *body, struct cox_chain_answer *answer) {
  const json_t *const list = json_object_get(body, "faults");
  const char *specs[SPECS_MAX];
  const size_t count = json_array_size(list);
  bool is_good = json_is_array(list) && count <= SPECS_MAX;
  for (size_t i = 0; i < count && is_good; i++) {
    specs[i] = json_string_value(json_array_get(list, i));
    is_good = specs[i] != NULL;
  }
  if (!is_good) {
    refuse(answer, 400, "faults must be a list of at most 64 specs: {\"faults\": [\"drop=3\", \"status:slow=500\", \"double=off\"]}");
    return;
  }
  struct cox_err err = {0};
  conclude(chain, cox_chain_apply_faults(chain, specs, count, &err), &err, answer);
}

static void post_advance(struct cox_sim_chain *chain, json_t *body, struct cox_chain_answer *answer) {
  const json_t *const blocks = json_object_get(body, "blocks");
  struct cox_err err = {0};
  conclude(chain, cox_sim_chain_advance(chain, json_is_integer(blocks) ? json_integer_value(blocks) : 0, &err), &err, answer);
}

static void post_preserved(struct cox_sim_chain *chain, json_t *body, struct cox_chain_answer *answer) {
  const json_t *const epoch = json_object_get(body, "epoch");
  if (epoch != NULL && (!json_is_integer(epoch) || json_integer_value(epoch) < 0)) {
    refuse(answer, 400, "epoch must be a whole number from 0");
    return;
  }
  struct cox_err err = {0};
  const int64_t from = epoch != NULL ? json_integer_value(epoch) : -1;
  conclude(chain, cox_sim_chain_preserve(chain, from, json_object_get(body, "nodes"), &err), &err, answer);
}

static void post_hardware(struct cox_sim_chain *chain, json_t *body, struct cox_chain_answer *answer) {
  struct cox_err err = {0};
  conclude(chain, cox_sim_chain_set_hardware(chain, json_object_get(body, "hardware_nodes"), &err), &err, answer);
}

struct control {
  const char *path;
  const char *method;
  const char *keys[3]; /* of the body */
  void (*run)(struct cox_sim_chain *chain, json_t *body, struct cox_chain_answer *answer);
};

static const struct control controls[] = {
    {"/sim/state", "GET", {NULL}, get_state},
    {"/sim/faults", "POST", {"faults"}, post_faults},
    {"/sim/advance", "POST", {"blocks"}, post_advance},
    {"/sim/preserved", "POST", {"nodes", "epoch"}, post_preserved},
    {"/sim/hardware", "POST", {"hardware_nodes"}, post_hardware},
};

/* The first key that the control does not know, NULL: none. */
static const char *stranger(const struct control *control, json_t *body) {
  const char *key;
  json_t *value;
  json_object_foreach(body, key, value) {
    bool is_known = false;
    for (size_t i = 0; i < 3 && control->keys[i] != NULL; i++) is_known = is_known || strcmp(control->keys[i], key) == 0;
    if (!is_known) return key;
  }
  return NULL;
}

static void run_post(struct cox_sim_chain *chain, const struct control *control, const struct cox_chain_request *request,
                     struct cox_chain_answer *answer) {
  json_error_t at;
  json_t *const body = json_loadb(request->body != NULL ? request->body : "", request->body_bytes, JSON_REJECT_DUPLICATES, &at);
  if (!json_is_object(body)) {
    refuse(answer, 400, body == NULL ? at.text : "the body must be a JSON object");
  } else if (stranger(control, body) != NULL) {
    answer->status = 400;
    answer->json =
        json_pack("{s:o}", "error",
                  json_sprintf("unknown field %.80s: %s takes %s%s%s", stranger(control, body), control->path, control->keys[0],
                               control->keys[1] != NULL ? ", " : "", control->keys[1] != NULL ? control->keys[1] : ""));
  } else {
    control->run(chain, body, answer);
  }
  json_decref(body);
}

void cox_chain_control(struct cox_sim_chain *chain, const struct cox_chain_request *request, struct cox_chain_answer *answer) {
  for (size_t i = 0; i < sizeof controls / sizeof *controls; i++) {
    if (strcmp(controls[i].path, request->path) != 0) continue;
    if (strcmp(controls[i].method, request->method) != 0) {
      answer->allow = controls[i].method;
      refuse(answer, 405, "this control takes another method: see Allow");
    } else if (strcmp(request->method, "POST") == 0) {
      run_post(chain, &controls[i], request, answer);
    } else {
      controls[i].run(chain, NULL, answer);
    }
    return;
  }
  refuse(answer, 404, "no such control: GET /sim/state, POST /sim/faults, /sim/advance, /sim/preserved, /sim/hardware");
}
