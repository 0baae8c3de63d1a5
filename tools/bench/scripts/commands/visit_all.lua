-- The plain case that benchmarks measure: a handler that visits every node and sets its intent, and decides nothing.

return {
  help = "Sets the same intent for every node.",
  args = { model = "string", tag = "string" },
  run = function(broker, args)
    local target = { status = "INFERENCE", model = args.model, args = { "--tag", args.tag } }
    local changed = 0
    for node in broker:nodes() do
      if node:intend(target, "visited") then changed = changed + 1 end
    end
    return { changed = changed }
  end,
}
