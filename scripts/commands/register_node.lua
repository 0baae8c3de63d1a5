local fleet = require "policy.fleet"

return {
  help = "Registers a new node; it is enabled and takes part by the rule of the present phase.",
  scope = "admin",
  args = { node = "object" },
  run = function(broker, args)
    local id = args.node.id
    if type(id) == "string" and broker:node(id) then
      return nil, ("node %s is registered already: change it with update_node"):format(id)
    end
    local node, message = broker:register(args.node)
    if not node then return nil, message end
    fleet.refresh(broker, node)
    return node:config()
  end,
}
