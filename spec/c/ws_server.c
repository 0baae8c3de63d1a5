#include "ws_server.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/thread.h"
#include "net/handshake.h"

enum { PEERS_MAX = 64, FLOOD = 3000, FLOOD_BYTES = 1024, BIG_BYTES = 64 * 1024 };

struct peer {
  struct cox_thread thread;
  struct ws_server *server;
  int fd;
};

struct ws_server {
  int fd;
  unsigned port;
  atomic_bool is_stopping;
  atomic_uint open;
  struct cox_thread thread;
  struct peer peers[PEERS_MAX];
  size_t count;
  char url[128];
};

static bool send_all(int fd, const void *bytes, size_t count) {
  for (const char *at = bytes; count > 0;) {
    const ssize_t sent = send(fd, at, count, MSG_NOSIGNAL);
    if (sent <= 0) return false;
    at += sent;
    count -= (size_t)sent;
  }
  return true;
}

/* `first` is the first byte of the frame: FIN and opcode. */
static size_t make_frame(unsigned char first, const void *payload, size_t count, unsigned char *out) {
  size_t at = 0;
  out[at++] = first;
  if (count < 126) {
    out[at++] = (unsigned char)count;
  } else if (count < 65536) {
    out[at++] = 126;
    out[at++] = (unsigned char)(count >> 8);
    out[at++] = (unsigned char)count;
  } else {
    out[at++] = 127;
    for (int shift = 56; shift >= 0; shift -= 8) out[at++] = (unsigned char)((uint64_t)count >> shift);
  }
  memcpy(out + at, payload, count);
  return at + count;
}

static bool say(int fd, unsigned char first, const void *payload, size_t count) {
  unsigned char *const frame = malloc(count + 16);
  const size_t length = make_frame(first, payload, count, frame);
  const bool is_sent = send_all(fd, frame, length);
  free(frame);
  return is_sent;
}

static bool read_all(int fd, void *bytes, size_t count) {
  for (char *at = bytes; count > 0;) {
    const ssize_t got = recv(fd, at, count, 0);
    if (got <= 0) return false;
    at += got;
    count -= (size_t)got;
  }
  return true;
}

/* The next frame, which must be masked; -1: the end. */
static int hear(int fd, char *payload, size_t size) {
  unsigned char head[2], wide[8], mask[4];
  if (!read_all(fd, head, 2) || (head[1] & 0x80) == 0) return -1;
  uint64_t count = head[1] & 0x7f;
  const size_t more = count == 126 ? 2 : count == 127 ? 8 : 0;
  if (more > 0) {
    if (!read_all(fd, wide, more)) return -1;
    count = 0;
    for (size_t i = 0; i < more; i++) count = count << 8 | wide[i];
  }
  if (count >= size || !read_all(fd, mask, 4) || !read_all(fd, payload, count)) return -1;
  for (size_t i = 0; i < count; i++) payload[i] = (char)(payload[i] ^ mask[i % 4]);
  payload[count] = '\0';
  return head[0] & 0x0f;
}

static void echo(int fd) {
  static const size_t size = 1 << 20;
  char *const text = malloc(size);
  for (int opcode; (opcode = hear(fd, text, size)) >= 0;) {
    if (opcode == 8) break;
    if (opcode == 9) say(fd, 0x8a, text, strlen(text));
    if (opcode == 1) say(fd, 0x81, text, strlen(text));
  }
  free(text);
}

/* Reads away whatever comes, until the end. */
static void read_away(int fd) {
  char waste[4096];
  while (recv(fd, waste, sizeof waste, 0) > 0) continue;
}

static void flood(int fd) {
  char text[FLOOD_BYTES + 1];
  for (int i = 1; i <= FLOOD; i++) {
    memset(text, 'x', sizeof text);
    snprintf(text, sizeof text, "%d ", i);
    text[strlen(text)] = 'x';
    if (!say(fd, 0x81, text, FLOOD_BYTES)) return;
  }
  read_away(fd);
}

static void ping(int fd) {
  char text[256], said[300];
  say(fd, 0x89, "are you there", 13);
  for (int opcode; (opcode = hear(fd, text, sizeof text)) >= 0;) {
    if (opcode != 10) continue;
    snprintf(said, sizeof said, "pong: %s", text);
    say(fd, 0x81, said, strlen(said));
  }
}

static void behave(int fd, const char *path, const char *answer) {
  unsigned char frame[256];
  char both[1024];
  if (strcmp(path, "/together") == 0) {
    const size_t length = strlen(answer);
    memcpy(both, answer, length);
    const size_t more = make_frame(0x81, "at once", 7, frame);
    memcpy(both + length, frame, more);
    send_all(fd, both, length + more);
    read_away(fd);
    return;
  }
  if (strcmp(path, "/brief") == 0) { /* handshake, message and close frame in one piece */
    const size_t length = strlen(answer);
    memcpy(both, answer, length);
    const size_t more = length + make_frame(0x81, "all at once", 11, (unsigned char *)both + length);
    send_all(fd, both, more + make_frame(0x88, "\x03\xe8", 2, (unsigned char *)both + more));
    read_away(fd);
    return;
  }
  if (strcmp(path, "/slow") == 0) {
    for (size_t i = 0; answer[i] != '\0'; i++) send_all(fd, answer + i, 1);
    const size_t count = make_frame(0x81, "byte by byte", 12, frame);
    for (size_t i = 0; i < count; i++) send_all(fd, frame + i, 1);
    read_away(fd);
    return;
  }
  if (!send_all(fd, answer, strlen(answer))) return;
  if (strcmp(path, "/echo") == 0) echo(fd);
  if (strcmp(path, "/silent") == 0) read_away(fd);
  if (strcmp(path, "/close") == 0) {
    say(fd, 0x81, "last words", 10);
    say(fd, 0x88, "\x03\xe9", 2);
    read_away(fd);
  }
  if (strcmp(path, "/cut") == 0) say(fd, 0x81, "last words", 10);
  if (strcmp(path, "/flood") == 0) flood(fd);
  if (strcmp(path, "/ping") == 0) ping(fd);
  if (strcmp(path, "/bad") == 0) {
    send_all(fd, "\x83\x00", 2);
    read_away(fd);
  }
  if (strcmp(path, "/binary") == 0) {
    say(fd, 0x82, "\0\1\xff", 3);
    read_away(fd);
  }
  if (strcmp(path, "/parts") == 0) {
    say(fd, 0x01, "one ", 4);
    say(fd, 0x89, "", 0);
    say(fd, 0x00, "two ", 4);
    say(fd, 0x80, "three", 5);
    read_away(fd);
  }
  if (strcmp(path, "/big") == 0) {
    char *const text = malloc(BIG_BYTES);
    memset(text, 'b', BIG_BYTES);
    say(fd, 0x81, text, BIG_BYTES);
    free(text);
    read_away(fd);
  }
}

static bool read_head(int fd, char *head, size_t size) {
  size_t count = 0;
  while (count + 1 < size) {
    if (recv(fd, head + count, 1, 0) != 1) return false;
    head[++count] = '\0';
    if (count >= 4 && strcmp(head + count - 4, "\r\n\r\n") == 0) return true;
  }
  return false;
}

static void converse(int fd) {
  char head[4096], path[64] = "", key[64] = "", accept[COX_HANDSHAKE_ACCEPT_BYTES], answer[512];
  if (!read_head(fd, head, sizeof head) || sscanf(head, "GET %63s", path) != 1) return;
  const char *const at = strstr(head, "Sec-WebSocket-Key: ");
  if (at != NULL) sscanf(at, "Sec-WebSocket-Key: %63s", key);
  cox_handshake_accept(key, accept);
  if (strcmp(path, "/refuse") == 0) send_all(fd, "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", 47);
  if (strcmp(path, "/html") == 0) send_all(fd, "<html>\r\n\r\n", 10);
  if (strcmp(path, "/hang") == 0) read_away(fd);
  if (strcmp(path, "/headers") == 0) {
    send_all(fd, "HTTP/1.1 101 x\r\n", 16);
    for (int i = 0; i < 1024; i++) send_all(fd, "X-Filler: 0123456789012345678\r\n", 31);
    read_away(fd);
  }
  if (strcmp(path, "/wrong") == 0) accept[0] = accept[0] == 'A' ? 'B' : 'A';
  static const char *const refusals[] = {"/refuse", "/html", "/hang", "/early", "/headers"};
  for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
    if (strcmp(path, refusals[i]) == 0) return;
  }
  snprintf(answer, sizeof answer, "HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n"
                                  "sec-websocket-accept:  %s \r\n\r\n", accept);
  behave(fd, path, answer);
}

static void serve_peer(void *arg) {
  struct peer *const peer = arg;
  converse(peer->fd);
  shutdown(peer->fd, SHUT_WR);
  read_away(peer->fd); /* so that what was sent is not lost in a reset */
  atomic_fetch_sub(&peer->server->open, 1);
}

static void accept_peers(void *arg) {
  struct ws_server *const server = arg;
  while (!atomic_load(&server->is_stopping)) {
    struct pollfd event = {.fd = server->fd, .events = POLLIN};
    if (poll(&event, 1, 50) <= 0) continue;
    const int fd = accept(server->fd, NULL, NULL);
    if (fd < 0) continue;
    assert(server->count < PEERS_MAX);
    struct peer *const peer = &server->peers[server->count++];
    *peer = (struct peer){.server = server, .fd = fd};
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    atomic_fetch_add(&server->open, 1);
    cox_thread_start(&peer->thread, "ws-peer", serve_peer, peer, NULL);
  }
}

struct ws_server *ws_server_create(void) {
  struct ws_server *const server = calloc(1, sizeof *server);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  server->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (bind(server->fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(server->fd, 64) != 0) abort();
  getsockname(server->fd, (struct sockaddr *)&address, &size);
  server->port = ntohs(address.sin_port);
  cox_thread_start(&server->thread, "ws-server", accept_peers, server, NULL);
  return server;
}

void ws_server_destroy(struct ws_server *server) {
  atomic_store(&server->is_stopping, true);
  cox_thread_join(&server->thread);
  for (size_t i = 0; i < server->count; i++) {
    shutdown(server->peers[i].fd, SHUT_RDWR);
    cox_thread_join(&server->peers[i].thread);
    close(server->peers[i].fd);
  }
  close(server->fd);
  free(server);
}

const char *ws_server_url(struct ws_server *server, const char *path) {
  snprintf(server->url, sizeof server->url, "ws://127.0.0.1:%u%s", server->port, path);
  return server->url;
}

unsigned ws_server_open(struct ws_server *server) { return atomic_load(&server->open); }
