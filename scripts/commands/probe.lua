return {
  help = "Probes a node, or all nodes, now.",
  priority = "low",
  args = { ["node_id?"] = "string" },
  run = function(broker, args)
    local triggered, message, code = broker:probe(args.node_id)
    if not triggered then return nil, message, code end
    return { triggered = triggered }
  end,
}
