-- The feed of `feed = { kind = "clock", block_ms, epoch = {…}, start_height? }`: a chain that this process makes up.
--
-- Blocks begin at start_height (default 1), one each block_ms. Epoch 0 comes first; epoch 1 starts its PoC half an
-- epoch_length later, and each further epoch one epoch_length after the one before: a(1) = start_height + epoch_length // 2,
-- a(i+1) = a(i) + epoch_length. Hashes follow from the height alone, so a restart tells the same story.

local BEHIND_MAX = 10 -- blocks; further behind (a suspended machine), those between are left out: each block says all
local AHEAD_MAX  = 2  -- blocks; a clock that was set back must not silence the feed

-- Mixes 64 bits (SplitMix64, Steele, Lea and Flood 2014); integers wrap around.
local function mix(x)
  x = (x ~ (x >> 30)) * 0xBF58476D1CE4E5B9
  x = (x ~ (x >> 27)) * 0x94D049BB133111EB
  return x ~ (x >> 31)
end

-- 64 upper-case hex digits, as the chain's own hashes.
local function hash_of(height)
  local words = {}
  for i = 1, 4 do words[i] = ("%016X"):format(mix(height * 4 + i * 0x9E3779B97F4A7C15)) end
  return table.concat(words)
end

-- The newest epoch at a height, with the hash of its start block.
local function epoch_at(height, start_height, epoch_length)
  local first = start_height + epoch_length // 2
  if height < first then return { index = 0, poc_start_block_height = 0 } end
  local passed = (height - first) // epoch_length
  local start = first + passed * epoch_length
  return { index = passed + 1, poc_start_block_height = start, poc_start_block_hash = hash_of(start) }
end

local function block_at(height, start_height, params)
  return {
    height = height,
    hash = hash_of(height),
    synced = true,
    epoch = epoch_at(height, start_height, params.epoch_length),
    params = params,
  }
end

-- Why the last block was not taken in: nil when it was.
local function refusal(answer, message)
  if answer == nil then return message or "no answer" end
  if answer.status == "done" then return nil end
  return answer.reason or answer.error or answer.status
end

-- The world is further on than we are (the job was started anew): its height, from the reason of commands/new_block.lua.
local function height_of_world(why)
  local height = why and why:match("the world is at height (%d+)")
  return height and math.tointeger(tonumber(height))
end

local function read_feed(feed)
  local length = math.tointeger(feed.epoch and feed.epoch.epoch_length)
  assert(length and length > 0, "feed.epoch.epoch_length must be a whole number greater than 0")
  assert(type(feed.block_ms) == "number" and feed.block_ms > 0, "feed.block_ms must be greater than 0")
  local start_height = math.tointeger(feed.start_height or 1)
  assert(start_height and start_height >= 0, "feed.start_height must be a whole number from 0")
  local params = {}
  for name, value in pairs(feed.epoch) do params[name] = value end
  params.epoch_length = length
  return params, feed.block_ms / 1000, start_height
end

-- Sends one block; logs a refusal once, and its end. Returns the height that the world is at.
local function send(block, last_why)
  local why = refusal(broker.command("new_block", block))
  if why and why ~= last_why then
    log.warn("a block of the clock feed was not taken in", { height = block.height, reason = why })
  end
  if last_why and not why then log.info("blocks of the clock feed are taken in again", { height = block.height }) end
  return math.max(block.height, height_of_world(why) or block.height), why
end

-- Seconds until the block of that height is due, and the moment from which heights are counted. Pace is kept from there
-- and not from the last block: delays do not add up. Far off the pace, counting begins anew.
local function pace(base, height, block_s)
  local now = time.monotonic()
  local wait_s = base.at_s + (height - base.height) * block_s - now
  if wait_s > AHEAD_MAX * block_s then return block_s, { at_s = now + block_s, height = height }, height end
  if wait_s >= -BEHIND_MAX * block_s then return wait_s, base, height end
  return 0, base, height + math.tointeger(-wait_s // block_s)
end

local function run(job)
  local params, block_s, start_height = read_feed(job.config.feed)
  local base, height = { at_s = time.monotonic(), height = start_height }, start_height
  local why
  while true do
    local reached
    reached, why = send(block_at(height, start_height, params), why)
    if reached > height then base = { at_s = time.monotonic(), height = reached } end
    local wait_s
    wait_s, base, height = pace(base, reached + 1, block_s)
    time.sleep(math.max(wait_s, 0))
  end
end

return {
  help = "Makes up blocks and epochs for feed kind \"clock\".",
  feed = "clock",
  run = run,
}
