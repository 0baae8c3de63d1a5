local blocktime = require "coxswain.blocktime"
local fleet     = require "policy.fleet"

local EXPIRES_MAX_S = 10 * 366 * 86400 -- ten years: what is longer is meant without an end

-- When the state ends by itself, in seconds since 1970, or nil; false and why not.
local function expiry_of(args)
  if not (args.expires_s or args.expires_at) then return nil end
  if args.enabled then return false, "an enabled node stays enabled: expires_s and expires_at go with enabled = false" end
  if args.expires_s and args.expires_at then return false, "give either expires_s or expires_at" end
  local at = args.expires_s and time.now() + args.expires_s or blocktime.parse(args.expires_at)
  if not at then return false, ("expires_at must be a time as 2026-01-02T03:04:05Z, not %s"):format(args.expires_at) end
  local left = at - time.now()
  if left ~= left or left <= 0 then return false, "the expiry must lie in the future" end
  if left > EXPIRES_MAX_S then return false, "the expiry must lie within ten years: leave it out for a state without an end" end
  return at
end

return {
  help = "Enables or disables a node from the present epoch on (policy/eligibility.lua says what that means).",
  args = {
    node_id = "string",
    enabled = "boolean",
    ["reason?"] = "string",
    ["expires_s?"] = "number", -- a disable ends by itself after so many seconds,
    ["expires_at?"] = "string", -- or at that time (RFC 3339)
    ["epoch?"] = "integer", -- of a state that is carried over
  },
  run = function(broker, args)
    local epoch = args.epoch or broker.world and broker.world.epoch or 0
    if epoch < 0 then return nil, "epoch must not be negative" end
    local expires_at, why = expiry_of(args)
    if expires_at == false then return nil, why end
    local is_set, message, code = broker:set_admin(args.node_id, args.enabled, epoch, args.reason, expires_at)
    if not is_set then return nil, message, code end
    fleet.refresh(broker, broker:node(args.node_id)) -- read again: with its new admin state
    return { node_id = args.node_id, enabled = args.enabled, epoch = epoch, expires_at = expires_at and blocktime.format(expires_at) }
  end,
}
