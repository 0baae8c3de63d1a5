/* The HTTP face of the broker, on libmicrohttpd. */
#ifndef COX_API_API_H
#define COX_API_API_H

#include <jansson.h>

#include "base/err.h"
#include "core/broker.h"

struct cox_api;

struct cox_api_options {
  const char *listen;     /* "127.0.0.1:9200"; port 0: any free one */
  const char *token;      /* NULL: none */
  bool is_insecure;       /* allows a public address without a token */
  struct cox_broker *broker;
  json_t *config;         /* effective configuration with secrets masked; borrowed, held */
};

struct cox_api *cox_api_create(const struct cox_api_options *options, struct cox_err *err);
unsigned cox_api_port(const struct cox_api *api);
/* /readyz answers 200 from now on. */
void cox_api_set_ready(struct cox_api *api, bool is_ready);
/* Answers everything that waits (503), then stops. */
void cox_api_destroy(struct cox_api *api);

#endif
