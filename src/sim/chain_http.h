/* The HTTP server of a made-up chain: requests in, answers with their faults out, websocket handshakes handed on. */
#ifndef COX_SIM_CHAIN_HTTP_H
#define COX_SIM_CHAIN_HTTP_H

#include "base/err.h"

struct cox_sim_chain;
struct cox_chain_http;

/* `listen` NULL: 127.0.0.1; port 0: any free one. NULL with the reason in `err`. */
struct cox_chain_http *cox_chain_http_create(struct cox_sim_chain *chain, const char *listen, unsigned port, struct cox_err *err);
unsigned cox_chain_http_port(const struct cox_chain_http *http);
/* The websockets must have been destroyed before. */
void cox_chain_http_destroy(struct cox_chain_http *http);

#endif
