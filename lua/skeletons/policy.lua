-- A rule of our own: `local NAME = require "policy.NAME"` in policy/phases.lua or wherever it is asked. Policy is pure: the same node and
-- world always give the same answer. Nothing here has an effect, so that new scripts can be tried on the live fleet before they go live.

local M = {}

--- Does this node keep out of proofs of compute?
---@param node coxswain.Node
---@param world coxswain.World
---@return boolean is_out
---@return string? reason for people: it goes with the target, and `coxswain node show` shows it
function M.sits_out(node, world)
  if world.command == "inference_up_all" then return false end
  if not node.id:find("^spare") then return false end
  return true, "a spare node takes no part in proofs"
end

-- What must hold before these scripts may go live; `coxswain check` tries it, and so does every reload. A node needs only what the rule
-- looks at.
M.cases = {
  { "a spare node sits out a proof",
    call = "sits_out", node = { id = "spare1" }, world = { command = "start_poc" }, expect = true },
  { "a spare node serves inference",
    call = "sits_out", node = { id = "spare1" }, world = { command = "inference_up_all" }, expect = false },
  { "any other node takes part",
    call = "sits_out", node = { id = "node1" }, world = { command = "start_poc" }, expect = false },
}

return M
