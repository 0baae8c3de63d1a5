/* The admin API's changes of nodes and its commands, decided by the shipped scripts. Input: requests with an empty line between them,
 * each "METHOD target" and, behind a line end, the body.                                                                           */
#include <stdlib.h>
#include <string.h>

#include "core/node_config.h"
#include "input.h"
#include "request.h"
#include "script/script.h"

static struct cox_script *script;

static struct cox_script *load(const struct cox_clock *clock) {
  struct cox_faults faults = {0};
  const struct cox_script_options options = {.scripts_dir = "scripts", .library_dir = "lua", .clock = clock, .seed = 1,
                                             .command_budget_s = 10 /* under sanitizers */};
  struct cox_script *const made = cox_script_create(&options, &faults);
  if (made == NULL) print_error("%s\n", faults.list[0].text);
  input_must(made != NULL, "the shipped scripts load");
  cox_faults_fini(&faults);
  return made;
}

/* What is registered is what a node may be, and the two ways to read it agree. */
static void look_at_nodes(struct fake *fake) {
  struct cox_buf text = {0};
  json_t *const nodes = cox_broker_nodes_json(fake->broker);
  input_must(cox_broker_nodes_text(fake->broker, &text) == 0, "there is memory");
  json_t *const read = json_loadb(text.data, text.len, 0, NULL);
  input_must(json_equal(nodes, read) != 0, "nodes as text and as values are the same");
  size_t i;
  json_t *entry;
  json_array_foreach(nodes, i, entry) {
    json_t *const node = json_copy(json_object_get(entry, "node"));
    struct cox_err err;
    input_must(json_object_del(node, "node_num") == 0, "a registered node has a number");
    json_t *const again = cox_node_config_create(node, &err);
    input_must(json_equal(node, again) != 0, "a registered node is valid and normal");
    json_decref(again);
    json_decref(node);
  }
  json_decref(read);
  json_decref(nodes);
  cox_buf_fini(&text);
}

/* "METHOD target", then the body. */
static void send_one(struct requests *requests, struct fake *fake, const char *piece, size_t size) {
  const char *const end = memchr(piece, '\n', size);
  const size_t len = end != NULL ? (size_t)(end - piece) : size;
  char method[8] = "", target[512] = "", line[600];
  if (len >= sizeof line) return;
  memcpy(line, piece, len);
  line[len] = '\0';
  if (sscanf(line, "%7s %511s", method, target) != 2) return;
  json_t *answer;
  const unsigned status = requests_send(requests, method, target, end != NULL ? end + 1 : "", end != NULL ? size - len - 1 : 0, &answer);
  input_must(status < 500, "no input is the broker's fault");
  input_must(status < 400 || json_is_string(json_object_get(answer, "error")), "an error says what is wrong");
  json_decref(answer);
  look_at_nodes(fake);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static struct fake *fake;
  if (fake == NULL) {
    input_quiet();
    fake = fake_create(-1);
    script = load(&fake->clock);
  }
  json_t *const participant = json_pack("{ss, ss}", "address", "gonka1spec", "pubkey", "Aspec");
  fake_use_policy(fake, cox_script_policy(script), participant, "http://127.0.0.1:9100");
  struct requests *const requests = requests_create(fake);
  struct input input = {(const char *)data, size};
  size_t piece_size;
  for (char *piece; (piece = input_piece(&input, "\n\n", &piece_size)) != NULL; free(piece)) send_one(requests, fake, piece, piece_size);
  requests_destroy(requests);
  for (; fake->opens > 0; fake->opens--) cox_attempt_destroy(fake->open[fake->opens - 1]);
  fake_use_policy(fake, &fake->policy, NULL, NULL);
  json_decref(participant);
  return 0;
}
