-- What each phase of the network asks of a node.

local eligibility = require "policy.eligibility"
local models      = require "policy.models"

local asks = { -- by the command due; a phase alone does not decide: in PoCGenerateWindDown validation starts at a+s
  start_poc        = { status = "POC", poc = "GENERATING" },
  init_validate    = { status = "POC", poc = "VALIDATING" },
  inference_up_all = { status = "INFERENCE" },
}

local M = {}

-- What is the same for all nodes of a command is put together once and not 10 000 times: the last answer of `make` is kept
-- with what it was made of.
local function remembered(make)
  local last_one, last_other, answer
  return function(one, other)
    if one ~= last_one or other ~= last_other or answer == nil then
      last_one, last_other, answer = one, other, make(one, other)
    end
    return answer
  end
end

local joined = remembered(function(why, source) return ("%s; %s"):format(why, source) end)

-- The target of a node that serves. Without a model it says only that: the driver then refuses with the same words.
local function serve(node, why)
  local model, args, source = models.choose(node)
  if model == nil then return { status = "INFERENCE" }, joined(why, args) end
  return { status = "INFERENCE", model = model, args = args }, joined(why, source)
end

local does = { GENERATING = "generate", VALIDATING = "validate" }

-- Why no node can be given its part of the nonce space now, or nil. Wrong numbers would be worse than no PoC: two nodes with
-- overlapping parts are taken for fraud.
local function why_no_poc(world)
  if world.poc_start_hash == nil then
    return ("the hash of PoC start block %s is not known: it was missed, and no poc_start_block_hash came"):format(
      tostring(world.poc_start_height))
  end
  if world.callback_url == nil then return "callback_url is not configured: nobody would receive the PoC batches" end
  if not (world.participant and world.participant.pubkey) then return "participant.pubkey is not configured: proofs need it" end
  if world.poc_node_count == nil then return "the node count of this PoC episode is not known" end
end

-- What gives each node its part of a PoC, by its number. All that the nodes have in common is worked out here.
local function new_prover(world, poc)
  local why_not = why_no_poc(world)
  if why_not then return function() return nil, why_not end end
  local height, hash, public_key = world.poc_start_height, world.poc_start_hash, world.participant.pubkey
  local node_count, url = world.poc_node_count, world.callback_url:gsub("/+$", "") .. "/v1/poc-batches"
  local why = ("%s: %s proofs of the episode that began at block %s"):format(world.command, does[poc], tostring(height))
  return function(node_num)
    if node_num >= node_count then
      return nil, ("it joined in the middle of this PoC episode (number %d of %d): it takes part from the next one on"):format(
        node_num, node_count)
    end
    return {
      status = "POC",
      poc = poc,
      block_height = height,
      block_hash = hash,
      public_key = public_key,
      node_id = node_num,
      node_count = node_count,
      url = url,
    }, why
  end
end

local function prove(node, world, poc)
  local shared = world.shared
  local give_part = shared and shared.give_part
  if not give_part then
    give_part = new_prover(world, poc)
    if shared then shared.give_part = give_part end
  end
  return give_part(node.node_num)
end

--- The target that the command due asks of a node. Pure: the same node and world give the same target.
---@param node  coxswain.Node
---@param world coxswain.World with `command`, and `poc_node_count` for a PoC; with `shared`, a table in which is kept what all
---nodes of the command have in common, it must stay as it is as long
---@return coxswain.Target? target nil: keep what the node has
---@return string reason in words
function M.intent(node, world)
  local ask = world and asks[world.command]
  if not ask then return nil, "no phase command is due: the node keeps what it has" end
  local verdict, why = eligibility.decide(node, world)
  if verdict == "stopped" then return { status = "STOPPED" }, why end
  if ask.status == "INFERENCE" and node.intended_status == "TRAINING" then
    return nil, "it is in training, which inference_up_all leaves alone"
  end
  if verdict == "serves" then return serve(node, why) end
  if ask.status == "INFERENCE" then return serve(node, "inference_up_all") end
  return prove(node, world, ask.poc)
end

-- Must hold before these scripts may go live.
local model = "Qwen/QwQ-32B"
local serving = { [model] = { args = { "--quantization", "fp8" } } }

local function world_of(command, changes)
  local world = {
    command = command,
    epoch = 7,
    phase = command == "start_poc" and "PoCGenerate" or command == "init_validate" and "PoCValidate" or "Inference",
    poc_start_height = 700,
    poc_start_hash = "AB01",
    poc_node_count = 2,
    participant = { address = "gonka1case", pubkey = "Acase" },
    callback_url = "http://10.0.0.5:9100",
  }
  for key, value in pairs(changes or {}) do world[key] = value end
  return world
end

local function node_of(changes)
  local node = {
    id = "node1",
    node_num = 1,
    models = serving,
    intended_status = "INFERENCE",
    admin_state = { enabled = true, epoch = 0 },
  }
  for key, value in pairs(changes or {}) do node[key] = value end
  return node
end

local disabled = { enabled = false, epoch = 6 }

M.cases = {
  { "an eligible node generates when start_poc is due",
    node = node_of(), world = world_of("start_poc"),
    expect = { status = "POC", poc = "GENERATING", block_height = 700, block_hash = "AB01", public_key = "Acase",
      node_id = 1, node_count = 2, url = "http://10.0.0.5:9100/v1/poc-batches" } },
  { "the same node validates the same episode when init_validate is due",
    node = node_of(), world = world_of("init_validate"),
    expect = { status = "POC", poc = "VALIDATING", block_height = 700, block_hash = "AB01", node_id = 1, node_count = 2 } },
  { "validation is already asked for in PoCGenerateWindDown",
    node = node_of(), world = world_of("init_validate", { phase = "PoCGenerateWindDown" }),
    expect = { status = "POC", poc = "VALIDATING" } },
  { "a node serves its configured model when inference_up_all is due",
    node = node_of(), world = world_of("inference_up_all"),
    expect = { status = "INFERENCE", model = model, args = { "--quantization", "fp8" } } },
  { "the epoch's model and arguments win",
    node = node_of { epoch_models = { { id = model, model_args = { "--quantization=awq" } } } },
    world = world_of("inference_up_all"),
    expect = { status = "INFERENCE", model = model, args = { "--quantization=awq" } } },
  { "a preserved node keeps serving through generation",
    node = node_of { preserved = true }, world = world_of("start_poc"), expect = { status = "INFERENCE", model = model } },
  { "a preserved node keeps serving through validation",
    node = node_of { preserved = true }, world = world_of("init_validate"), expect = { status = "INFERENCE", model = model } },
  { "a preserved node needs neither admin state nor models to be known as serving",
    node = { preserved = true }, world = { command = "start_poc" }, expect = { status = "INFERENCE" } },
  { "a disabled node stops once its epoch is over, preserved or not",
    node = node_of { admin_state = disabled, preserved = true }, world = world_of("start_poc"), expect = { status = "STOPPED" } },
  { "a disabled node stays stopped in the Inference phase",
    node = node_of { admin_state = disabled }, world = world_of("inference_up_all"), expect = { status = "STOPPED" } },
  { "a node disabled in this epoch goes on to its end",
    node = node_of { admin_state = { enabled = false, epoch = 7 } }, world = world_of("init_validate"),
    expect = { status = "POC", poc = "VALIDATING" } },
  { "a node enabled in the middle of a PoC waits for its end",
    node = node_of { admin_state = { enabled = true, epoch = 7 } }, world = world_of("start_poc"), expect = { status = "STOPPED" } },
  { "a node enabled in the Inference phase serves at once",
    node = node_of { admin_state = { enabled = true, epoch = 7 } }, world = world_of("inference_up_all"),
    expect = { status = "INFERENCE" } },
  { "training is left alone by inference_up_all",
    node = node_of { intended_status = "TRAINING" }, world = world_of("inference_up_all"), expect = false },
  { "training ends when a PoC starts",
    node = node_of { intended_status = "TRAINING" }, world = world_of("start_poc"), expect = { status = "POC", poc = "GENERATING" } },
  { "without the start block's hash no PoC is asked for",
    node = node_of(), world = { command = "start_poc", epoch = 7, phase = "PoCGenerate", poc_start_height = 700, poc_node_count = 2,
      participant = { pubkey = "Acase" }, callback_url = "http://10.0.0.5:9100" }, expect = false },
  { "a number outside of the episode's nonce space gets no part of it",
    node = node_of { node_num = 2 }, world = world_of("start_poc"), expect = false },
  { "where no command is due a node keeps what it has",
    node = node_of(), world = { epoch = 7, phase = "PoCValidateWindDown" }, expect = false },
}

return M
