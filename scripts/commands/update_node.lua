local fleet = require "policy.fleet"

return {
  help = "Replaces the configuration of a registered node; what it asks of the node is set at once.",
  scope = "admin",
  args = { node = "object" },
  run = function(broker, args)
    local node, message, code = broker:update(args.node)
    if not node then return nil, message, code end
    fleet.refresh(broker, node)
    return node:config()
  end,
}
