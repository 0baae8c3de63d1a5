/* ETags of nodes: "TAG.STATE". TAG (core/condition.h) changes when somebody changes the node, STATE with whatever is found
 * out about it. If-None-Match looks at both, If-Match at the first: a node that is probed is not edited.                   */
#ifndef COX_API_ETAG_H
#define COX_API_ETAG_H

#include <stdbool.h>

#include "core/condition.h"

enum { COX_ETAG_MAX = COX_TAG_MAX + 24 };

struct cox_request;

/* With its quotes. */
void cox_etag_write(char out[COX_ETAG_MAX], const char *tag, const char *text, size_t len);
/* Does one of the header's (NULL: none came) tags equal it, weak or not, or is it "*"? */
bool cox_etag_is_among(const char *header, const char *etag);
/* Reads If-Match and If-None-Match of the request into request->condition, for the node of that id. False: they cannot be
 * read; answered (400).                                                                                                    */
bool cox_request_require(struct cox_request *request, const char *node_id);

#endif
