/* A broker with its threads, a policy in C that knows the commands of the contract, an API on a free port, and a client
 * that speaks raw HTTP over sockets, so that it can also speak it badly.                                               */
#ifndef SPEC_API_RIG_H
#define SPEC_API_RIG_H

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "api/api.h"
#include "base/lock.h"
#include "core/broker.h"
#include "core/store.h"

struct rig {
  struct cox_policy policy;
  struct cox_transport transport;
  struct cox_store store;
  struct cox_broker *broker;
  struct cox_api *api;
  struct cox_api_options options;
  struct cox_mutex mutex; /* guards the gate */
  struct cox_cond cond;
  bool is_shut;           /* the command "hold" waits as long as it is */
  unsigned held;          /* it waits now */
  int lost_races;          /* cox-command only: so many registrations are refused as known */
};

struct reply {
  int status; /* 0: the connection ended without an answer */
  char *head, *body;
  json_t *json; /* of the body, NULL when it is none */
};

/* Both take what differs from the defaults; `options` may be NULL. */
struct rig *rig_create(const struct cox_api_options *options, size_t queue_max);
void rig_destroy(struct rig *rig);
/* "hold" waits from now on; open lets everything go. */
void rig_shut(struct rig *rig);
void rig_open(struct rig *rig);
/* Until "hold" waits. */
void rig_wait_held(struct rig *rig);

/* A node that serves model m and may be leased so often at a time. */
void rig_serve(struct rig *rig, const char *id, int port, int max_concurrent);

int rig_connect(const struct rig *rig);
/* As the control socket hands connections over. */
int rig_connect_locally(const struct rig *rig);
void rig_send(int fd, const char *bytes);
/* Reads one answer; `has_body` false: to a HEAD. Waits 60 s at most. */
struct reply rig_read(int fd, bool has_body);
/* The connection ends without a byte, within 60 s. */
bool rig_is_cut(int fd);
/* One request on its own connection. `headers` ("A: b\r\n") and `body` may be NULL. */
struct reply rig_ask(const struct rig *rig, const char *method, const char *target, const char *headers, const char *body);
/* Same; only the status matters. */
int rig_status(const struct rig *rig, const char *method, const char *target, const char *body);
void reply_fini(struct reply *reply);
/* The error text of a reply, "" when there is none. */
const char *reply_error(const struct reply *reply);
/* Value of a header, in a buffer that lives until the next call; NULL: not there. */
const char *reply_header(const struct reply *reply, const char *name);

/* A node object as text, in a buffer that lives until the next call. */
const char *rig_node(const char *id, int port);

#endif
