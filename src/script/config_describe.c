/* The configuration in words, for the manual page coxswain.lua(5): what each key is for stands here, what it accepts in the schema. */
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "script/config_schema.h"
#include "script/script.h"

static const char *const words[][2] = {
    {"participant", "Who the fleet belongs to on the chain."},
    {"participant.address", "The participant's account. Needed for PoC: it names the fleet in the chain's data."},
    {"participant.pubkey", "Goes to the nodes with each PoC: they make their proofs for this key."},
    {"participant.key_file", "Signs the hardware list. Without a key or a signer the list is only compared."},
    {"participant.signer", "Signs instead of a key file: gets the document on standard input and writes r and s as 128 hex digits."},
    {"callback_url", "Nodes post their proofs to this address with /v1/poc-batches behind it. It must be reachable from the nodes."},
    {"nodes", "The fleet: the network's own node-config.json, or the same list in Lua. Read at the start and at SIGHUP."},
    {"prune", "Whether a node that left the nodes file is removed. Otherwise it is only reported."},
    {"scripts", "The policy: a folder, or a list of them that lie over each other, the first one on top; \"default\" stands for the scripts that were installed with the program, which are all there is without this key. Read at the start, at SIGHUP and at a reload."},
    {"reload", "When other scripts go live, and when they go back."},
    {"reload.watch", "Whether the folders are watched: what is saved goes live at once, if it passes its checks."},
    {"reload.failures", "So many failures among the first calls of new scripts bring the old ones back."},
    {"store", "What must survive a restart. \":memory:\": nothing survives."},
    {"feed", "Where blocks come from."},
    {"feed.kind", "cometbft follows a chain, clock makes blocks up, none waits for the command new_block."},
    {"feed.rpc", "The chain's RPC endpoint; more than one for failover, the best first."},
    {"feed.rest", "The chain's REST gateway; more than one for failover, the best first."},
    {"feed.ca_file", "Certificates (PEM) by which rpc and rest are believed, instead of those of the system."},
    {"feed.poll_s", "How often the chain is asked while there is no websocket."},
    {"feed.timeout_s", "How long one answer of the chain may take."},
    {"feed.silence_s", "So long without a block, and the endpoint is doubted. The larger of this and silence_blocks counts."},
    {"feed.silence_blocks", "The same in mean block times."},
    {"feed.block_ms", "The time between two made-up blocks."},
    {"feed.epoch", "The network's epoch parameters, in blocks."},
    {"feed.epoch.epoch_length", "From the start of one PoC to that of the next."},
    {"feed.epoch.epoch_shift", "By so much the first epoch is shorter."},
    {"feed.epoch.poc_stage_duration", "How long proofs are generated."},
    {"feed.epoch.poc_exchange_duration", "How much longer they are taken."},
    {"feed.epoch.poc_validation_delay", "From the end of generation to the start of validation."},
    {"feed.epoch.poc_validation_duration", "How long proofs are validated."},
    {"feed.epoch.set_new_validators_delay", "From the end of validation to the new epoch."},
    {"feed.epoch.inference_validation_cutoff", "How long before the end of an epoch inferences are not validated any more."},
    {"chain", "Transactions: the hardware list is kept in step with the fleet."},
    {"chain.id", "The name of the chain that a transaction is for."},
    {"chain.gas", "The limit of gas of a transaction."},
    {"chain.fee", "What a transaction pays."},
    {"chain.sync_s", "How often the list is compared."},
    {"admin", "The daemon's own doors: HTTP and the control socket."},
    {"admin.listen", "The HTTP API, metrics and dashboard. Not on loopback: only with a token."},
    {"admin.socket", "The console and local clients. Who may open it may do everything."},
    {"admin.token", "One token for everything, sent as Authorization: Bearer."},
    {"admin.tokens", "Several tokens, each with a name and a scope: read, operate or admin."},
    {"admin.insecure", "Whether the API may listen on another address than loopback without a token."},
    {"admin.tls", "HTTPS. The certificate is read again at SIGHUP."},
    {"admin.tls.cert", "The certificate, with what it is chained to."},
    {"admin.tls.key", "Its private key."},
    {"admin.tls.ca", "What clients of this configuration trust."},
    {"workers", "Threads that talk to nodes. Two serve a thousand nodes."},
    {"reconcile", "How nodes are brought to what they should be."},
    {"reconcile.interval_s", "The reconciler looks so often without being called."},
    {"reconcile.resync_s", "The command that is due is run again so often, whatever happened."},
    {"reconcile.backoff_s", "The wait after the first failed attempt on a node, and the longest wait."},
    {"probe", "How nodes are watched."},
    {"probe.interval_s", "The time between two looks at a node."},
    {"probe.timeout_s", "How long one look may take."},
    {"probe.fall", "So many bad looks in a row and a node is FAILED."},
    {"probe.rise", "So many good looks in a row and it is not any more."},
    {"leases", "The right to send one request to a node."},
    {"leases.max", "How many leases there may be."},
    {"leases.waiters_max", "How many requests may wait for one."},
    {"leases.slow_start_s", "A node that is new in service gets its full share after so long."},
    {"leases.eject_after", "So many requests in a row that did not come through eject a node from the choice."},
    {"leases.eject_s", "For how long: the first time, and at most."},
    {"leases.eject_share", "The largest share of a model's nodes that may be ejected."},
    {"log", "What is written to standard error."},
    {"log.level", "The least important lines that are written."},
    {"log.format", "How a line looks."},
};

static const char *words_of(const char *path) {
  for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
    if (strcmp(words[i][0], path) == 0) return words[i][1];
  }
  return "";
}

/* "a|b" as people write it: "a" or "b". */
static void add_choices(struct cox_buf *out, const char *choices) {
  while (*choices != '\0') {
    const size_t len = strcspn(choices, "|");
    cox_buf_addf(out, "%s\"%.*s\"", out->len > 0 ? " or " : "", (int)len, choices);
    choices += len + (choices[len] == '|');
  }
}

static json_t *describe(const struct cox_config_key *key) {
  struct cox_buf accepted = {0};
  if (key->choices != NULL) add_choices(&accepted, key->choices);
  else cox_buf_addf(&accepted, "%s", key->accepted != NULL ? key->accepted : "a table");
  json_t *const object = json_pack("{ss, sb, ss, ss}", "path", key->path, "is_group", key->type == COX_CONFIG_GROUP, "accepted",
                                   accepted.data != NULL ? accepted.data : "", "help", words_of(key->path));
  if (key->fallback != NULL && key->type != COX_CONFIG_GROUP) json_object_set_new(object, "default", json_string(key->fallback));
  if (key->only_kind != NULL) json_object_set_new(object, "only_kind", json_string(key->only_kind));
  cox_buf_fini(&accepted);
  return object;
}

json_t *cox_config_describe(void) {
  size_t count;
  const struct cox_config_key *const keys = cox_config_keys(&count);
  json_t *const list = json_array();
  for (size_t i = 0; i < count; i++) json_array_append_new(list, describe(&keys[i]));
  return list;
}
