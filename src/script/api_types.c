/* The shapes of plain tables that scripts get, give and declare. */
#include "script/api.h"

static const struct cox_api_field target[] = {
    {"status", "\"INFERENCE\"|\"POC\"|\"TRAINING\"|\"STOPPED\"", "what the node should be"},
    {"poc", "\"GENERATING\"|\"VALIDATING\"|nil", "which part of a PoC"},
    {"model", "string?", "the model to serve"},
    {"args", "string[]?", "its arguments"},
    {"block_height", "integer?", "start block of the PoC episode"},
    {"block_hash", "string?", "its hash"},
    {"public_key", "string?", "the participant's, for proofs"},
    {"node_id", "integer?", "the node's number in the episode"},
    {"node_count", "integer?", "parts of the episode's nonce space"},
    {"url", "string?", "where the node posts PoC batches"},
    {"task", "coxswain.Task?", "the training task"},
    {"drain_s", "number?", "seconds (up to 86400) that leases may take to end first, less when a PoC would be missed; does not count in comparison"},
    {"reason", "string?", "policy's words; does not count in comparison"},
    {NULL, NULL, NULL},
};

static const struct cox_api_field task[] = {
    {"task_id", "string", "of the network"},
    {"master_node_addr", "string", "where the ranks meet"},
    {"world_size", "integer", "number of ranks"},
    {"rank", "integer", "this node's"},
    {"participant", "string?", "address of the participant"},
    {"store_url", "string?", "where results go"},
    {"train_config", "table?", "passed on as it is"},
    {NULL, NULL, NULL},
};

static const struct cox_api_field world[] = {
    {"epoch", "integer?", "index of the latest epoch"},
    {"phase", "string?", "Inference, PoCGenerate, PoCGenerateWindDown, PoCValidate or PoCValidateWindDown"},
    {"command", "string?", "the command due: start_poc, init_validate or inference_up_all; nil: none"},
    {"height", "integer", "of the latest block"},
    {"hash", "string", "of the latest block"},
    {"time", "string|number|nil", "of the latest block"},
    {"synced", "boolean", "does the chain's node keep up?"},
    {"stale_s", "number?", "seconds since all of this was last confirmed"},
    {"stages", "table<string, any>?", "block heights of the epoch's stages"},
    {"params", "table<string, any>?", "epoch_params of the chain"},
    {"poc_start_height", "integer?", "start block of the latest PoC episode"},
    {"poc_start_hash", "string?", "its hash, when it is known"},
    {"poc_node_count", "integer?", "parts of the episode's nonce space (from policy/fleet.lua)"},
    {"shared", "table?", "room for what policy works out once for all nodes of a command (from policy/fleet.lua)"},
    {"awaits_epoch_data", "boolean?", "who serves what in this epoch is not known yet"},
    {"epoch_models", "table<string, coxswain.EpochModel[]>?", "by node id"},
    {"preserved", "table<string, boolean>?", "set of node ids"},
    {"participant", "coxswain.Participant?", "from the configuration"},
    {"callback_url", "string?", "from the configuration"},
    {NULL, NULL, NULL},
};

static const struct cox_api_field participant[] = {
    {"address", "string", "on the chain"},
    {"pubkey", "string?", "for proofs"},
    {NULL, NULL, NULL},
};

static const struct cox_api_field epoch_model[] = {
    {"id", "string", "of the model"},
    {"model_args", "string[]?", "the epoch's arguments for it"},
    {NULL, NULL, NULL},
};

static const struct cox_api_field admin_state[] = {
    {"enabled", "boolean", "as an operator set it"},
    {"epoch", "integer", "in which that was"},
    {"reason", "string?", "the operator's words"},
    {"actor", "string?", "who set it: the caller of the command; nil: nobody has"},
    {"expires_at", "number?", "when it ends by itself, in seconds since 1970"},
    {NULL, NULL, NULL},
};

static const struct cox_api_field answer[] = {
    {"status", "integer", "of HTTP"},
    {"body", "string", "as it came"},
    {"json", "any", "the body's value; nil when it is no JSON"},
    {NULL, NULL, NULL},
};

static const struct cox_api_field failure[] = {
    {"class", "\"refused\"|\"resolve\"|\"reset\"|\"timeout\"|\"conflict\"|\"server\"|\"client\"|\"bad_answer\"", "what kind of failure: the backoff follows from it"},
    {"message", "string", "one sentence"},
    {"status", "integer?", "of HTTP, when there was an answer"},
    {NULL, NULL, NULL},
};

static const struct cox_api_field request_options[] = {
    {"base", "\"poc\"|\"inference\"|nil", "which of the node's two addresses (\"poc\")"},
    {"accept", "integer[]?", "statuses from 300 on that are no failure"},
    {"timeout_s", "number?", "seconds for the whole exchange (GET 10, POST 30)"},
    {NULL, NULL, NULL},
};

static const struct cox_api_field http_options[] = {
    {"timeout_s", "number?", "seconds for the whole exchange"},
    {"max_bytes", "integer?", "of the answer, or of a websocket's message"},
    {NULL, NULL, NULL},
};

static const struct cox_api_field unanswered[] = {
    {"call", "string", "as in \"POST /api/v1/stop\""},
    {"age_s", "number", "at least so many seconds have passed since it was sent; exact until the machine of the broker starts anew"},
    {NULL, NULL, NULL},
};

static const struct cox_api_field node_entry[] = {
    {"node", "table", "the configuration, as in the nodes file"},
    {"state", "table", "as GET /admin/v1/nodes shows it"},
    {NULL, NULL, NULL},
};

static const struct cox_api_field command_answer[] = {
    {"status", "\"done\"|\"skipped\"|\"error\"", "what came of it"},
    {"result", "any", "of a command that is done"},
    {"reason", "string?", "why it was skipped"},
    {"error", "string?", "why it failed"},
    {NULL, NULL, NULL},
};

static const struct cox_api_field probe[] = {
    {"status", "string", "INFERENCE, POC, TRAINING, STOPPED or UNKNOWN"},
    {"poc", "string?", "IDLE, GENERATING or VALIDATING; nil: it cannot be told. What differs from what the node was left at is brought about again"},
    {"ready", "boolean", "does it serve inference now?"},
    {"model", "string?", "what it serves"},
    {NULL, NULL, NULL},
};

static const struct cox_api_field job[] = {
    {"name", "string", "of its file"},
    {"config", "table", "the daemon's configuration"},
    {NULL, NULL, NULL},
};

static const struct cox_api_field command_file[] = {
    {"help", "string", "one line: what it does"},
    {"scope", "\"operate\"|\"admin\"|nil", "what a token needs to send it over HTTP (\"operate\")"},
    {"priority", "\"high\"|\"low\"|nil", "of its queue (\"high\")"},
    {"args", "table<string, any>?", "the shape of its arguments, as in coxswain.schema; none: it takes none"},
    {"phases", "string[]?", "in any other phase it is skipped"},
    {"synced", "boolean?", "skipped while the chain's node does not keep up"},
    {"waits", "boolean?", "it runs beside the jobs and may do what they do: run(job, args)"},
    {"run", "fun(broker: coxswain.Broker, args: table): any, string?, string?", "returns the result; nil and a sentence refuse"},
    {NULL, NULL, NULL},
};

static const struct cox_api_field driver_file[] = {
    {"help", "string", "one line: which nodes it knows"},
    {"deadline", "table<string, number>", "seconds that an attempt may take, by status"},
    {"probe_deadline", "number?", "seconds of a probe"},
    {"reach", "table<string, fun(node: coxswain.DriverNode, target: coxswain.Target)>", "by status: brings the node there; idempotent"},
    {"probe", "fun(node: coxswain.DriverNode): coxswain.Probe", "looks, and changes nothing"},
    {NULL, NULL, NULL},
};

static const struct cox_api_field job_file[] = {
    {"help", "string", "one line: what it does"},
    {"feed", "string?", "it runs only with feed.kind of that name; none: always"},
    {"run", "fun(job: coxswain.Job)", "may loop for ever, as long as it waits"},
    {"save", "(fun(): any)?", "what must outlive a reload: a plain value"},
    {"restore", "(fun(value: any))?", "gets it in the new scripts, before run"},
    {NULL, NULL, NULL},
};

#define SHAPE(ident, label, words) \
  static const struct cox_api ident##_api = {.name = "coxswain." label, .help = words, .contexts = COX_API_CLASS, .fields = ident}
SHAPE(command_file, "CommandFile", "What a file in commands/ returns.");
SHAPE(driver_file, "DriverFile", "What a file in drivers/ returns.");
SHAPE(job_file, "JobFile", "What a file in jobs/ returns.");
SHAPE(target, "Target", "What a node should be; a policy fills in what it decides.");
SHAPE(task, "Task", "A node's part of a training task.");
SHAPE(world, "World", "The facts that policy decides from beside the node. Read it; copy before you change it.");
SHAPE(participant, "Participant", "Who we are on the chain.");
SHAPE(epoch_model, "EpochModel", "A model that a node is to serve in this epoch.");
SHAPE(admin_state, "AdminState", "Whether an operator wants the node to work.");
SHAPE(answer, "Answer", "An answer over HTTP.");
SHAPE(failure, "Failure", "Why there is no answer, or not the one that was hoped for. Raised in drivers, returned in jobs.");
SHAPE(request_options, "RequestOptions", "Options of a driver's requests.");
SHAPE(http_options, "HttpOptions", "Options of a job's requests and websockets.");
SHAPE(unanswered, "Unanswered", "A state-changing call that may still be under way.");
SHAPE(probe, "Probe", "What a probe saw.");
SHAPE(node_entry, "NodeEntry", "A node as jobs see it.");
SHAPE(command_answer, "CommandAnswer", "What came of a command.");
SHAPE(job, "Job", "What a job, and a command that waits, is given.");

const struct cox_api *const cox_api_types[] = {
    &command_file_api, &driver_file_api, &job_file_api, &target_api, &task_api, &world_api, &participant_api, &epoch_model_api,
    &admin_state_api, &answer_api, &failure_api, &request_options_api, &http_options_api, &unanswered_api, &probe_api, &node_entry_api,
    &command_answer_api, &job_api, NULL,
};
