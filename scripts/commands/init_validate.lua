local fleet = require "policy.fleet"

return {
  help = "Asks every eligible node to validate the proofs of the present episode.",
  phases = { "PoCGenerateWindDown", "PoCValidate" }, -- generation ends before the phase does
  synced = true,
  run = function(broker) return fleet.apply(broker, "init_validate") end,
}
