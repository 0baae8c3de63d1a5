/* The one piece of cryptography that a websocket handshake asks for (RFC 6455, section 4.2.2). */
#ifndef COX_SIM_CHAIN_ACCEPT_H
#define COX_SIM_CHAIN_ACCEPT_H

#include <stdbool.h>

enum { COX_CHAIN_ACCEPT_BYTES = 29 };
/* Sec-WebSocket-Accept for a Sec-WebSocket-Key; false when the key is not 16 bytes in base64 (24 characters). */
bool cox_chain_accept(const char *key, char out[COX_CHAIN_ACCEPT_BYTES]);

#endif
