/* The inside of a websocket, shared by socket.c (frames and requests) and socket_connect.c (the way there). */
#ifndef COX_NET_SOCKET_PRIVATE_H
#define COX_NET_SOCKET_PRIVATE_H

#include <curl/curl.h>
#include <wslay/wslay.h>

#include "base/buf.h"
#include "net/failure.h"
#include "net/handshake.h"
#include "net/socket.h"

enum { COX_SOCKET_WATCHED_MAX = 8 /* descriptors of one socket: several addresses tried at once, and the look-up's */ };

enum cox_socket_stage { COX_SOCKET_CONNECTING, COX_SOCKET_SHAKING, COX_SOCKET_IS_OPEN, COX_SOCKET_ENDED };

/* A message that has come whole. */
struct cox_socket_message {
  struct cox_socket_message *next;
  size_t length;
  char text[]; /* and a NUL */
};

struct cox_socket {
  struct cox_socket *next;
  struct cox_sockets *owner;
  void *user;
  uint64_t number;
  enum cox_socket_stage stage;
  CURLM *multi;
  CURL *easy;
  int64_t due_us; /* when libcurl wants a look */
  int fd;         /* once it is connected; -1 before */
  uint32_t events; /* asked of epoll for it */
  int watched[COX_SOCKET_WATCHED_MAX]; /* descriptors in the epoll set while libcurl has them; -1: free */
  int os_errno;
  bool is_looking; /* the name is not resolved yet */
  char detail[CURL_ERROR_SIZE];
  char *url;
  char key[COX_HANDSHAKE_KEY_BYTES];
  struct cox_buf out, in; /* of the handshake; `in` keeps what came behind the answer */
  size_t sent, taken;     /* of them */
  wslay_event_context_ptr frames;
  size_t message_max;
  struct cox_socket_message *first, *last, *current; /* inbox, and the one that the last reply borrows */
  size_t inbox, inbox_bytes;
  size_t turn;     /* bytes read in this turn */
  bool is_unread;  /* reading stopped before nothing was there */
  bool has_pong;
  /* what was asked */
  bool is_waiting, is_settled;
  enum cox_io_kind kind;
  int64_t timeout_ms;
  /* how it ended, and how the last request did */
  enum cox_class class_;
  int http_status;
  char error[COX_FAILURE_MAX];
  enum cox_class reply_class;
  char reply_error[COX_FAILURE_MAX];
};

/* It has ended; `why` goes on after the address. Whoever waits is answered. */
void cox_socket_end(struct cox_socket *socket, enum cox_class class_, const char *why);
/* Asks epoll for what it needs now. */
void cox_socket_watch(struct cox_socket *socket);
/* The handshake is done; `used` bytes of what was read were its answer. */
void cox_socket_begin_frames(struct cox_socket *socket, size_t used);

/* socket_connect.c */
bool cox_socket_prepare(struct cox_socket *socket, const struct cox_io_request *request);
/* libcurl is to look: a descriptor had events (fd -1: its time-out is due). */
void cox_socket_connect_event(struct cox_socket *socket, int fd, uint32_t events);
void cox_socket_serve_handshake(struct cox_socket *socket);
/* Connecting failed or took too long. */
void cox_socket_end_unconnected(struct cox_socket *socket, CURLcode code);
int *cox_socket_find_watched(struct cox_socket *socket, int fd);

#endif
