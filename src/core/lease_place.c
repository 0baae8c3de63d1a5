/* Where leases lead to: what a grant tells of its node, counted, because a grant may outlive the node and the broker.
 *
 * Places stand side by side in blocks: each pick counts one of them, and among thousands that are scattered over the heap every one
 * costs a look into the page tables. A block goes with its last place; so a fleet whose places are replaced again and again keeps at
 * most one block a node.                                                                                                            */
#include <stdlib.h>
#include <string.h>

#include "core/json_text.h"
#include "core/lease_private.h"
#include "core/node_config.h"

enum { BLOCK_PLACES = 15, LINE_BYTES = 64 };

struct cox_lease_block {
  atomic_uint references; /* places that are there, and one of the leases while places are still made here */
  unsigned used;
  struct {
    struct cox_lease_place place;
  } __attribute__((aligned(LINE_BYTES))) places[BLOCK_PLACES];
};

static void release_block(struct cox_lease_block *block) {
  if (block != NULL && atomic_fetch_sub_explicit(&block->references, 1, memory_order_acq_rel) == 1) free(block);
}

/* Zeroed but for its references and its block; NULL: out of memory. */
static struct cox_lease_place *allocate_locked(struct cox_leases *leases) COX_REQUIRES(COX_POOL) {
  struct cox_lease_block *block = leases->block;
  if (block == NULL) {
    block = leases->block = aligned_alloc(LINE_BYTES, sizeof *block);
    if (block == NULL) return NULL;
    atomic_init(&block->references, 1);
    block->used = 0;
  }
  struct cox_lease_place *const place = &block->places[block->used++].place;
  *place = (struct cox_lease_place){.block = block};
  atomic_init(&place->references, 1);
  if (block->used < BLOCK_PLACES) atomic_fetch_add_explicit(&block->references, 1, memory_order_relaxed);
  else leases->block = NULL; /* its last place takes over the reference of the leases */
  return place;
}

static bool add_pair(struct cox_buf *buf, const char *key, const char *text) {
  return cox_buf_addf(buf, "%s\"%s\":", buf->len > 0 ? "," : "", key) && cox_json_add_text(buf, text, strlen(text));
}

static bool write_shown(struct cox_lease_place *place) {
  struct cox_buf buf = {0};
  const bool is_whole = add_pair(&buf, "node_id", place->node_id) && add_pair(&buf, "inference_url", place->inference_url) &&
                        add_pair(&buf, "poc_url", place->poc_url);
  place->shown = buf.data;
  place->shown_len = buf.len;
  return is_whole;
}

struct cox_lease_place *cox_lease_place_create_locked(struct cox_leases *leases, json_t *config) {
  char inference[COX_URL_MAX], poc[COX_URL_MAX];
  cox_node_config_url(config, false, inference);
  cox_node_config_url(config, true, poc);
  struct cox_lease_place *const place = allocate_locked(leases);
  if (place == NULL) return NULL;
  place->config = json_incref(config);
  place->node_id = json_string_value(json_object_get(config, "id"));
  place->inference_url = strdup(inference);
  place->poc_url = strdup(poc);
  if (place->inference_url != NULL && place->poc_url != NULL && write_shown(place)) return place;
  cox_lease_place_release(place);
  return NULL;
}

void cox_lease_place_release(struct cox_lease_place *place) {
  if (place == NULL || atomic_fetch_sub_explicit(&place->references, 1, memory_order_acq_rel) > 1) return;
  json_decref(place->config);
  free(place->inference_url);
  free(place->poc_url);
  free(place->shown);
  release_block(place->block);
}

void cox_lease_places_end(struct cox_leases *leases) {
  release_block(leases->block);
  leases->block = NULL;
}
