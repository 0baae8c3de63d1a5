/* A websocket server written by hand, byte by byte, that does what its path says: good and bad. */
#ifndef SPEC_WS_SERVER_H
#define SPEC_WS_SERVER_H

struct ws_server;

/* Listens on a free port of 127.0.0.1. Paths: /echo, /refuse, /html, /wrong, /hang, /silent, /cut, /early (closes before the
 * handshake), /close (code 1001), /big (a message of 64 KiB), /flood (3000 messages of 1 KiB), /ping (pings, and says what came
 * back), /parts (a message in three frames with a ping between them), /together (handshake and message in one piece), /brief (a close frame too), /slow (each
 * byte on its own), /bad (a frame that is none), /binary, /headers (an answer of 32 KiB).                                     */
struct ws_server *ws_server_create(void);
/* Ends all connections. */
void ws_server_destroy(struct ws_server *server);
const char *ws_server_url(struct ws_server *server, const char *path); /* "ws://127.0.0.1:port/path"; good until the next call */
/* Connections that are open now. */
unsigned ws_server_open(struct ws_server *server);

#endif
