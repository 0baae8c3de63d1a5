#include "api/holding.h"

#include <microhttpd.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "api/request.h"
#include "api/server.h"

enum { FIRST_CAPACITY = 8, KEEPALIVE_S = 15, KEEPALIVE_TIMES = 3 };

struct cox_holding {
  size_t count, capacity;
  struct cox_lease_id ids[];
};

/* A peer whose machine is gone says nothing: let the kernel ask. */
static void keep_alive(int fd) {
  const int on = 1, idle_s = KEEPALIVE_S, times = KEEPALIVE_TIMES;
  setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &idle_s, sizeof idle_s);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &times, sizeof times);
}

/* Idle as long as it holds something: neither our sweep nor the library cuts it between requests. */
static void set_idle(struct cox_request *request, bool is_holding) {
  request->connection->is_holding = is_holding;
  const unsigned idle_s = is_holding ? 0 : (unsigned)((request->connection->owner->request_us + 999999) / 1000000);
  MHD_set_connection_option(request->native, MHD_CONNECTION_OPTION_TIMEOUT, idle_s);
}

/* Leases that ended otherwise are still in the list. */
static void drop_ended(struct cox_broker *broker, struct cox_holding *holding) {
  size_t kept = 0;
  for (size_t i = 0; i < holding->count; i++) {
    if (cox_lease_is_live(broker, holding->ids[i])) holding->ids[kept++] = holding->ids[i];
  }
  holding->count = kept;
}

static bool make_room(struct cox_request *request) {
  struct cox_connection *const connection = request->connection;
  struct cox_holding *const holding = connection->holding;
  if (holding != NULL && holding->count == holding->capacity) drop_ended(request->api->options.broker, holding);
  if (holding != NULL && holding->count < holding->capacity) return true;
  const size_t capacity = holding == NULL ? FIRST_CAPACITY : holding->capacity * 2;
  if (capacity > COX_HOLDING_MAX) return false;
  struct cox_holding *const fresh = realloc(holding, sizeof *fresh + capacity * sizeof fresh->ids[0]);
  if (fresh == NULL) return false;
  if (holding == NULL) {
    fresh->count = 0;
    keep_alive(connection->fd);
  }
  fresh->capacity = capacity;
  connection->holding = fresh;
  return true;
}

bool cox_holding_add(struct cox_request *request, struct cox_lease_id id) {
  if (!make_room(request)) return false;
  struct cox_holding *const holding = request->connection->holding;
  holding->ids[holding->count++] = id;
  set_idle(request, true);
  return true;
}

void cox_holding_drop(struct cox_request *request, struct cox_lease_id id) {
  if (request->connection == NULL) return; /* a job's: whatever its client's connection holds is found to be over later */
  struct cox_holding *const holding = request->connection->holding;
  for (size_t i = 0; holding != NULL && i < holding->count; i++) {
    if (!cox_lease_id_equal(holding->ids[i], id)) continue;
    holding->ids[i] = holding->ids[--holding->count];
    if (holding->count == 0) set_idle(request, false);
    return;
  }
}

void cox_holding_end(struct cox_broker *broker, struct cox_connection *connection) {
  struct cox_holding *const holding = connection->holding;
  if (holding == NULL) return;
  for (size_t i = 0; i < holding->count; i++) cox_lease_release(broker, holding->ids[i], COX_LEASE_UNSAID, NULL);
  connection->holding = NULL;
  free(holding);
}
