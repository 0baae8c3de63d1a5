-- Runs a command that waits (`waits = true`): on a worker, with all that jobs may do, while the broker goes on.

local schema = require "coxswain.schema"

local M = {}

--- Runs it, and says what came of it in a form that the core takes over: kind and value.
---@param command table what its file returned
---@param job coxswain.Job name and configuration
---@param args table plain values
---@return "done"|"refused"|"invalid" kind
---@return any value the result, or words
function M.run(command, job, args)
  local is_good, message = schema.check(command.args or {}, args)
  if not is_good then return "invalid", ("command %s: %s"):format(job.name, message) end
  local result, reason = command.run(job, args)
  if result == nil and reason ~= nil then return "refused", reason end
  return "done", result
end

return M
