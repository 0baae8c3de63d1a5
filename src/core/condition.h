/* What must hold of a node at the moment a command runs, so that two editors cannot overwrite each other: each says which
 * node it has seen, by a tag.                                                                                           */
#ifndef COX_CORE_CONDITION_H
#define COX_CORE_CONDITION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct cox_node;
struct cox_registry;

/* "registration-generation-hash of the configuration": it changes with everything that somebody sets on the node. */
enum { COX_TAG_MAX = 64 };
void cox_node_tag(const struct cox_node *node, char tag[COX_TAG_MAX]);
/* The same for whoever has the configuration as text (cox_json_add) without its closing bracket. */
void cox_node_tag_of(const struct cox_node *node, const char *config, size_t len, char tag[COX_TAG_MAX]);
/* Writes the digits and returns the end. */
char *cox_hex_write(char *at, uint64_t number);

enum cox_condition_kind {
  COX_CONDITION_NONE,
  COX_CONDITION_TAGGED, /* the node has one of the tags */
  COX_CONDITION_EXISTS, /* there is such a node */
  COX_CONDITION_ABSENT  /* there is none */
};

struct cox_condition {
  enum cox_condition_kind kind;
  char *node_id, *tags; /* owned; tags are separated by spaces */
};

/* Copies its texts. 0 or COX_ENOMEM. */
int cox_condition_copy(struct cox_condition *out, const struct cox_condition *from);
void cox_condition_fini(struct cox_condition *condition);
/* cox-command only. 0, or COX_EMATCH with what is otherwise. */
int cox_condition_check(const struct cox_condition *condition, const struct cox_registry *registry, struct cox_err *err);

#endif
