-- Who takes part: the admin rule, and what it and preservation make of a node before its phase asks anything.

local blocktime = require "coxswain.blocktime"

local M = {}

--- The admin rule. An enabled node works in epochs after the one in which it was enabled, and in any Inference phase; a
--- disabled one works to the end of the epoch in which it was disabled. So a disable never breaks a running epoch, and
--- an enable in the middle of a PoC waits for the next.
--- A disable with an end is ended by the broker at that moment (commands/expire_admin_state.lua): from then on the node is
--- enabled, as `after_expiry` says.
---@param node coxswain.Node needs `admin_state`
---@param world coxswain.World? nil before the first block
---@return boolean is_operational
function M.is_operational(node, world)
  local admin = node.admin_state
  if admin == nil then return true end -- nobody has said anything: enabled from the beginning
  local latest = world and world.epoch
  if latest == nil then return admin.enabled end -- without an epoch there is nothing to wait for
  if admin.enabled then return latest > admin.epoch or world.phase == "Inference" end
  return admin.epoch >= latest
end

-- Why the rule says no.
local function why_not(node)
  local admin = node.admin_state
  local why = admin.reason and (" (%s)"):format(admin.reason) or ""
  if admin.expires_at then why = (" until %s%s"):format(blocktime.format(admin.expires_at), why) end
  if admin.enabled then
    return ("enabled in epoch %d%s: it takes part from the next epoch or Inference phase on"):format(admin.epoch, why)
  end
  return ("disabled in epoch %d%s"):format(admin.epoch, why)
end

--- What a node's admin state is once it has expired. A disable that never came into force, because its own epoch still runs,
--- leaves no trace: the node goes on with what it does. Else the node is as if it were enabled now.
---@param admin coxswain.AdminState
---@param world coxswain.World? nil before the first block
---@return boolean enabled
---@return integer epoch
---@return string reason
function M.after_expiry(admin, world)
  local latest = world and world.epoch or admin.epoch
  local epoch = latest > admin.epoch and latest or math.max(admin.epoch - 1, 0)
  local why = admin.reason and (", which was: %s"):format(admin.reason) or ""
  return true, epoch, ("the time of its disable was over%s"):format(why)
end

--- What stands above the phase for this node.
---@param node coxswain.Node
---@param world coxswain.World
---@return "stopped"|"serves"|"follows" verdict must be stopped; serves inference through PoC; follows the phase
---@return string? reason in words, for the first two
function M.decide(node, world)
  if not M.is_operational(node, world) then return "stopped", why_not(node) end
  if node.preserved then return "serves", "preserved: it serves inference through the PoC of this epoch" end
  return "follows"
end

return M
