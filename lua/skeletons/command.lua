-- The command NAME: `coxswain command NAME node_id=node1`. Loading this file only declares it; `run` is called for each command, on the
-- command loop, within 100 ms. It reads and sets intents; it does no I/O and never waits (with `waits = true` it may: see the guide).

---@type coxswain.CommandFile
return {
  help = "Stops one node until the next phase command asks something else of it.", -- one line, for `coxswain commands`
  args = { node_id = "string", ["reason?"] = "string" }, -- anything else is refused before run is called
  -- phases = { "Inference" },                           -- in any other phase: skipped, and the answer says why
  run = function(broker, args)
    local node = broker:node(args.node_id)
    -- nil and a sentence refuse: the caller sees it, and nothing is changed. "not_found" makes it a 404 over HTTP.
    if not node then return nil, ("node %s is not registered"):format(args.node_id), "not_found" end
    -- Only the intent is set: the reconciler brings the node there. The reason is shown by `coxswain node show`.
    local is_changed = node:intend({ status = "STOPPED" }, args.reason or "stopped by NAME")
    return { changed = is_changed }
  end,
}
