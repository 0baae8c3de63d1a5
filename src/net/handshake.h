/* The opening handshake of a websocket from the client's side (RFC 6455, section 4.1): texts only, no sockets. */
#ifndef COX_NET_HANDSHAKE_H
#define COX_NET_HANDSHAKE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

enum { COX_HANDSHAKE_KEY_BYTES = 25, COX_HANDSHAKE_ACCEPT_BYTES = 29, COX_HANDSHAKE_ANSWER_MAX = 16 * 1024, COX_HANDSHAKE_WHY_MAX = 200 };

/* Sixteen bytes of chance in base64. */
void cox_handshake_key(char out[COX_HANDSHAKE_KEY_BYTES]);
/* What the server must make of it. */
void cox_handshake_accept(const char *key, char out[COX_HANDSHAKE_ACCEPT_BYTES]);
/* Writes the request for an address with the scheme ws, wss, http or https. False: out of memory, or it is no such address. */
bool cox_handshake_request(const char *url, const char *key, struct cox_buf *out);
/* The address as libcurl connects to it: ws becomes http, wss https. */
bool cox_handshake_http_url(const char *url, struct cox_buf *out);

enum cox_handshake { COX_HANDSHAKE_UNFINISHED, COX_HANDSHAKE_DONE, COX_HANDSHAKE_REFUSED };
/* Reads what has come so far. DONE: `*used` bytes were the answer, frames follow. REFUSED: `why` is half a sentence ("was answered
 * 403 and not 101"), `*status` the HTTP status, 0 when it was no HTTP.                                                          */
enum cox_handshake cox_handshake_read(const char *bytes, size_t count, const char *key, size_t *used, int *status,
                                      char why[COX_HANDSHAKE_WHY_MAX]);

#endif
