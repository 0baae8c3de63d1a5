---@meta _
-- Made by `coxswain meta` from the descriptions of the bindings: edit those, not this.

--- What a file in commands/ returns.
---@class coxswain.CommandFile
---@field help string # one line: what it does
---@field scope "operate"|"admin"|nil # what a token needs to send it over HTTP ("operate")
---@field priority "high"|"low"|nil # of its queue ("high")
---@field args table<string, any>? # the shape of its arguments, as in coxswain.schema; none: it takes none
---@field phases string[]? # in any other phase it is skipped
---@field synced boolean? # skipped while the chain's node does not keep up
---@field waits boolean? # it runs beside the jobs and may do what they do: run(job, args)
---@field run fun(broker: coxswain.Broker, args: table): any, string?, string? # returns the result; nil and a sentence refuse

--- What a file in drivers/ returns.
---@class coxswain.DriverFile
---@field help string # one line: which nodes it knows
---@field deadline table<string, number> # seconds that an attempt may take, by status
---@field probe_deadline number? # seconds of a probe
---@field reach table<string, fun(node: coxswain.DriverNode, target: coxswain.Target)> # by status: brings the node there; idempotent
---@field probe fun(node: coxswain.DriverNode): coxswain.Probe # looks, and changes nothing

--- What a file in jobs/ returns.
---@class coxswain.JobFile
---@field help string # one line: what it does
---@field feed string? # it runs only with feed.kind of that name; none: always
---@field run fun(job: coxswain.Job) # may loop for ever, as long as it waits
---@field save (fun(): any)? # what must outlive a reload: a plain value
---@field restore (fun(value: any))? # gets it in the new scripts, before run

--- What a node should be; a policy fills in what it decides.
---@class coxswain.Target
---@field status "INFERENCE"|"POC"|"TRAINING"|"STOPPED" # what the node should be
---@field poc "GENERATING"|"VALIDATING"|nil # which part of a PoC
---@field model string? # the model to serve
---@field args string[]? # its arguments
---@field block_height integer? # start block of the PoC episode
---@field block_hash string? # its hash
---@field public_key string? # the participant's, for proofs
---@field node_id integer? # the node's number in the episode
---@field node_count integer? # parts of the episode's nonce space
---@field url string? # where the node posts PoC batches
---@field task coxswain.Task? # the training task
---@field drain_s number? # seconds (up to 86400) that leases may take to end first, less when a PoC would be missed; does not count in comparison
---@field reason string? # policy's words; does not count in comparison

--- A node's part of a training task.
---@class coxswain.Task
---@field task_id string # of the network
---@field master_node_addr string # where the ranks meet
---@field world_size integer # number of ranks
---@field rank integer # this node's
---@field participant string? # address of the participant
---@field store_url string? # where results go
---@field train_config table? # passed on as it is

--- The facts that policy decides from beside the node. Read it; copy before you change it.
---@class coxswain.World
---@field epoch integer? # index of the latest epoch
---@field phase string? # Inference, PoCGenerate, PoCGenerateWindDown, PoCValidate or PoCValidateWindDown
---@field command string? # the command due: start_poc, init_validate or inference_up_all; nil: none
---@field height integer # of the latest block
---@field hash string # of the latest block
---@field time string|number|nil # of the latest block
---@field synced boolean # does the chain's node keep up?
---@field stale_s number? # seconds since all of this was last confirmed
---@field stages table<string, any>? # block heights of the epoch's stages
---@field params table<string, any>? # epoch_params of the chain
---@field poc_start_height integer? # start block of the latest PoC episode
---@field poc_start_hash string? # its hash, when it is known
---@field poc_node_count integer? # parts of the episode's nonce space (from policy/fleet.lua)
---@field shared table? # room for what policy works out once for all nodes of a command (from policy/fleet.lua)
---@field awaits_epoch_data boolean? # who serves what in this epoch is not known yet
---@field epoch_models table<string, coxswain.EpochModel[]>? # by node id
---@field preserved table<string, boolean>? # set of node ids
---@field participant coxswain.Participant? # from the configuration
---@field callback_url string? # from the configuration

--- Who we are on the chain.
---@class coxswain.Participant
---@field address string # on the chain
---@field pubkey string? # for proofs

--- A model that a node is to serve in this epoch.
---@class coxswain.EpochModel
---@field id string # of the model
---@field model_args string[]? # the epoch's arguments for it

--- Whether an operator wants the node to work.
---@class coxswain.AdminState
---@field enabled boolean # as an operator set it
---@field epoch integer # in which that was
---@field reason string? # the operator's words
---@field actor string? # who set it: the caller of the command; nil: nobody has
---@field expires_at number? # when it ends by itself, in seconds since 1970

--- An answer over HTTP.
---@class coxswain.Answer
---@field status integer # of HTTP
---@field body string # as it came
---@field json any # the body's value; nil when it is no JSON

--- Why there is no answer, or not the one that was hoped for. Raised in drivers, returned in jobs.
---@class coxswain.Failure
---@field class "refused"|"resolve"|"reset"|"timeout"|"conflict"|"server"|"client"|"bad_answer" # what kind of failure: the backoff follows from it
---@field message string # one sentence
---@field status integer? # of HTTP, when there was an answer

--- Options of a driver's requests.
---@class coxswain.RequestOptions
---@field base "poc"|"inference"|nil # which of the node's two addresses ("poc")
---@field accept integer[]? # statuses from 300 on that are no failure
---@field timeout_s number? # seconds for the whole exchange (GET 10, POST 30)

--- Options of a job's requests and websockets.
---@class coxswain.HttpOptions
---@field timeout_s number? # seconds for the whole exchange
---@field max_bytes integer? # of the answer, or of a websocket's message

--- A state-changing call that may still be under way.
---@class coxswain.Unanswered
---@field call string # as in "POST /api/v1/stop"
---@field age_s number # at least so many seconds have passed since it was sent; exact until the machine of the broker starts anew

--- What a probe saw.
---@class coxswain.Probe
---@field status string # INFERENCE, POC, TRAINING, STOPPED or UNKNOWN
---@field poc string? # IDLE, GENERATING or VALIDATING; nil: it cannot be told. What differs from what the node was left at is brought about again
---@field ready boolean # does it serve inference now?
---@field model string? # what it serves

--- A node as jobs see it.
---@class coxswain.NodeEntry
---@field node table # the configuration, as in the nodes file
---@field state table # as GET /admin/v1/nodes shows it

--- What came of a command.
---@class coxswain.CommandAnswer
---@field status "done"|"skipped"|"error" # what came of it
---@field result any # of a command that is done
---@field reason string? # why it was skipped
---@field error string? # why it failed

--- What a job, and a command that waits, is given.
---@class coxswain.Job
---@field name string # of its file
---@field config table # the daemon's configuration
