/* One request, from its head to its answer. It belongs to its connection and lives on that connection's server thread;
 * what other threads do for it goes through its wait.                                                                */
#ifndef COX_API_REQUEST_H
#define COX_API_REQUEST_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "api/auth.h"
#include "api/blob.h"
#include "api/connection.h"
#include "api/etag.h"
#include "api/route.h"
#include "api/wait.h"
#include "base/buf.h"
#include "core/condition.h"

struct MHD_Connection;
struct cox_api;
struct cox_job;

struct cox_request {
  struct cox_api *api;
  struct MHD_Connection *native;
  struct cox_connection *connection;
  struct cox_job *job;         /* it belongs to a job instead of a connection, which is NULL; see key.h */
  const char *method, *target; /* as they came; borrowed from the connection */
  char id[72];                 /* the client's X-Request-Id when it is a decent one, else ours */
  const struct cox_caller *caller; /* who asks; never NULL; for the log, and for the journal of what is commanded */
  int64_t started_us;          /* monotonic: its head came */
  char *key, *if_match, *if_none_match; /* headers; owned; NULL: none came */
  struct cox_condition condition; /* of commands that are sent for it (etag.h); owned */
  struct cox_path path;
  struct cox_match match;      /* match.route is NULL when it was refused before */

  struct cox_buf body;
  size_t body_bytes;           /* received, also of a body that is thrown away */
  bool is_urgent;              /* refused before its body: the answer does not wait for it */
  bool has_to_close;           /* the connection ends with the answer */
  bool is_busy;                /* complete, not yet answered in full */
  bool is_delivered;           /* its answer was sent to the end: for state_destroy */

  unsigned status;             /* 0: no answer yet */
  struct cox_blob *answer;     /* owned */
  const char *content_type;
  const char *more_header, *more_value; /* one header besides the usual ones, or NULL; static or from `match` */
  const char *const (*headers)[2]; /* others, static, to one of NULLs; or NULL */
  char etag[COX_ETAG_MAX];     /* "": none */
  bool is_replay;              /* the answer was given before, to the same key */

  struct cox_wait *wait;       /* begun by cox_wait_begin; one reference */
  /* Runs after the wait was answered; may begin the next one. Reads what it waited for through request->wait, which is
   * replaced or released after it.                                                                                     */
  void (*resume)(struct cox_request *request, struct cox_wait *wait);
  ssize_t (*stream)(void *stream_state, uint64_t position, char *out, size_t room); /* an answer without an end; see below */
  void *stream_state;
  void (*stream_destroy)(void *stream_state);
  bool goes_on_late;           /* at the deadline of its wait it is resumed, too, instead of a 504 */
  void *state;                 /* of the handler, across waits */
  void (*state_destroy)(void *state);
};

/* Reads the head: finds the route, or answers already (then the body is read and thrown away). NULL: out of memory. */
struct cox_request *cox_request_create(struct cox_api *api, struct MHD_Connection *native, const char *method,
                                       const char *target);
void cox_request_destroy(struct cox_request *request);
/* False: it sends for ever; cut it. */
bool cox_request_take(struct cox_request *request, const char *data, size_t count);
/* The request is complete, or its wait ended: goes on until it has an answer or waits (again). */
void cox_request_advance(struct cox_request *request);

/* ---- for handlers: the answer, once ---- */
/* Takes `value`. */
void cox_request_answer(struct cox_request *request, unsigned status, json_t *value);
/* Takes `blob` (NULL: out of memory). */
void cox_request_answer_blob(struct cox_request *request, unsigned status, const char *content_type, struct cox_blob *blob);
/* 200 with a body that comes in pieces: `stream` is called on the server thread whenever there is room, and gives how many
 * bytes it wrote, or COX_STREAM_END or COX_STREAM_BROKEN. To wait it begins a wait of the request and returns 0; it is called again
 * when that ended, and takes it with cox_request_take_wait. `destroy` gets `state` at the end, perhaps after the request.          */
enum { COX_STREAM_END = -1, COX_STREAM_BROKEN = -2 };
void cox_request_answer_stream(struct cox_request *request, const char *content_type,
                               ssize_t (*stream)(void *state, uint64_t position, char *out, size_t room), void *state,
                               void (*destroy)(void *state));
/* The wait that has ended, with the request's reference to it; NULL: it did not wait. */
struct cox_wait *cox_request_take_wait(struct cox_request *request);
/* A parameter of the query, decoded: true, and it is in `out`; false: not given, or `*is_bad`: longer than `size` or broken. */
bool cox_request_query(struct cox_request *request, const char *name, char *out, size_t size, bool *is_bad);
/* False: the query has a parameter that is not in `names` (cox_surface.parameters); answered (400), with its name and theirs. */
bool cox_request_query_has_only(struct cox_request *request, const char *names);
/* {"error": …}: what, on what, why, what next. */
void cox_request_fail(struct cox_request *request, unsigned status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- for handlers: the body ---- */
/* The body as an object, an empty one as {}; or NULL, then it is answered (400). A new reference. */
json_t *cox_request_object(struct cox_request *request);
/* Same, any value; an empty body is an error. */
json_t *cox_request_json(struct cox_request *request);
/* False: the object has other keys than those of the NULL-ended list; answered (400) and they are named. */
bool cox_request_has_only(struct cox_request *request, json_t *object, const char *const *keys);

#endif
