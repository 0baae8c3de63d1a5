/* The bodies of leases, on nodes that serve. Input: requests with an empty line between them, each a line "POST", "PUT n" or "DELETE n"
 * (n: the lease that was given as the n-th, else it is taken as the id), "WAIT seconds" or "REMOVE node", and the body behind it.     */
#include <stdlib.h>
#include <string.h>

#include "input.h"
#include "lease_rig.h"
#include "request.h"

enum { GIVEN_MAX = 64 };

static char given[GIVEN_MAX][COX_LEASE_ID_TEXT];
static size_t givens;

static void keep_given(const json_t *answer) {
  const char *const id = json_string_value(json_object_get(answer, "lease_id"));
  input_must(id != NULL && strlen(id) == COX_LEASE_ID_TEXT - 1, "a lease has an id");
  if (givens < GIVEN_MAX) strcpy(given[givens++], id);
}

static void ask(struct requests *requests, const char *verb, const char *which, const char *body, size_t size) {
  const size_t n = strlen(which) < 3 && *which != '\0' ? (size_t)atoi(which) : GIVEN_MAX;
  char target[600] = "/v1/leases";
  if (strcmp(verb, "POST") != 0) snprintf(target, sizeof target, "/v1/leases/%s", n < givens ? given[n] : which);
  json_t *answer;
  const unsigned status = requests_send(requests, verb, target, body, size, &answer);
  input_must(status != 500, "no input is the broker's fault");
  if (status == 201) keep_given(answer);
  json_decref(answer);
}

static void look_at_load(struct fake *fake) {
  static const char *const ids[] = {"node1", "node2", "node3"};
  static const int most[] = {2, 1, 3};
  size_t sum = 0;
  for (size_t i = 0; i < 3; i++) {
    const int count = lease_count(fake, ids[i]);
    input_must(count <= most[i], "no node has more leases than max_concurrent");
    if (count > 0) sum += (size_t)count;
  }
  input_must(sum == lease_active(fake), "the load of the nodes is the number of leases");
}

static void do_one(struct requests *requests, struct fake *fake, const char *piece, size_t size) {
  const char *const end = memchr(piece, '\n', size);
  const size_t len = end != NULL ? (size_t)(end - piece) : size;
  char verb[8] = "", which[200] = "", line[256];
  if (len >= sizeof line) return;
  memcpy(line, piece, len);
  line[len] = '\0';
  if (sscanf(line, "%7s %199s", verb, which) < 1) return;
  if (strcmp(verb, "WAIT") == 0) fake_pass_time(fake, abs(atoi(which)) % 100000);
  else if (strcmp(verb, "REMOVE") == 0) fake_send(fake, "remove", json_pack("{ss}", "node_id", strcmp(which, "node3") == 0 ? which : "node1"));
  else ask(requests, verb, which, end != NULL ? end + 1 : "", end != NULL ? size - len - 1 : 0);
  look_at_load(fake);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  input_quiet();
  struct fake *const fake = lease_fake(NULL);
  lease_serve(fake, "node1", 5000, 2, "m", "");
  lease_serve(fake, "node2", 5001, 1, "m", "1.2.0");
  lease_serve(fake, "node3", 5002, 3, "n", "1.3.0");
  givens = 0;
  struct requests *const requests = requests_create(fake);
  struct input input = {(const char *)data, size};
  size_t piece_size;
  for (char *piece; (piece = input_piece(&input, "\n\n", &piece_size)) != NULL; free(piece)) do_one(requests, fake, piece, piece_size);
  fake_pass_time(fake, 25 * 3600);
  input_must(lease_active(fake) == 0 && lease_waiters(fake) == 0, "every lease and every wait ends");
  requests_destroy(requests);
  fake_destroy(fake);
  return 0;
}
