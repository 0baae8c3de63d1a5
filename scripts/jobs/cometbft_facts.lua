-- Asks the chain for what blocks do not tell: whether its node is in sync, the epoch, and who serves what in it. The blocks
-- themselves come from jobs/cometbft.lua.

local feeds = require "coxswain.feed"

local LOOK_S       = 0.1 -- between two looks at what has become due
local PERIOD_LEAST = 0.5
local PERIOD_MOST  = 5

-- Once for each block, but neither too often nor too seldom; what failed is asked again soon.
local function period_s(feed, what)
  if what and feed.troubles[what] then return PERIOD_LEAST end
  return math.max(PERIOD_LEAST, math.min(PERIOD_MOST, feed.mean_s))
end

-- The node may announce an epoch a little after the block in which it begins.
local function epoch_period_s(feed)
  if feed:expects_epoch() and feed.epoch and feed.epoch.index > 0 then return LOOK_S end
  return period_s(feed, "epoch_info")
end

local function run(job)
  local feed = feeds.of(job.config)
  local never = -math.huge
  local status_s, epoch_s, set_s, set_height, start_s = never, never, never, -1, never
  while true do
    local now, is_changed = time.monotonic(), false
    if now - status_s >= period_s(feed, "status") then
      is_changed = feed:ask_status() or is_changed
      status_s = time.monotonic()
    end
    if now - epoch_s >= epoch_period_s(feed) then
      is_changed = feed:ask_epoch() or is_changed
      epoch_s = time.monotonic()
    end
    if now - start_s >= period_s(feed, "start block") then
      is_changed = feed:ask_start() or is_changed
      start_s = time.monotonic()
    end
    local height = feed.newest and feed.newest.height or -1
    if height ~= set_height or now - set_s >= period_s(feed, "epoch_group_data") then
      is_changed = feed:ask_set() or is_changed
      set_s, set_height = time.monotonic(), height
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
