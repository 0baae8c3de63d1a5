-- The feed of `feed = { kind = "cometbft", rpc, rest }`: follows NewBlock events over a websocket, and asks the node's status while
-- there is none. Everything else that the world is made of comes from jobs/cometbft_facts.lua, so that no slow answer holds up a
-- block. Only what a new epoch begins with is asked for here, at once.

local chain = require "coxswain.chain"
local feeds = require "coxswain.feed"

local BATCH_MAX    = 256 -- messages taken at once; the newest of them counts
local PACE_S       = 0.005 -- blocks that come faster than that are taken together: reading one takes longer than receiving many
local URGENT_S     = 2   -- for questions that a block waits for
local PONG_S       = 5
local SUBSCRIBE_S  = 10
local MESSAGE_MAX  = 8 << 20
local subscription = '{"jsonrpc":"2.0","method":"subscribe","id":"1","params":["tm.event=\'NewBlock\'"]}'

-- When a new epoch is due, it is asked for before the block is told.
local function tell(feed)
  if feed:expects_epoch() then feed:ask_epoch(math.min(URGENT_S, feed.rest.timeout_s)) end
  feed:send()
end

-- ---- the websocket ----

-- The first answer is `result: {}`; events may overtake it.
local function subscribe(connection)
  local is_sent, why = connection:send(subscription)
  if not is_sent then return nil, why end
  local text
  text, why = connection:receive(SUBSCRIBE_S)
  if not text then return nil, why end
  local answer = json.decode(text)
  if type(answer) ~= "table" then return nil, "the subscription was answered with what is no JSON" end
  if answer.result == nil then
    local detail = type(answer.error) == "table" and (answer.error.data or answer.error.message) or "no result"
    return nil, "the subscription was refused: " .. tostring(detail)
  end
  return true
end

-- One subscription on one connection, at the endpoint that is to be asked now. nil: none can be had now.
local function connect(feed)
  local endpoint, wait_s = feed.events:pick()
  if wait_s > 0 then return nil end
  local connection, failure = ws.connect(endpoint.url .. "/websocket", { timeout_s = feed.rpc.timeout_s, max_bytes = MESSAGE_MAX })
  local why = failure and failure.message
  if connection then
    local is_good
    is_good, why = subscribe(connection)
    if is_good then
      feed.events:succeeded(endpoint)
      feed:note("websocket", nil)
      log.info("following blocks over the websocket", { rpc = endpoint.url })
      return connection
    end
    connection:close()
  end
  feed.events:failed(endpoint)
  feed:note("websocket", why)
  return nil
end

-- A block of one message, or nil; a message that is no block is said once.
local function read_block(feed, text)
  local block, why = chain.new_block(json.decode(text))
  feed:note("NewBlock", not block and why or nil)
  return block
end

-- Many may have come: all are looked at, but only the newest is read, and the one that begins an epoch for its hash.
local function take(feed, connection, text)
  local newest, newest_height, unread = nil, -1, {}
  local start = feed:next_start()
  for _ = 1, BATCH_MAX do
    local height = chain.peek_height(text)
    if not height then unread[#unread + 1] = text
    elseif height == start then unread[#unread + 1] = text
    elseif height > newest_height then newest, newest_height = text, height end
    text = connection:receive(0)
    if not text then break end
  end
  if newest then unread[#unread + 1] = newest end
  local is_newer = false
  for _, each in ipairs(unread) do
    local block = read_block(feed, each)
    if block and feed:see(block) then is_newer = true end
  end
  return is_newer
end

-- No block for too long: does the chain stand still, or is it only us who hear nothing?
local function is_alive(feed, connection, heard)
  if feed:ask_status() then tell(feed) end
  if feed.newest and feed.newest.height > heard then return nil, "blocks are made, but the websocket brings none" end
  return connection:ping(PONG_S)
end

local function follow(feed, connection)
  local heard = feed.newest and feed.newest.height or 0 -- over this connection
  local taken_s = -math.huge
  while true do
    local text, why = connection:receive(feed:silence_s())
    if text then
      local early_s = taken_s + PACE_S - time.monotonic()
      if early_s > 0 then time.sleep(early_s) end
      taken_s = time.monotonic()
      local is_newer = take(feed, connection, text)
      heard = feed.newest and feed.newest.height or 0
      if is_newer then tell(feed) end
    else
      local is_good = false
      if why == "timeout" then is_good, why = is_alive(feed, connection, heard) end
      if not is_good then
        connection:close()
        log.warn("the websocket brings no blocks any more: connecting anew", { reason = why })
        return
      end
    end
  end
end

-- ---- without one ----

-- Until an endpoint may be tried again, the node's status tells of blocks.
local function poll(feed)
  local _, wait_s = feed.events:pick()
  if feed:ask_status() then tell(feed) end
  time.sleep(math.min(math.max(wait_s, 0.05), feed.settings.poll_s or 1))
end

local function run(job)
  local feed = feeds.of(job.config)
  if not feed.address then log.warn("participant.address is not configured: no node of the epoch's group data can be ours") end
  while true do
    local connection = connect(feed)
    -- The present state comes from REST: nothing is replayed.
    feed:ask_status(URGENT_S)
    feed:ask_epoch(URGENT_S)
    feed:send()
    if connection then follow(feed, connection) else poll(feed) end
  end
end

return {
  help = "Follows the blocks of a chain for feed kind \"cometbft\".",
  feed = "cometbft",
  run = run,
}
