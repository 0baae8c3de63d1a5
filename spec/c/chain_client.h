/* What the specs of the simulated chain share: HTTP by curl, and a small websocket client written by hand, so that the server's
 * frames are not read by the library that wrote them.                                                                           */
#ifndef COX_SPEC_CHAIN_CLIENT_H
#define COX_SPEC_CHAIN_CLIENT_H

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "sim/sim.h"

#define CHAIN_REST "/productscience/inference/inference"
enum { CHAIN_LIMIT_MS = 30000 }; /* how long any wait may take before it is a failure */

/* Node-config entries node1 … node<count>, each with model "m<i>" for odd i and "shared" for all. A new reference. */
json_t *chain_nodes(unsigned count);
/* A chain with those nodes whose blocks are made by hand; fails the test when it does not start. */
struct cox_sim_chain *chain_start(const struct cox_sim_chain_options *options);

/* ---- HTTP ---- */

/* The status, or the negative CURLcode when no whole answer came; the body is added to `out` (may be NULL). */
long chain_http(unsigned port, const char *method, const char *path, const char *body, struct cox_buf *out);
/* The JSON of a 200, owned by the caller; fails the test for any other answer. */
json_t *chain_get(unsigned port, const char *path);
/* The value at a dotted path of objects; NULL when there is none. Borrowed. */
json_t *chain_at(const json_t *root, const char *path);
/* The string at a dotted path, "(none)" when there is none. */
const char *chain_text(const json_t *root, const char *path);

/* ---- websocket ---- */

enum { CHAIN_TEXT = 1, CHAIN_CLOSE = 8, CHAIN_PING = 9, CHAIN_PONG = 10, CHAIN_NOTHING = -1, CHAIN_END = -2 };

struct chain_client {
  int fd;
  struct cox_buf read; /* not yet parsed */
};

struct chain_frame {
  int opcode; /* or CHAIN_NOTHING (time-out), CHAIN_END (end of stream or reset) */
  struct cox_buf payload;
};

void chain_client_connect(struct chain_client *client, unsigned port);
/* Sends the handshake with these headers (each with \r\n) and returns the status of the answer. */
int chain_client_shake(struct chain_client *client, const char *headers);
/* The status of the answer to a handshake that was sent; it is read up to its end. */
int chain_client_status(struct chain_client *client);
/* Connects and shakes hands; the test fails when that is refused. */
void chain_client_open(struct chain_client *client, unsigned port);
/* Opens and subscribes with id 1. */
void chain_client_subscribe(struct chain_client *client, unsigned port);
/* These bytes as they are. */
void chain_client_send_raw(struct chain_client *client, const void *bytes, size_t count);
void chain_client_send(struct chain_client *client, int opcode, const void *payload, size_t count, bool is_masked);
void chain_client_say(struct chain_client *client, const char *text);
/* The next frame; the caller ends it with cox_buf_fini(&frame.payload). */
struct chain_frame chain_client_frame(struct chain_client *client, int timeout_ms);
/* The next text frame as JSON; fails the test when something else comes. */
json_t *chain_client_json(struct chain_client *client);
/* The height of the next event. */
int64_t chain_client_height(struct chain_client *client);
/* Is nothing there to be read? Does not wait. */
bool chain_client_is_quiet(struct chain_client *client);
/* Reads until the stream ends; the code of the close frame on the way, 0 when there was none. */
int chain_client_drain(struct chain_client *client);
void chain_client_close(struct chain_client *client);

#endif
