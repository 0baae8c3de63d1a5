/* Which request goes where: the table of routes, and how a path is read. */
#ifndef COX_API_ROUTE_H
#define COX_API_ROUTE_H

#include <stdbool.h>
#include <stddef.h>

struct cox_request;

enum { COX_SEGMENTS_MAX = 8, COX_PARAMS_MAX = 2, COX_BODY_MAX = 1024 * 1024 };

struct cox_route {
  const char *method;  /* GET answers HEAD too */
  const char *pattern; /* "/admin/v1/nodes/:id" */
  /* Runs when the request is complete, on its server thread: answers, or begins a wait and sets request->resume. */
  void (*handle)(struct cox_request *request);
  size_t body_max;     /* bytes; more is 413 */
  bool is_public;      /* asks for no token */
};

/* A path, split and percent-decoded: a %2F inside of a segment stays inside of it. */
struct cox_path {
  char *text; /* owned */
  const char *segment[COX_SEGMENTS_MAX];
  size_t count;
};

struct cox_match {
  const struct cox_route *route;       /* NULL: none for that method */
  const char *param[COX_PARAMS_MAX];   /* in the order of the pattern; borrowed from the path */
  char allow[64];                      /* without a route: the methods of the path, "": nothing is there */
};

/* Starts with '/'. False: a broken escape, a %00, no UTF-8, or out of memory. More segments than any route has leave
 * count at COX_SEGMENTS_MAX + 1.                                                                                    */
bool cox_path_parse(const char *raw, struct cox_path *path);
/* Percent escapes, in place; false: a broken one or a NUL. */
bool cox_percent_decode(char *text);
void cox_path_fini(struct cox_path *path);
void cox_route_match(const char *method, const struct cox_path *path, struct cox_match *match);
/* The table, for whoever lists it. */
const struct cox_route *cox_routes(size_t *count);

#endif
