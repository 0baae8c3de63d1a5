local eligibility = require "policy.eligibility"
local fleet       = require "policy.fleet"

return {
  help = "Ends a node's admin state whose time is over. The broker sends this by itself at that moment.",
  args = { node_id = "string" },
  run = function(broker, args)
    local node = broker:node(args.node_id)
    if not node then return nil, ("node %s is not registered"):format(args.node_id), "not_found" end
    local admin = node.admin_state
    if not admin.expires_at then return broker:skip("its admin state does not expire") end
    if admin.expires_at > time.now() then return broker:skip(("its admin state goes on for another %.0f s"):format(admin.expires_at - time.now())) end
    local enabled, epoch, reason = eligibility.after_expiry(admin, broker.world)
    local is_set, message, code = broker:set_admin(args.node_id, enabled, epoch, reason)
    if not is_set then return nil, message, code end
    fleet.refresh(broker, broker:node(args.node_id)) -- read again: with its new admin state
    return { node_id = args.node_id, enabled = enabled, epoch = epoch }
  end,
}
