#include "net/transfer.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"

enum {
  POOL_MAX = 128,            /* easy handles kept for reuse */
  BODY_KEPT = 16 * 1024,     /* a buffer that grew larger is given back */
  RECEIVE_BUFFER = 1024,     /* libcurl holds one for each transfer in flight: its smallest; answers of nodes are small */
  UPLOAD_BUFFER = 16 * 1024, /* libcurl's smallest */
  IDLE_MAX_S = 30,           /* an idle connection older than this is closed at the next look into the cache */
  IDLE_MUTATING_MAX_S = 1,   /* for what must not meet a connection that its server closes just then: servers wait 5 s and more */
  ABANDONED_LIFE_US = 30000000, /* two rounds of three name servers, five seconds each */
  CONNECT_MAX_MS = 10000,    /* look-up, connection and TLS: a machine that is off must not hold up a load's 20 minutes */
  KEEPALIVE_IDLE_S = 60,     /* a load may keep a request silent for 20 minutes: notice a machine that is gone */
  KEEPALIVE_INTERVAL_S = 15,
};

/* What a file descriptor is to us, by its number. libcurl may still name one that is closed and another thread's by now. */
enum {
  SOCKET_FOREIGN, /* nothing */
  SOCKET_LOOKUP,  /* in the epoll set, made by libcurl: of a look-up */
  SOCKET_BUSY,    /* made by us, in a transfer */
  SOCKET_IDLE,    /* made by us, a connection that waits for the next request */
};

/* ---- callbacks of libcurl: they take notes only ---- */

static unsigned char socket_state(const struct cox_transfers *transfers, int fd) {
  return (size_t)fd < transfers->socket_capacity ? transfers->sockets[fd] : SOCKET_FOREIGN;
}

static bool set_socket_state(struct cox_transfers *transfers, int fd, unsigned char state) {
  if ((size_t)fd >= transfers->socket_capacity) {
    size_t capacity = transfers->socket_capacity == 0 ? 256 : transfers->socket_capacity;
    while (capacity <= (size_t)fd) capacity *= 2;
    unsigned char *const sockets = realloc(transfers->sockets, capacity);
    if (sockets == NULL) return false;
    memset(sockets + transfers->socket_capacity, SOCKET_FOREIGN, capacity - transfers->socket_capacity);
    transfers->sockets = sockets;
    transfers->socket_capacity = capacity;
  }
  transfers->sockets[fd] = state;
  return true;
}

/* A connection at rest stays watched. One that was connecting is closed already, and its number may be another thread's. */
static void unwatch(struct cox_transfers *transfers, int fd) {
  switch (socket_state(transfers, fd)) {
    case SOCKET_LOOKUP:
      epoll_ctl(transfers->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
      set_socket_state(transfers, fd, SOCKET_FOREIGN);
      break;
    case SOCKET_BUSY: set_socket_state(transfers, fd, SOCKET_IDLE); break;
    default: break;
  }
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *known) {
  (void)easy;
  struct cox_transfers *const transfers = ctx;
  if (what == CURL_POLL_REMOVE) {
    unwatch(transfers, fd);
    return 0;
  }
  struct epoll_event event = {.data.fd = fd};
  if ((what & CURL_POLL_IN) != 0) event.events |= EPOLLIN;
  if ((what & CURL_POLL_OUT) != 0) event.events |= EPOLLOUT;
  const unsigned char state = socket_state(transfers, fd);
  const bool is_watched = known != NULL || state == SOCKET_IDLE;
  if (state == SOCKET_IDLE) set_socket_state(transfers, fd, SOCKET_BUSY);
  if (state == SOCKET_FOREIGN) set_socket_state(transfers, fd, SOCKET_LOOKUP);
  /* What is remembered may be wrong: a number can be another socket's by now. */
  int rc = epoll_ctl(transfers->epoll_fd, is_watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event);
  if (rc != 0 && errno == EEXIST) rc = epoll_ctl(transfers->epoll_fd, EPOLL_CTL_MOD, fd, &event);
  if (rc != 0 && errno == ENOENT) rc = epoll_ctl(transfers->epoll_fd, EPOLL_CTL_ADD, fd, &event);
  if (rc != 0) {
    /* An error told to libcurl would end all transfers; untold, this one ends at its time-out. */
    cox_log(COX_LOG_ERROR, "net", "watching a socket failed", "reason", strerror(errno), NULL);
    return 0;
  }
  if (known == NULL) curl_multi_assign(transfers->multi, fd, transfers);
  return 0;
}

static int on_timer(CURLM *multi, long timeout_ms, void *ctx) {
  (void)multi;
  struct cox_transfers *const transfers = ctx;
  transfers->due_us = timeout_ms < 0 ? INT64_MAX : cox_clock_mono_us(transfers->clock) + (int64_t)timeout_ms * 1000;
  return 0;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *user) {
  struct cox_transfer *const transfer = user;
  if (cox_buf_add(&transfer->body, bytes, size * count)) return size * count;
  transfer->is_body_over = true;
  return 0;
}

/* One line of a header per call. libcurl takes a connection that is closed within the header for a whole answer, we do not: only
 * after the empty line is it one. A "100 Continue" has an empty line too, the next status line begins anew. Trailers come after. */
static size_t on_header(char *bytes, size_t size, size_t count, void *user) {
  struct cox_transfer *const transfer = user;
  const size_t length = size * count;
  transfer->header_len += length;
  if (length >= 5 && memcmp(bytes, "HTTP/", 5) == 0) transfer->has_header = false;
  if (length == 1 || (length == 2 && bytes[0] == '\r')) transfer->has_header = true;
  if (transfer->header_len <= COX_TRANSFER_HEADER_MAX) return length;
  transfer->is_header_over = true;
  return 0;
}

static void end_lookup(struct cox_transfer *transfer) {
  if (!transfer->is_looking) return;
  transfer->is_looking = false;
  transfer->owner->lookups--;
}

/* libcurl makes its sockets without close-on-exec; and a socket means that the name is resolved. */
static curl_socket_t on_open(void *user, curlsocktype purpose, struct curl_sockaddr *address) {
  (void)purpose;
  struct cox_transfer *const transfer = user;
  end_lookup(transfer);
  const int fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
  if (fd < 0) {
    transfer->os_errno = errno;
    return CURL_SOCKET_BAD;
  }
  if (set_socket_state(transfer->owner, fd, SOCKET_BUSY)) return fd;
  transfer->os_errno = ENOMEM;
  close(fd);
  return CURL_SOCKET_BAD;
}

static int on_close(void *ctx, curl_socket_t fd) {
  struct cox_transfers *const transfers = ctx;
  set_socket_state(transfers, fd, SOCKET_FOREIGN);
  return close(fd);
}

/* Called when a connection is there, a reused one too, before the request is sent. For a second time: the reused one turned out dead
 * and libcurl is about to repeat the request, a POST too. What changes a node is sent once.                                          */
static int on_connected(void *user, char *remote_ip, char *local_ip, int remote_port, int local_port) {
  (void)remote_ip, (void)local_ip, (void)remote_port, (void)local_port;
  struct cox_transfer *const transfer = user;
  end_lookup(transfer);
  transfer->is_repeated = transfer->is_connected && transfer->request->is_mutating;
  if (transfer->is_repeated) return CURL_PREREQFUNC_ABORT;
  transfer->is_connected = true;
  return CURL_PREREQFUNC_OK;
}

/* ---- set-up ---- */

static int make_headers(struct cox_transfers *transfers) {
  struct curl_slist *list = curl_slist_append(NULL, "Content-Type: application/json");
  if (list == NULL) return COX_ENOMEM;
  transfers->json_headers = list;
  if (curl_slist_append(list, "Expect:") == NULL) return COX_ENOMEM; /* no "100-continue": it costs a round trip */
  transfers->bare_headers = curl_slist_append(NULL, "Content-Type:");
  return transfers->bare_headers == NULL ? COX_ENOMEM : 0;
}

int cox_transfers_init(struct cox_transfers *transfers, int epoll_fd, const struct cox_clock *clock, size_t max,
                       struct cox_err *err) {
  *transfers = (struct cox_transfers){.clock = clock, .epoll_fd = epoll_fd, .due_us = INT64_MAX, .max = max};
  transfers->multi = curl_multi_init();
  if (transfers->multi == NULL || make_headers(transfers) != 0)
    return cox_err_set(err, COX_ENOMEM, "preparing a worker for HTTP failed: out of memory");
  CURLM *const multi = transfers->multi;
  curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket);
  curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, transfers);
  curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer);
  curl_multi_setopt(multi, CURLMOPT_TIMERDATA, transfers);
  /* Used and idle connections together; a new one pushes out the oldest idle one. */
  curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long)max);
  curl_multi_setopt(multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)max);
  curl_multi_setopt(multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
  return 0;
}

static void destroy(struct cox_transfer *transfer) {
  curl_easy_cleanup(transfer->easy);
  cox_buf_fini(&transfer->body);
  free(transfer);
}

void cox_transfers_fini(struct cox_transfers *transfers) {
  assert(transfers->running == 0);
  while (transfers->pool != NULL) {
    struct cox_transfer *const transfer = transfers->pool;
    transfers->pool = transfer->next;
    destroy(transfer);
  }
  if (transfers->multi != NULL) curl_multi_cleanup(transfers->multi);
  curl_slist_free_all(transfers->json_headers);
  curl_slist_free_all(transfers->bare_headers);
  free(transfers->sockets);
  *transfers = (struct cox_transfers){.epoll_fd = -1, .due_us = INT64_MAX};
}

/* What is the same for every request. False: out of memory, for texts are copied. */
static bool set_common(CURL *easy, struct cox_transfer *transfer) {
  curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->detail);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer);
  curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open);
  curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, transfer);
  curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, on_close);
  curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, transfer->owner); /* it outlives the transfer, as a connection does */
  curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_connected);
  curl_easy_setopt(easy, CURLOPT_PREREQDATA, transfer);
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L); /* else stopping a transfer waits for its look-up to end */
  curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1); /* so that a cancel closes the socket */
  curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long)RECEIVE_BUFFER);
  curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, (long)UPLOAD_BUFFER);
  curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, (long)KEEPALIVE_IDLE_S);
  curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, (long)KEEPALIVE_INTERVAL_S);
  return curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
         curl_easy_setopt(easy, CURLOPT_PROXY, "") == CURLE_OK && /* an address means itself: no proxy from the environment */
         curl_easy_setopt(easy, CURLOPT_USERAGENT, "coxswain") == CURLE_OK;
}

static struct cox_transfer *take_pooled(struct cox_transfers *transfers) {
  struct cox_transfer *transfer = transfers->pool;
  if (transfer != NULL) {
    transfers->pool = transfer->next;
    transfers->pooled--;
    return transfer;
  }
  transfer = calloc(1, sizeof *transfer);
  if (transfer == NULL) return NULL;
  transfer->owner = transfers;
  transfer->easy = curl_easy_init();
  if (transfer->easy != NULL && set_common(transfer->easy, transfer)) return transfer;
  curl_easy_cleanup(transfer->easy);
  free(transfer);
  return NULL;
}

/* The limit of the whole request is kept by the worker (cox_transfer_expire): libcurl 7.88 forgets its own when an event of the
 * socket comes within its last millisecond.                                                                                     */
static long connect_ms(const struct cox_io_request *request) {
  return request->timeout_ms < CONNECT_MAX_MS ? (long)request->timeout_ms : CONNECT_MAX_MS;
}

/* libcurl's own choice is lost when another is set, so it is put back by name. A connection is used again only for the same file. */
static bool set_trust(struct cox_transfer *transfer, const char *ca_file) {
  if (ca_file == NULL && !transfer->has_own_ca) return true;
  char *usual = NULL;
  if (ca_file == NULL) curl_easy_getinfo(transfer->easy, CURLINFO_CAINFO, &usual);
  transfer->has_own_ca = true; /* until another one is set */
  if (curl_easy_setopt(transfer->easy, CURLOPT_CAINFO, ca_file != NULL ? ca_file : usual) != CURLE_OK) return false;
  transfer->has_own_ca = ca_file != NULL;
  return true;
}

/* Each of these is set for each request, because handles are used again. */
static bool set_request(struct cox_transfer *transfer, const struct cox_io_request *request) {
  CURL *const easy = transfer->easy;
  const struct cox_transfers *const transfers = transfer->owner;
  curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, request->is_fresh ? 1L : 0L);
  curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, (long)(request->is_mutating ? IDLE_MUTATING_MAX_S : IDLE_MAX_S));
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, connect_ms(request));
  if (!set_trust(transfer, request->ca_file)) return false;
  curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, request->timeout_ms > KEEPALIVE_IDLE_S * 1000 ? 1L : 0L); /* three system calls */
  curl_easy_setopt(easy, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)transfer->body.limit);
  if (strcmp(request->method, "POST") == 0) {
    curl_easy_setopt(easy, CURLOPT_POST, 1L);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)(request->body != NULL ? request->body_len : 0));
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->body != NULL ? request->body : "");
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, request->body != NULL ? transfers->json_headers : transfers->bare_headers);
  } else {
    assert(strcmp(request->method, "GET") == 0);
    curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, NULL);
  }
  return curl_easy_setopt(easy, CURLOPT_URL, request->url) == CURLE_OK;
}

/* Does the host have to be looked up? Numbers and localhost are known without. */
static bool has_name(const char *url) {
  const char *const scheme = strstr(url, "://");
  const char *host = scheme != NULL ? scheme + 3 : url;
  size_t length = strcspn(host, "/?#");
  for (size_t i = length; i > 0; i--) {
    if (host[i - 1] != '@') continue;
    host += i;
    length -= i;
    break;
  }
  if (length == 0 || host[0] == '[') return false;
  const size_t name = strcspn(host, ":/?#");
  if (name == 9 && strncasecmp(host, "localhost", 9) == 0) return false;
  return strspn(host, "0123456789.") < name;
}

/* The thread of a look-up that is given up lives on until the resolver gives up too; nobody tells us when that is. */
static void note_abandoned(struct cox_transfer *transfer) {
  struct cox_transfers *const transfers = transfer->owner;
  if (!transfer->is_looking) return;
  transfers->abandoned_us[transfers->abandons++ % COX_TRANSFER_ABANDONED_MAX] = cox_clock_mono_us(transfers->clock);
}

/* So many threads may still be there that no more are made. */
static bool is_deserted(const struct cox_transfers *transfers) {
  if (transfers->abandons < COX_TRANSFER_ABANDONED_MAX) return false;
  const int64_t oldest_us = transfers->abandoned_us[transfers->abandons % COX_TRANSFER_ABANDONED_MAX];
  return cox_clock_mono_us(transfers->clock) - oldest_us < ABANDONED_LIFE_US;
}

enum cox_room cox_transfers_room(const struct cox_transfers *transfers, const char *url) {
  if (transfers->running >= transfers->max) return COX_ROOM_NO_SLOT;
  if (transfers->lookups < COX_TRANSFER_LOOKUPS_MAX && transfers->abandons < COX_TRANSFER_ABANDONED_MAX) return COX_ROOM_FREE;
  if (!has_name(url)) return COX_ROOM_FREE;
  return transfers->lookups >= COX_TRANSFER_LOOKUPS_MAX || is_deserted(transfers) ? COX_ROOM_NO_LOOKUP : COX_ROOM_FREE;
}

struct cox_transfer *cox_transfer_start(struct cox_transfers *transfers, const struct cox_io_request *request, void *user) {
  assert(request->kind == COX_IO_HTTP && request->timeout_ms > 0);
  struct cox_transfer *const transfer = take_pooled(transfers);
  if (transfer == NULL) return NULL;
  transfer->user = user;
  transfer->request = request;
  transfer->body.limit = request->response_max != 0 ? request->response_max : COX_TRANSFER_BODY_MAX;
  transfer->detail[0] = '\0';
  if (!set_request(transfer, request) || curl_multi_add_handle(transfers->multi, transfer->easy) != CURLM_OK) {
    cox_transfer_stop(transfer);
    return NULL;
  }
  transfer->is_running = true;
  transfers->running++;
  transfer->is_looking = has_name(request->url);
  if (transfer->is_looking) transfers->lookups++;
  return transfer;
}

static void detach(struct cox_transfer *transfer) {
  if (!transfer->is_running) return;
  const CURLMcode code = curl_multi_remove_handle(transfer->owner->multi, transfer->easy);
  assert(code == CURLM_OK); /* never from inside of a callback */
  (void)code;
  end_lookup(transfer);
  transfer->is_running = false;
  transfer->owner->running--;
}

void cox_transfer_stop(struct cox_transfer *transfer) {
  struct cox_transfers *const transfers = transfer->owner;
  if (transfer->is_running) note_abandoned(transfer);
  detach(transfer);
  if (transfer->body.capacity > BODY_KEPT) cox_buf_fini(&transfer->body);
  cox_buf_clear(&transfer->body);
  transfer->header_len = 0;
  transfer->request = NULL;
  transfer->is_connected = transfer->is_repeated = transfer->has_header = false;
  transfer->is_body_over = transfer->is_header_over = false;
  transfer->os_errno = transfer->http_status = 0;
  transfer->class_ = COX_CLASS_NONE;
  transfer->error[0] = '\0';
  if (transfers->pooled >= POOL_MAX) {
    destroy(transfer);
    return;
  }
  transfer->next = transfers->pool;
  transfers->pool = transfer;
  transfers->pooled++;
}

struct cox_io_reply cox_transfer_reply(const struct cox_transfer *transfer) {
  if (transfer->class_ != COX_CLASS_NONE) return (struct cox_io_reply){.class_ = transfer->class_, .error = transfer->error};
  return (struct cox_io_reply){
      .class_ = COX_CLASS_NONE,
      .http_status = transfer->http_status,
      .body = transfer->body.data != NULL ? transfer->body.data : "",
      .body_len = transfer->body.len,
  };
}

/* ---- the loop's side ---- */

void cox_transfers_idle_event(struct cox_transfers *transfers, int fd, uint32_t events) {
  if (socket_state(transfers, fd) != SOCKET_IDLE) return;
  struct epoll_event quiet = {.events = EPOLLIN, .data.fd = fd};
  if ((events & ~(uint32_t)EPOLLOUT) == 0) {
    epoll_ctl(transfers->epoll_fd, EPOLL_CTL_MOD, fd, &quiet);
    return;
  }
  epoll_ctl(transfers->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
  shutdown(fd, SHUT_RDWR);
}

void cox_transfers_event(struct cox_transfers *transfers, int fd, uint32_t events) {
  if (socket_state(transfers, fd) == SOCKET_IDLE) return; /* since a moment; or it is closed: then the number may be another's */
  int what = 0;
  if ((events & EPOLLIN) != 0) what |= CURL_CSELECT_IN;
  if ((events & EPOLLOUT) != 0) what |= CURL_CSELECT_OUT;
  if ((events & (EPOLLERR | EPOLLHUP)) != 0) what |= CURL_CSELECT_ERR;
  int running;
  curl_multi_socket_action(transfers->multi, fd, what, &running);
}

void cox_transfers_tick(struct cox_transfers *transfers, int64_t now_us) {
  if (transfers->due_us > now_us) return;
  transfers->due_us = INT64_MAX; /* libcurl sets it anew from inside of this call */
  int running;
  curl_multi_socket_action(transfers->multi, CURL_SOCKET_TIMEOUT, 0, &running);
}

/* Must be asked while libcurl still has the transfer. */
static void conclude(struct cox_transfer *transfer, CURLcode code) {
  CURL *const easy = transfer->easy;
  long status = 0, os_errno = 0;
  curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
  curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &os_errno);
  transfer->http_status = (int)status;
  if (code == CURLE_OK && transfer->has_header) {
    transfer->class_ = COX_CLASS_NONE;
    return;
  }
  const size_t received = transfer->header_len + transfer->body.len;
  const struct cox_failure failure = {
      .code = code == CURLE_OK ? CURLE_PARTIAL_FILE : transfer->is_repeated ? CURLE_GOT_NOTHING : code,
      .method = transfer->request->method,
      .url = transfer->request->url,
      .detail = transfer->detail,
      .os_errno = transfer->os_errno != 0 ? transfer->os_errno : (int)os_errno,
      .timeout_ms = transfer->request->timeout_ms,
      .connect_ms = connect_ms(transfer->request),
      .received = received,
      .body_max = transfer->body.limit,
      .header_max = COX_TRANSFER_HEADER_MAX,
      .is_body_over = transfer->is_body_over,
      .is_header_over = transfer->is_header_over,
      .is_looking = transfer->is_looking,
      .is_connected = transfer->is_connected,
      .has_header = transfer->has_header,
  };
  transfer->class_ = cox_failure_describe(&failure, transfer->error);
}

void cox_transfer_expire(struct cox_transfer *transfer) {
  if (!transfer->is_running) return;
  conclude(transfer, CURLE_OPERATION_TIMEDOUT);
  note_abandoned(transfer);
  detach(transfer);
}

struct cox_transfer *cox_transfers_take_done(struct cox_transfers *transfers) {
  int left;
  const CURLMsg *message;
  do {
    message = curl_multi_info_read(transfers->multi, &left);
  } while (message != NULL && message->msg != CURLMSG_DONE);
  if (message == NULL) return NULL;
  struct cox_transfer *transfer = NULL;
  curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&transfer);
  const CURLcode code = message->data.result; /* the message is gone once the handle is removed */
  conclude(transfer, code);
  if (code == CURLE_OPERATION_TIMEDOUT) note_abandoned(transfer);
  detach(transfer);
  return transfer;
}
