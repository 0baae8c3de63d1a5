return {
  help = "Unregisters a node at once. Nothing is sent to it: what it runs, it goes on running.",
  scope = "admin",
  args = { node_id = "string" },
  run = function(broker, args) return { removed = broker:remove(args.node_id) } end,
}
