-- Keeps the hardware that is registered on the chain in step with the fleet.

local hardware = require "coxswain.hardware"

local function run(job)
  local period_s = job.config.chain and job.config.chain.sync_s or 60
  local said -- the last thing that was said, so that it is not said every minute
  time.sleep(period_s * (0.1 + 0.1 * math.random())) -- the first statuses must be known
  while true do
    local result, why = hardware.sync(job.config, {})
    local words = why or result.reason
    if result and result.sent then
      log.info("the chain has the fleet's hardware now", { new_or_modified = table.concat(result.new_or_modified, ","),
        removed = table.concat(result.removed, ","), hash = result.hash })
    elseif words and words ~= said then
      log.warn("the hardware on the chain differs or is not known", { reason = words,
        new_or_modified = result and table.concat(result.new_or_modified, ","), removed = result and table.concat(result.removed, ",") })
    end
    said = words
    time.sleep(period_s)
  end
end

return {
  help = "Every chain.sync_s seconds: tells the chain what nodes and hardware there are.",
  feed = "cometbft",
  run = run,
}
