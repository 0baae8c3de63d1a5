local fleet = require "policy.fleet"

return {
  help = "Enables or disables a node from the present epoch on (policy/eligibility.lua says what that means).",
  args = { node_id = "string", enabled = "boolean", ["reason?"] = "string", ["epoch?"] = "integer" }, -- an epoch: of a state that is carried over
  run = function(broker, args)
    local epoch = args.epoch or broker.world and broker.world.epoch or 0
    if epoch < 0 then return nil, "epoch must not be negative" end
    local is_set, message, code = broker:set_admin(args.node_id, args.enabled, epoch, args.reason)
    if not is_set then return nil, message, code end
    fleet.refresh(broker, broker:node(args.node_id)) -- read again: with its new admin state
    return { node_id = args.node_id, enabled = args.enabled, epoch = epoch }
  end,
}
