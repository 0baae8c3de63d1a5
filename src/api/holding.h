/* The leases that live as long as their connection. Only on the connection's server thread. */
#ifndef COX_API_HOLDING_H
#define COX_API_HOLDING_H

#include <stdbool.h>

#include "core/lease.h"

struct cox_request;
struct cox_connection;

enum { COX_HOLDING_MAX = 4096 /* live leases per connection */ };

/* The request's connection holds the lease from now on, and may be idle for as long as it does. False: it holds COX_HOLDING_MAX
 * already, or out of memory.                                                                                                   */
bool cox_holding_add(struct cox_request *request, struct cox_lease_id id);
/* It was released over this connection; nothing happens when it is not held. */
void cox_holding_drop(struct cox_request *request, struct cox_lease_id id);
/* The connection closes: releases what it still holds. */
void cox_holding_end(struct cox_broker *broker, struct cox_connection *connection);

#endif
