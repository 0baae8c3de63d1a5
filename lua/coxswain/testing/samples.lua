-- Nodes and worlds as policy sees them, for cases and checks: plain tables, whole enough for any rule.

local epoch = require "coxswain.epoch"

local M = {}

--- Epochs of the network's own tests: 100 blocks, PoC from the first on.
M.PARAMS = { epoch_length = 100, poc_stage_duration = 20, poc_validation_delay = 2, poc_validation_duration = 10 }
M.EPOCH = { index = 7, poc_start_block_height = 700 }

--- A height of that epoch at which the command is due.
M.HEIGHTS = { start_poc = 705, init_validate = 725, inference_up_all = 750 }

local function with(base, changes)
  for key, value in pairs(changes or {}) do base[key] = value end
  return base
end

--- A node object as in the nodes file.
---@param changes table?
---@return table
function M.config(changes)
  return with({
    id = "node1",
    host = "10.0.0.1",
    inference_port = 5050,
    poc_port = 8080,
    max_concurrent = 10,
    models = { ["a-model"] = { args = json.array {} } },
  }, changes)
end

--- An enabled, stopped node as policy sees it.
---@param changes table?
---@return coxswain.Node
function M.node(changes)
  local node = M.config {
    node_num = 0,
    kind = "mlnode",
    intended_status = "STOPPED",
    current_status = "STOPPED",
    poc_intended_status = "IDLE",
    poc_current_status = "IDLE",
    admin_state = { enabled = true, epoch = 0 },
    is_operational = true,
    preserved = false,
  }
  return with(node, changes)
end

--- The world when that command is due.
---@param command "start_poc"|"init_validate"|"inference_up_all"
---@param changes table?
---@return coxswain.World
function M.world(command, changes)
  local params, height = epoch.read_params(M.PARAMS), M.HEIGHTS[command] or M.HEIGHTS.inference_up_all
  return with({
    command = command,
    epoch = M.EPOCH.index,
    phase = epoch.phase(height, M.EPOCH, params),
    height = height,
    hash = "B1",
    synced = true,
    params = params,
    stages = epoch.stages(M.EPOCH, params),
    poc_start_height = M.EPOCH.poc_start_block_height,
    poc_start_hash = "AB",
    poc_node_count = 1,
    participant = { address = "gonka1test", pubkey = "Atest" },
    callback_url = "http://10.0.0.5:9100",
  }, changes)
end

return M
