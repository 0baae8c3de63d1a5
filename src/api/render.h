/* Answers that grow with the fleet are rendered by a thread of their own: 10 000 nodes take tens of milliseconds, which no other
 * request should wait for. Requests for the same thing that wait together share one rendering.                       */
#ifndef COX_API_RENDER_H
#define COX_API_RENDER_H

#include <stdbool.h>

#include "api/blob.h"
#include "base/err.h"
#include "base/lock.h"
#include "base/thread.h"

struct cox_api;
struct cox_request;
struct cox_render_job;

struct cox_renderer {
  struct cox_mutex mutex; /* guards the next three */
  struct cox_render_job *first, *last; /* bounded by the connections */
  bool is_ended;
  struct cox_cond cond;
  struct cox_api *api;
  struct cox_thread thread;
};

int cox_renderer_start(struct cox_renderer *renderer, struct cox_api *api, struct cox_err *err);
/* Drops what waits and joins the thread. */
void cox_renderer_stop(struct cox_renderer *renderer);

/* NULL: out of memory. */
typedef struct cox_blob *cox_render_fn(struct cox_api *api);
/* Begins a wait whose answer is 200 with what `render` makes. The content type is static. */
void cox_request_render(struct cox_request *request, cox_render_fn *render, const char *content_type);

#endif
