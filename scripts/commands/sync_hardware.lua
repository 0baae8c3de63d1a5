local hardware = require "coxswain.hardware"

return {
  help = "Compares the fleet with the hardware registered on the chain, and sends the difference when there is a key.",
  waits = true,
  run = function(job) return hardware.sync(job.config, { may_empty = true }) end,
}
