return {
  help = "Ends the backoff of a node (its attempt in flight is started anew) or of all nodes, and looks at them at once.",
  args = { ["node_id?"] = "string" },
  run = function(broker, args)
    local triggered, message, code = broker:reconcile(args.node_id)
    if not triggered then return nil, message, code end
    return { triggered = triggered }
  end,
}
