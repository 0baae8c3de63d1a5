local fleet = require "policy.fleet"

return {
  help = "Asks every eligible node that is not in training to serve inference.",
  phases = { "Inference", "PoCValidateWindDown" },
  synced = true,
  run = function(broker) return fleet.apply(broker, "inference_up_all") end,
}
