/* One connection of the control socket: bytes in, requests out, answers back. Belongs to cox-control. */
#ifndef COX_CONSOLE_CONTROL_PEER_H
#define COX_CONSOLE_CONTROL_PEER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "console/control_session.h"

enum { COX_PEER_REQUESTS_MAX = 16 }; /* handed on at a time; the rest waits in the connection */

enum cox_peer_language { COX_PEER_UNKNOWN, COX_PEER_FRAMES, COX_PEER_TEXT, COX_PEER_HTTP };

struct cox_peer {
  int fd; /* -1: unused */
  uint64_t number;
  enum cox_peer_language language;
  struct cox_console_caller caller;
  struct cox_buf in, out;
  size_t sent;                         /* of out */
  struct cox_control_session *session; /* NULL: no request yet */
  size_t requests;  /* handed to the session and not ended */
  bool has_spoken;  /* a whole request came */
  bool is_eof;      /* it closed its side: what it said before is still answered */
  bool is_ended;    /* it said something wrong, or good bye: nothing more is read, and it is closed when all is answered */
  bool is_full;     /* as many requests as one may have: the rest waits in `in` */
  int64_t since_us; /* of the connection, of its last progress in taking answers */
};

/* What a peer needs from the whole. */
struct cox_peer_host {
  void *arg;
  /* A thread for the peer's requests; NULL with the reason. */
  struct cox_control_session *(*open_session)(void *arg, struct cox_peer *peer, struct cox_err *err);
  bool has_http;
};

void cox_peer_init(struct cox_peer *peer, int fd, uint64_t number, const struct cox_console_caller *caller, int64_t now_us);
void cox_peer_fini(struct cox_peer *peer); /* closes; the session is not its matter */
/* Reads what is there. False: cut it now. Language COX_PEER_HTTP: nothing was read, the descriptor is for somebody else. */
bool cox_peer_read(struct cox_peer *peer, const struct cox_peer_host *host);
/* Hands on the requests that are in `in`, as many as may be. */
void cox_peer_parse(struct cox_peer *peer, const struct cox_peer_host *host);
/* Puts an answer into `out`, in the peer's language; takes it. False: too much waits, cut it. */
bool cox_peer_answer(struct cox_peer *peer, json_t *answer);
/* Sends what it takes. False: cut it. */
bool cox_peer_write(struct cox_peer *peer, int64_t now_us);
/* Nothing more will come of it. */
bool cox_peer_is_over(const struct cox_peer *peer);

#endif
