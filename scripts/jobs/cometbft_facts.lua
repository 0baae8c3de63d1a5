-- Asks the chain for what blocks do not tell: whether its node is in sync, the epoch, and who serves what in it. The blocks
-- themselves come from jobs/cometbft.lua.

local feeds = require "coxswain.feed"

local LOOK_S       = 0.1 -- between two looks at what has become due
local PERIOD_LEAST = 0.5
local PERIOD_MOST  = 5

-- Once for each block, but neither too often nor too seldom.
local function period_s(feed) return math.max(PERIOD_LEAST, math.min(PERIOD_MOST, feed.mean_s)) end

local function run(job)
  local feed = feeds.of(job.config)
  local status_s, epoch_s, set_s, set_height, start_s = 0, 0, 0, -1, 0
  while true do
    local now, period, is_changed = time.now(), period_s(feed), false
    if now - status_s >= period then
      is_changed = feed:ask_status() or is_changed
      status_s = time.now()
    end
    -- The node may announce an epoch a little after the block in which it begins.
    if now - epoch_s >= (feed:expects_epoch() and feed.epoch and feed.epoch.index > 0 and LOOK_S or period) then
      is_changed = feed:ask_epoch() or is_changed
      epoch_s = time.now()
    end
    if now - start_s >= period then
      is_changed = feed:ask_start() or is_changed
      start_s = time.now()
    end
    local height = feed.newest and feed.newest.height or -1
    if height ~= set_height or now - set_s >= period then
      is_changed = feed:ask_set() or is_changed
      set_s, set_height = time.now(), height
    end
    if is_changed or feed:has_turned() then feed:send() end
    time.sleep(LOOK_S)
  end
end

return {
  help = "Asks for sync state, epoch and group data for feed kind \"cometbft\".",
  feed = "cometbft",
  run = run,
}
