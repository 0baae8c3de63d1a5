/* What the head of a request says. */
#ifndef COX_API_HEAD_H
#define COX_API_HEAD_H

#include <stdbool.h>
#include <stddef.h>

struct MHD_Connection;
struct cox_request;

struct cox_head {
  size_t lengths, encodings; /* how many Content-Length and Transfer-Encoding headers came */
  unsigned long long length; /* of the body; 0 when none was said */
  bool is_chunked, expects_continue;
  const char *authorization, *request_id, *if_match, *if_none_match, *key; /* or NULL; borrowed from the connection */
};

void cox_head_read(struct MHD_Connection *native, struct cox_head *head);
/* Finds the route and refuses what the head alone condemns: broken framing, no token, no route, too long a body. */
void cox_request_judge(struct cox_request *request, const struct cox_head *head);

#endif
