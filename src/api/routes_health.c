/* Is the process alive, may traffic come (both public), and what is here. */
#include "api/routes.h"

#include "api/request.h"
#include "api/server.h"

void cox_get_livez(struct cox_request *request) { cox_request_answer(request, 200, json_pack("{ss}", "status", "ok")); }

void cox_get_readyz(struct cox_request *request) {
  struct cox_err err;
  if (!atomic_load(&request->api->is_ready)) {
    cox_request_answer(request, 503, json_pack("{ss, s[s]}", "error", "not ready: ask again in a moment", "reasons",
                                               "the store and the scripts are not live yet"));
    return;
  }
  /* Commands are accepted, so traffic may come: taking the daemon out of service would help nobody. */
  const bool is_degraded = cox_broker_is_degraded(request->api->options.broker, &err);
  json_t *const answer = json_pack("{ss, sb}", "status", "ready", "degraded", is_degraded);
  if (is_degraded) json_object_set_new(answer, "reasons", json_pack("[o]", cox_json_text(err.text)));
  cox_request_answer(request, 200, answer);
}

/* The routes, from the table itself. */
void cox_get_index(struct cox_request *request) {
  struct cox_buf page = {0};
  size_t count;
  const struct cox_route *const routes = cox_routes(&count);
  bool is_whole = cox_buf_addf(&page, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>coxswain</title>"
                               "</head><body>\n<h1>coxswain %s</h1>\n<table>\n", COX_VERSION);
  for (size_t i = 0; i < count; i++) {
    is_whole = is_whole && cox_buf_addf(&page, "<tr><td>%s</td><td><code>%s</code></td><td>%s</td></tr>\n", routes[i].method,
                                        routes[i].pattern, routes[i].is_public ? "public" : "");
  }
  is_whole = is_whole && cox_buf_addf(&page, "</table>\n</body></html>\n");
  cox_request_answer_blob(request, 200, "text/html; charset=utf-8", is_whole ? cox_blob_text(page.data) : NULL);
  cox_buf_fini(&page);
}
