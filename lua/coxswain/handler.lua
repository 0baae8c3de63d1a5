-- Runs one command's handler: arguments, phase and sync first, then the handler itself. Says what came of it in a form that
-- the core takes over: kind, value, code.

local schema = require "coxswain.schema"

local M = {}

local function contains(list, item)
  for _, each in ipairs(list) do
    if each == item then return true end
  end
  return false
end

-- Why the command does not fit into the present moment, or nil.
local function why_not_now(command, world)
  if command.synced then
    if not world then return "no block has come yet: the phase is not known" end
    if not world.synced then return "not synced: the phase is not known" end
  end
  if not command.phases then return nil end
  local phase = world and world.phase
  if not phase then return "the phase is not known: no epoch or no parameters have come yet" end
  if contains(command.phases, phase) then return nil end
  return ("only in %s: the phase is %s at height %d"):format(table.concat(command.phases, ", "), phase, world.height)
end

--- Runs a handler.
---@param command table what its file returned
---@param name string
---@param broker coxswain.Broker
---@param args table plain values
---@return "done"|"skipped"|"refused"|"invalid" kind
---@return any value the result, or words
---@return string? code of a refusal
function M.run(command, name, broker, args)
  local is_good, message = schema.check(command.args or {}, args)
  if not is_good then return "invalid", ("command %s: %s"):format(name, message) end
  local why = why_not_now(command, broker.world)
  if why then return "skipped", why end
  local result, reason, code = command.run(broker, args)
  if broker:is_skip(result) then return "skipped", reason end
  if result == nil and reason ~= nil then return "refused", reason, code end
  return "done", result
end

return M
