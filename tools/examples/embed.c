/* The broker inside of a program: starts one with a clock for a chain and one node, then listens, leases, calls and releases.
 *
 *   cc embed.c $(pkg-config --cflags --libs coxswain) -o embed && ./embed HOST PORT [MODEL]
 *
 * HOST and PORT: of an ML node, management and inference on one port; `coxswain sim mlnodes --count 1 --port PORT` makes one. */
#include <coxswain/coxswain.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <threads.h>
#include <time.h>

enum { WAIT_MS = 30000 };

static const char config_format[] =
    "{\"participant\": {\"address\": \"gonka1example\", \"pubkey\": \"Aexample\"}, \"callback_url\": \"http://127.0.0.1:9100\","
    " \"store\": \":memory:\", \"admin\": {\"listen\": \"127.0.0.1:0\", \"socket\": \"embed-%ld.sock\"}, \"log\": {\"level\": \"error\"},"
    " \"feed\": {\"kind\": \"none\"},"
    " \"nodes\": [{\"id\": \"node1\", \"host\": \"%s\", \"inference_port\": %s, \"poc_port\": %s, \"max_concurrent\": 2,"
    " \"models\": {\"%s\": {\"args\": []}}}]}";

static void granted(void *arg, int code, struct coxswain_lease *lease) {
  struct coxswain *const cox = arg;
  if (code != COXSWAIN_OK) return;
  printf("handed over: a lease of %s\n", lease->node_id);
  coxswain_release(cox, lease->id, COXSWAIN_SUCCESS, NULL);
  coxswain_lease_fini(lease);
}

/* On a thread of its own: it may take its time. */
static void happened(void *arg, const char *event_json) {
  printf("event: %s\n", event_json);
  atomic_fetch_add((atomic_uint *)arg, 1);
}

static int work(struct coxswain *cox, const char *model) {
  struct coxswain_error error;
  char *answer = NULL;
  if (coxswain_command(cox, "new_block",
                       "{\"height\": 50, \"hash\": \"AB\", \"epoch\": {\"index\": 1, \"poc_start_block_height\": 0},"
                       " \"params\": {\"epoch_length\": 1000, \"poc_stage_duration\": 10, \"poc_validation_delay\": 2,"
                       " \"poc_validation_duration\": 10}}", WAIT_MS, &answer, &error) != COXSWAIN_OK) {
    fprintf(stderr, "new_block: %s\n", error.text);
    return 1;
  }
  printf("new_block: %s\n", answer);
  free(answer);
  const struct coxswain_request request = {.model = model, .tenant = "example", .ttl_ms = 60000};
  struct coxswain_lease lease[2];
  for (int i = 0; i < 2; i++) { /* waits until the node serves */
    if (coxswain_acquire(cox, &request, WAIT_MS, &lease[i], &error) != COXSWAIN_OK) {
      fprintf(stderr, "acquire: %s\n", error.text);
      return 1;
    }
    printf("leased %s: send to %s/v1/chat/completions\n", lease[i].node_id, lease[i].inference_url);
  }
  if (coxswain_acquire_async(cox, &request, WAIT_MS, granted, cox, NULL, &error) != COXSWAIN_OK) return 1;
  for (int i = 0; i < 2; i++) { /* the first release hands its slot to the one that waits */
    coxswain_release(cox, lease[i].id, COXSWAIN_SUCCESS, NULL);
    coxswain_lease_fini(&lease[i]);
  }
  const int again = coxswain_release(cox, lease[0].id, COXSWAIN_SUCCESS, &error);
  printf("a second release: %s\n", again == COXSWAIN_GONE ? error.text : "?");
  return again == COXSWAIN_GONE ? 0 : 1;
}

int main(int argc, char **argv) {
  if (argc < 3) {
    fprintf(stderr, "usage: %s HOST PORT [MODEL]\n", argv[0]);
    return 2;
  }
  const char *const model = argc > 3 ? argv[3] : "Qwen/QwQ-32B";
  char config[2048];
  snprintf(config, sizeof config, config_format, (long)time(NULL), argv[1], argv[2], argv[2], model);
  struct coxswain_error error;
  struct coxswain *const cox = coxswain_start(NULL, config, &error);
  if (cox == NULL) {
    fprintf(stderr, "start: %s\n", error.text);
    return 1;
  }
  const struct coxswain_filter filter = {.kind = "status", .node_id = "node1"};
  struct coxswain_subscription *subscription;
  atomic_uint events = 0;
  if (coxswain_subscribe(cox, 0, &filter, happened, &events, &subscription, &error) != COXSWAIN_OK) {
    fprintf(stderr, "subscribe: %s\n", error.text);
    coxswain_stop(cox);
    return 1;
  }
  const int exit_code = work(cox, model);
  for (int i = 0; i < 1000 && events == 0; i++) thrd_sleep(&(struct timespec){.tv_nsec = 10000000}, NULL); /* they come a little later */
  coxswain_unsubscribe(subscription); /* nothing is called after this */
  coxswain_stop(cox);
  return exit_code;
}
