/* Answers made wrong on purpose: what proxies, old versions and bugs make of good ones. */
#ifndef COX_SIM_CHAIN_SPOIL_H
#define COX_SIM_CHAIN_SPOIL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

/* A copy in which every value that is no object has another type. A new reference. */
json_t *cox_chain_spoil_types(const json_t *answer);
/* A copy in which all fields at that depth (1: outermost) are null. A new reference. */
json_t *cox_chain_spoil_nulls(const json_t *answer, int64_t depth);
/* Pads an object's text to at least that many bytes of valid JSON by a first field of its own. False: out of memory. */
bool cox_chain_spoil_size(struct cox_buf *text, size_t least_bytes);
/* What a reverse proxy says instead of the node behind it. */
const char *cox_chain_spoil_page(bool is_bad_gateway);

#endif
