local fleet = require "policy.fleet"

return {
  help = "Asks every eligible node to generate proofs of compute.",
  phases = { "PoCGenerate" },
  synced = true,
  run = function(broker) return fleet.apply(broker, "start_poc") end,
}
