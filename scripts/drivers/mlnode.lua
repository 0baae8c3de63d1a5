-- Brings one ML node (management API v1, the releases of 2025-08 "old" and 2026-06 "new") to its target, and probes it.
--
-- Kept in node.memory, which is saved however an attempt ends:
--   url              the node that all of this is about: another address is another machine
--   loaded           { model, args, own_args, is_ready }: the server that runs or loads, as far as we know; false: none,
--                    we stopped it; nil: unknown
--   not_ready_since  a mark (time.mark): when a load was first seen that goes on ever since
--   load_stopped_at  a mark: when a load was stopped; nil once the node has done other work since
--   rests_from       the same, and it stays: a new node must not be loaded for some seconds from then on
--   is_ending_load   a stop was sent into a load, and we have not seen its answer: it may end at any time, or have ended
--   failed_at        a mark: when a load failed, so that the node's process is about to end
--   poc              { stage, key, is_open }: the init body that was last sent; is_open: and not answered
--   poc_in_doubt     an init of something else was not answered and may still be read by the node
--   training         the key of the task that was last started; false: none; nil: unknown

local values = require "coxswain.values"

local STOP_TIMEOUT_S     = 70   -- a stop takes up to 60 s
local STOP_DOUBT_S       = 65   -- so long after an unanswered stop it may still be under way
local UP_TIMEOUT_S       = 1230 -- a load takes up to 1200 s
local START_TIMEOUT_S    = 100  -- pow/init takes 1 s and more per group of GPUs
local LOAD_MAX_S         = 1500 -- a load that is not done by then is begun anew
local READY_AFTER_UP_S   = 60   -- /health may lag 5 s behind inference/up
local REST_AFTER_LOAD_S  = 5    -- between a stop during a load and the next load, or a new node hangs
local INIT_DOUBT_S       = 0.2  -- so long after ours was answered an init that was sent before it may still be read
local OLD_ENDS_S         = 10   -- so long after a failed load the process may still be about to end
local NEW_ENDS_S         = 50
local HEALTH_TIMEOUT_S   = 5
local POLL_S             = { first = 0.2, factor = 1.5, max = 2 }
local INIT = {
  batch_size = 100,
  r_target = 1.4013564660458173,
  fraud_threshold = 1e-7,
  params = {
    dim = 1792,
    n_layers = 64,
    n_heads = 64,
    n_kv_heads = 64,
    vocab_size = 8196,
    ffn_dim_multiplier = 10.0,
    multiple_of = 8192,
    norm_eps = 1e-5,
    rope_theta = 10000,
    use_scaled_rope = false,
    seq_len = 256,
  },
}

local deadline = { INFERENCE = LOAD_MAX_S, POC = 120, STOPPED = 120, TRAINING = 300 }

-- What the node says ------------------------------------------------------------------------------------------------

-- The path of a call of an earlier attempt that was sent and not answered, so that it may still be under way; nil: none.
local function open_call(node)
  local unanswered = node.unanswered
  if not unanswered then return nil end
  local path = unanswered.call:match("/api/v1/(.*)$") or unanswered.call
  if path == "stop" and unanswered.age_s >= STOP_DOUBT_S then return nil end
  return path
end

-- A gateway in front of the node says these: what it passed on may still be under way.
local of_gateway = { [502] = true, [503] = true, [504] = true }

-- Nothing came from the node itself within somebody's patience.
local function is_silence(failure) return type(failure) == "table" and (failure.class == "timeout" or failure.status == 504) end

-- An old node in a load answers nothing after a stop until that load has ended. Nothing else can be done meanwhile.
-- Returns its first answer to GET state.
local function wait_out_silence(node, failure)
  node:extend(UP_TIMEOUT_S, "it answers nothing since POST /api/v1/stop: an old node does so until its load has ended")
  local ends = time.monotonic() + UP_TIMEOUT_S
  repeat
    local is_answered, answer = pcall(node.get, node, "/api/v1/state", { accept = { 409, 500 } })
    if is_answered then return answer end
    if not is_silence(answer) then error(answer, 0) end
    node:sleep(POLL_S.max)
  until time.monotonic() >= ends
  error(failure, 0)
end

-- Another address is another machine: nothing is known of it.
local function forget_other_machine(node)
  local memory = node.memory
  if memory.url == node.poc_url then return end
  for name in pairs(memory) do memory[name] = nil end
  memory.url = node.poc_url
end

-- GET state, answered 200, or 409 and 500.
local function get_state(node)
  local is_answered, answer = pcall(node.get, node, "/api/v1/state", { accept = { 409, 500 } })
  if is_answered then return answer end
  local unanswered = node.unanswered
  local may_be_silent = node.memory.load_stopped_at and unanswered and unanswered.call:find("/stop$") -- however long ago
  if not may_be_silent or not is_silence(answer) then error(answer, 0) end
  return wait_out_silence(node, answer)
end

-- What the node says. 409 and 500 mean that two services ran; the node has stopped them all then, so the next answer counts.
local function ask_state(node)
  local answer = get_state(node)
  if answer.status ~= 200 then
    node.memory.loaded, node.memory.poc, node.memory.training = false, nil, false
    answer = node:get("/api/v1/state")
  end
  local state = answer.json
  if type(state) ~= "table" or type(state.state) ~= "string" then
    node:fail("bad_answer", "GET /api/v1/state was answered without a state: " .. tostring(answer.body):sub(1, 100))
  end
  return state
end

-- The first look of an attempt.
local function begin(node)
  forget_other_machine(node)
  return ask_state(node)
end

local function is_new(state) return state.version ~= nil or state.inference_healthy ~= nil end

-- A request that is a question of health: no answer, or one that is not 200, means not ready.
local function is_200(node, path)
  local is_answered, answer = pcall(node.get, node, path, { base = "inference", timeout_s = HEALTH_TIMEOUT_S })
  if is_answered then return answer.status == 200 end
  if type(answer) ~= "table" or answer.class == nil then error(answer, 0) end -- a fault of ours, not the node's word
  return false
end

local function bare(url) return (tostring(url):gsub("/+$", "")) end

-- Does it serve? Where both base URLs are one address, /health is 404 on old nodes, and on new ones only says that the
-- management API lives.
local function is_serving(node, state)
  if state.state ~= "INFERENCE" then return false end
  if bare(node.poc_url) ~= bare(node.inference_url) then return is_200(node, "/health") end
  if state.inference_healthy ~= nil then return state.inference_healthy == true end
  return is_200(node, "/v1/models")
end

local begins_work = { ["inference/up"] = true, ["train/start"] = true }
local begins_poc  = { ["pow/init/generate"] = true, ["pow/init/validate"] = true }

-- Stop --------------------------------------------------------------------------------------------------------------

local function post_stop(node, state)
  local is_answered, failure = pcall(node.post, node, "/api/v1/stop", nil, { timeout_s = STOP_TIMEOUT_S })
  if is_answered then return end
  local may_load = state.state == "INFERENCE" and not is_new(state)
  if not may_load or not is_silence(failure) then error(failure, 0) end
  local after = wait_out_silence(node, failure).json
  if not after or after.state ~= "STOPPED" then node:post("/api/v1/stop", nil, { timeout_s = STOP_TIMEOUT_S }) end
end

local function note_stopped_load(memory)
  memory.load_stopped_at = time.mark()
  memory.rests_from = memory.load_stopped_at
end

-- Stops whatever runs; 200 also when nothing does. What was loaded is forgotten only when the stop was answered: one that
-- never arrived has stopped nothing.
local function stop(node, state)
  local memory = node.memory
  local is_ready = memory.loaded and memory.loaded.is_ready or state.inference_healthy == true
  local is_in_load = state.state == "INFERENCE" and not is_ready
  if is_in_load then note_stopped_load(memory) end
  local may_cross = is_in_load or memory.is_ending_load
  memory.is_ending_load = may_cross
  post_stop(node, state)
  memory.is_ending_load = nil
  if may_cross then note_stopped_load(memory) end -- it has ended only now
  memory.loaded, memory.not_ready_since, memory.poc, memory.training = false, nil, nil, false
end

-- An unanswered stop of an earlier attempt may still be under way, or it was lost: what the node says may be gone the next
-- moment, so it is not believed yet. It is not stopped again either: that would cost a whole load when the stop was lost.
-- Returns what it says when the doubt is over.
local function wait_out_doubt(node, state)
  if open_call(node) ~= "stop" then return state end
  local ends, said = time.monotonic() + STOP_DOUBT_S - node.unanswered.age_s, state.state
  while state.state == said and time.monotonic() < ends do
    node:sleep(POLL_S.max)
    state = ask_state(node)
  end
  return state
end

local function reach_stopped(node)
  local state, open = begin(node), open_call(node)
  -- Work that was asked for without an answer may begin after this: a stop ends it.
  if state.state ~= "STOPPED" or (open and open ~= "stop") then stop(node, state) end
end

-- Inference ---------------------------------------------------------------------------------------------------------

local function is_equal_list(left, right)
  left, right = left or {}, right or {}
  if #left ~= #right then return false end
  for i = 1, #left do
    if left[i] ~= right[i] then return false end
  end
  return true
end

-- The arguments that the operator configured for a model.
local function own_args(node, model)
  local configured = node.config and node.config.models and node.config.models[model]
  return configured and configured.args or {}
end

local function server_of(node, target)
  return {
    model = target.model,
    args = json.array(table.move(target.args or {}, 1, #(target.args or {}), 1, {})),
    own_args = json.array(table.move(own_args(node, target.model), 1, #own_args(node, target.model), 1, {})),
  }
end

-- What is known of the server that runs; nil: nothing.
local function known_server(node)
  if node.memory.loaded ~= nil then return node.memory.loaded or nil end
  local applied = node.applied -- outlives the memory
  if not applied or applied.status ~= "INFERENCE" or not applied.model then return nil end
  return { model = applied.model, args = applied.args or {} }
end

-- Why the server that runs or loads is not the one asked for, or nil. Other arguments count when the operator changed
-- them; when only the epoch did, they wait for the next load.
local function why_other(node, target, state)
  local known, seen = known_server(node), state.loaded_model
  if type(seen) ~= "string" then seen = nil end
  if seen and seen ~= target.model then return ("it serves %s"):format(seen) end
  if not known then return nil end
  if known.model ~= target.model then
    if seen then return nil end -- somebody else loaded the right one: nothing is known of its arguments
    return ("it was last given %s"):format(known.model)
  end
  if is_equal_list(known.args, target.args) then return nil end
  local is_operators = not known.own_args or not is_equal_list(known.own_args, own_args(node, target.model))
  return is_operators and "its arguments were changed" or nil
end

-- New nodes tell of a load that has failed. Not to be asked after an inference/up of our own, which it knows nothing of.
local function has_failed(node, state)
  if not is_new(state) then return false end
  local answer = node:get("/api/v1/inference/up/status", { accept = { 404, 405, 409 } })
  return answer.status == 200 and answer.json and answer.json.status == "failed"
end

-- What to do about a node in INFERENCE: "done", "wait", or "restart" and why. `after` is "up" or "conflict" when this
-- attempt has stopped it and asked for the load itself, with that outcome; else nil.
local function judge(node, target, state, after)
  local memory = node.memory
  local why = why_other(node, target, state)
  if why then return "restart", why end
  if is_serving(node, state) then return "done" end
  if memory.loaded then memory.loaded.is_ready = nil end
  memory.not_ready_since = memory.not_ready_since or time.mark()
  if after == "up" then return "wait" end
  if has_failed(node, state) then return "restart", "its load has failed" end
  local waited_s = time.since(memory.not_ready_since)
  if waited_s >= LOAD_MAX_S then return "restart", ("it is not ready for %d s"):format(math.floor(waited_s)) end
  return "wait"
end

-- Waits until the server is ready ("done"), is to be loaded anew ("restart", why), is gone ("gone", why), or does not serve
-- though inference/up said so ("late", why). Else the attempt's deadline ends it.
local function wait_ready(node, target, state, after)
  local started, pause_s = time.monotonic(), POLL_S.first
  while true do
    if state.state ~= "INFERENCE" then return "gone", "it says " .. state.state end
    local verdict, why = judge(node, target, state, after)
    if verdict ~= "wait" then return verdict, why end
    if after == "up" and time.monotonic() - started >= READY_AFTER_UP_S then
      return "late", ("it does not serve %d s after the answer"):format(READY_AFTER_UP_S)
    end
    node:sleep(pause_s)
    pause_s = math.min(pause_s * POLL_S.factor, POLL_S.max)
    state = ask_state(node)
  end
end

local function settle(node, target)
  local memory = node.memory
  -- Nothing known of it, or not this model: what runs is taken for what was asked for, as far as it can be seen.
  if not memory.loaded or memory.loaded.model ~= target.model then memory.loaded = server_of(node, target) end
  if is_equal_list(memory.loaded.args, target.args) then memory.loaded.own_args = server_of(node, target).own_args end
  memory.loaded.is_ready = true
  memory.not_ready_since, memory.load_stopped_at, memory.rests_from, memory.failed_at = nil, nil, nil, nil
  memory.is_ending_load = nil
end

local function rest_after_load(node, before)
  local memory = node.memory
  if memory.is_ending_load then note_stopped_load(memory) end -- nobody saw when
  local from = memory.rests_from
  if not from or not is_new(before) then return end
  local rest_s = REST_AFTER_LOAD_S - time.since(from)
  if rest_s > 0 then node:sleep(rest_s) end
end

-- The process of a node whose load failed is about to end: a load that is sent before would be lost with it. Returns what
-- the node says then; while it is gone there is no answer, which fails the attempt.
local function wait_for_end(node, state)
  local memory = node.memory
  local ends_s = is_new(state) and NEW_ENDS_S or OLD_ENDS_S
  while memory.failed_at and time.since(memory.failed_at) < ends_s do
    node:sleep(POLL_S.max)
    state = ask_state(node)
  end
  memory.failed_at = nil
  return state
end

-- A failed load makes a new node answer nothing for 35 s and exit; inference/down at once prevents that.
local function clear_failed_load(node, state, failure)
  local memory = node.memory
  memory.failed_at = time.mark()
  if is_new(state) then
    local is_down, why = pcall(node.post, node, "/api/v1/inference/down", nil, { timeout_s = 10 })
    if is_down then memory.loaded, memory.failed_at = false, nil end
    if not is_down and type(why) ~= "table" then error(why, 0) end
  end
  error(failure, 0)
end

-- POST inference/up: "up" when it was answered 200, "conflict" when something runs or loads already.
local function post_up(node, target, state)
  local memory = node.memory
  local before = memory.loaded
  memory.loaded = server_of(node, target) -- before the call: it may do its work without ever being answered
  local body = { model = target.model, dtype = "float16", additional_args = memory.loaded.args }
  local options = { timeout_s = UP_TIMEOUT_S, accept = { 409 } }
  local is_answered, answer = pcall(node.post, node, "/api/v1/inference/up", body, options)
  if is_answered then
    memory.load_stopped_at, memory.rests_from, memory.is_ending_load = nil, nil, nil
    if answer.status ~= 409 then return "up" end
    memory.loaded = before
    return "conflict"
  end
  local is_nodes_word = type(answer) == "table" and answer.class == "server" and not of_gateway[answer.status]
  if is_nodes_word then clear_failed_load(node, state, answer) end
  error(answer, 0)
end

-- Loads the target's model on a node that was stopped, and waits until it serves.
local function load_model(node, target, before)
  rest_after_load(node, before)
  local outcome = post_up(node, target, before)
  local state = ask_state(node)
  local verdict, why = wait_ready(node, target, state, outcome)
  if verdict == "done" then return end
  local class = verdict == "late" and "server" or "conflict"
  local status = outcome == "up" and 200 or 409
  node:fail(class, ("POST /api/v1/inference/up of %s was answered %d, but %s"):format(target.model, status, why))
end

local function reach_inference(node, target)
  local began, state = time.monotonic(), begin(node)
  if type(target.model) ~= "string" then
    node:fail("client", "no model to serve: name one in the node's configuration (models)")
  end
  if state.state == "INFERENCE" then
    if not why_other(node, target, state) then state = wait_out_doubt(node, state) end
    local verdict, why = wait_ready(node, target, state)
    if verdict == "done" then return settle(node, target) end
    log.info("the inference server is loaded anew", { node = node.id, model = target.model, why = why })
  end
  state = wait_for_end(node, state)
  stop(node, state)
  if time.monotonic() - began > LOAD_MAX_S - UP_TIMEOUT_S then node:extend(LOAD_MAX_S, "loading " .. target.model .. " anew") end
  load_model(node, target, state)
  settle(node, target)
end

-- Proof of compute --------------------------------------------------------------------------------------------------

local function init_body(target)
  return {
    block_hash = target.block_hash,
    block_height = target.block_height,
    public_key = target.public_key,
    batch_size = INIT.batch_size,
    r_target = INIT.r_target,
    fraud_threshold = INIT.fraud_threshold,
    params = INIT.params,
    node_id = target.node_id,
    node_count = target.node_count,
    url = target.url,
  }
end

-- All of the body that differs between two episodes or nodes.
local function episode_key(target)
  local parts = { target.block_hash, target.block_height, target.public_key, target.node_id, target.node_count, target.url }
  for i = 1, 6 do parts[i] = tostring(parts[i]) end
  return table.concat(parts, " ")
end

-- Is the node at this very stage of this very episode? pow/status names no episode: what we were answered does.
local function is_at(node, stage, key)
  local poc = node.memory.poc
  if not poc or poc.is_open or poc.stage ~= stage or poc.key ~= key or open_call(node) then return false end
  local answer = node:get("/api/v1/pow/status", { accept = { 409 } })
  return answer.status == 200 and answer.json and answer.json.status == stage
end

-- An init of something else that was not answered may be read after ours, because requests of two connections have no order:
-- then ours is sent once more. Kept until that is done, whatever becomes of this attempt.
local function note_doubt(node, stage, key)
  local memory = node.memory
  local poc = memory.poc
  local is_same = poc and poc.stage == stage and poc.key == key
  if begins_poc[open_call(node)] and not is_same then memory.poc_in_doubt = true end
end

-- A node in POW is never stopped: the same init body changes nothing there, another one begins the other episode.
local function reach_poc(node, target)
  local state, key, memory = begin(node), episode_key(target), node.memory
  if state.state == "POW" then
    if is_at(node, target.poc, key) then return end
  elseif state.state ~= "STOPPED" or begins_work[open_call(node)] then
    stop(node, state)
  end
  local path = target.poc == "VALIDATING" and "/api/v1/pow/init/validate" or "/api/v1/pow/init/generate"
  note_doubt(node, target.poc, key)
  memory.poc = { stage = target.poc, key = key, is_open = true }
  node:post(path, init_body(target), { timeout_s = START_TIMEOUT_S })
  if memory.poc_in_doubt then
    node:sleep(INIT_DOUBT_S)
    node:post(path, init_body(target), { timeout_s = START_TIMEOUT_S })
  end
  memory.loaded, memory.load_stopped_at, memory.poc_in_doubt = false, nil, nil
  memory.poc = { stage = target.poc, key = key }
end

-- Training ----------------------------------------------------------------------------------------------------------

-- The node's trainer takes strings only.
local function train_env(node, task)
  return {
    TASK_ID = tostring(task.task_id),
    NODE_ID = task.participant and ("%s/%s"):format(task.participant, node.id) or node.id,
    STORE_API_URL = tostring(task.store_url or ""),
    GLOBAL_ADDR = tostring(task.master_node_addr),
    GLOBAL_PORT = "5565",
    GLOBAL_RANK = tostring(task.rank),
    GLOBAL_UNIQUE_ID = tostring(task.rank),
    GLOBAL_WORLD_SIZE = tostring(task.world_size),
    BASE_PORT = "10001",
  }
end

local function training_key(task)
  return ("%s %s %s/%s"):format(task.task_id, task.master_node_addr, task.rank, task.world_size)
end

-- Does the node train this very task, as far as we know? Notes are short, so the whole of it stands in the target last reached only.
local function is_training(node, task)
  local noted, applied = node.memory.training, node.applied
  if noted ~= nil and noted ~= training_key(task) then return false end
  return applied ~= nil and applied.status == "TRAINING" and values.equal(applied.task, task)
end

local function reach_training(node, target)
  local state, task = begin(node), target.task
  if type(task) ~= "table" then node:fail("client", "no training task in the target: send start_training again") end
  if state.state == "TRAIN" and is_training(node, task) then
    state = wait_out_doubt(node, state)
    if state.state == "TRAIN" then return end
  end
  stop(node, state)
  local body = { train_config = task.train_config or {}, train_env = train_env(node, task) }
  node:post("/api/v1/train/start", body, { timeout_s = START_TIMEOUT_S })
  node.memory.training = training_key(task)
end

-- Probe -------------------------------------------------------------------------------------------------------------

local stages = { GENERATING = "GENERATING", VALIDATING = "VALIDATING", IDLE = "IDLE", NOT_LOADED = "IDLE" }

-- Old nodes name the stage only in pow/status; a service may end between the two questions. nil: any other word, which says nothing.
local function probe_poc(node)
  local answer = node:get("/api/v1/pow/status", { accept = { 409 } })
  return answer.status == 200 and answer.json and stages[answer.json.status] or nil
end

local statuses = { POW = "POC", INFERENCE = "INFERENCE", TRAIN = "TRAINING", STOPPED = "STOPPED" }

local function probe(node)
  local answer = node:get("/api/v1/state")
  local state = answer.json
  local status = type(state) == "table" and statuses[state.state]
  if not status then
    node:fail("bad_answer", "GET /api/v1/state was answered without a known state: " .. tostring(answer.body):sub(1, 100))
  end
  local seen = { status = status, ready = is_serving(node, state) }
  if status == "POC" then seen.poc = probe_poc(node) end
  if status == "INFERENCE" and type(state.loaded_model) == "string" then seen.model = state.loaded_model end
  return seen
end

return {
  help = "Gonka ML node, management API v1, old and new releases.",
  deadline = deadline,
  probe_deadline = 15,
  reach = {
    STOPPED = reach_stopped,
    INFERENCE = reach_inference,
    POC = reach_poc,
    TRAINING = reach_training,
  },
  probe = probe,
}
