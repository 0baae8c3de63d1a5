-- Sets the intents of one node or of all by the rule of policy/phases.lua: what all command handlers share.

local phases = require "policy.phases"

local M = {}

-- Read once per command and not once per node: with 10 000 nodes each look-up through a metatable counts.
local often_read = { "epoch", "phase", "poc_start_height", "poc_start_hash", "participant", "callback_url" }

--- The world as it is when `command` is due, with the node count of its PoC episode, and with room for what policy works out
--- once for all nodes.
---@param broker coxswain.Broker its world must be known
---@param command string? nil: none is due
---@return coxswain.World
function M.world(broker, command)
  local world = broker.world
  local view = { command = command or false, shared = {} } -- false, so that the world's own one does not shine through
  for _, name in ipairs(often_read) do view[name] = world[name] end
  if view.poc_start_hash then view.poc_node_count = broker:node_count(view.poc_start_height, view.poc_start_hash) end
  return setmetatable(view, { __index = world })
end

--- Sets the intents of all nodes as `command` asks.
---@param broker coxswain.Broker
---@param command "start_poc"|"init_validate"|"inference_up_all"
---@return { changed: integer }
function M.apply(broker, command)
  local world, intent = M.world(broker, command), phases.intent
  local changed, kept, first_why = 0, 0, nil
  for node in broker:nodes() do
    local target, reason = intent(node, world)
    if target == nil then
      kept, first_why = kept + 1, first_why or ("%s: %s"):format(node.id, reason)
    elseif node:intend(target, reason) then
      changed = changed + 1
    end
  end
  if kept > 0 then log.info("some nodes keep what they have", { command = command, nodes = kept, first = first_why }) end
  return { changed = changed }
end

--- Sets one node's intent as the command due asks. Nothing when none is due, or when we are not synced: then what we
--- know of the phase may be old.
---@param broker coxswain.Broker
---@param node coxswain.Node read after the change that makes it necessary
---@return boolean is_decided false: the node keeps what it has
---@return string reason
function M.refresh(broker, node)
  local world = broker.world
  if not (world and world.synced) then return false, "not synced: the phase is not known" end
  local target, reason = phases.intent(node, M.world(broker, world.command))
  if target == nil then return false, reason end
  node:intend(target, reason)
  return true, reason
end

return M
