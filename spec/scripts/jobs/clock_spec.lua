-- The clock feed on virtual time: what it sends, when, and what it does when time or the world are not where it thinks.

local clock = require "jobs.clock"
local epoch = require "coxswain.epoch"
local fake  = require "support.broker"

local shape = { epoch_length = 100, poc_stage_duration = 20, poc_validation_delay = 2, poc_validation_duration = 10 }

local now_s, said, real

local function config_of(changes)
  local feed = { kind = "clock", block_ms = 500, epoch = shape }
  for name, value in pairs(changes or {}) do feed[name] = value end
  return { config = { feed = feed } }
end

-- Runs the job for that many blocks. `on_block(block, i)` answers each of them.
local function run(job, blocks, on_block)
  local sent = {}
  _G.broker = { command = function(name, args)
    assert.are.equal("new_block", name)
    sent[#sent + 1] = { block = args, at_s = now_s }
    if on_block then return on_block(args, #sent) end
    return { status = "done" }
  end }
  local is_ended, message = pcall(function()
    time.sleep = function(seconds)
      assert(seconds >= 0)
      if #sent >= blocks then error("enough", 0) end
      now_s = now_s + seconds
    end
    clock.run(job)
  end)
  assert.is_false(is_ended)
  assert.are.equal("enough", message)
  return sent
end

before_each(function()
  now_s, said = 1700000000, {}
  real = { now = time.now, sleep = time.sleep, warn = log.warn, info = log.info, broker = _G.broker }
  time.now = function() return now_s end
  log.warn = function(message, fields) said[#said + 1] = { "warn", message, fields } end
  log.info = function(message, fields) said[#said + 1] = { "info", message, fields } end
end)

after_each(function()
  time.now, time.sleep, log.warn, log.info, _G.broker = real.now, real.sleep, real.warn, real.info, real.broker
end)

describe("the clock feed", function()
  it("sends one block each block_ms, from start_height on", function()
    local sent = run(config_of { start_height = 40 }, 20)
    for i, entry in ipairs(sent) do
      assert.are.equal(39 + i, entry.block.height)
      assert.is_true(math.abs(entry.at_s - (1700000000 + (i - 1) * 0.5)) < 1e-6)
      assert.is_true(entry.block.synced)
    end
    assert.are.equal(1, run(config_of(), 1)[1].block.height)
  end)

  it("announces epochs as it promises: the first PoC half an epoch after the start, then one each epoch_length", function()
    local sent = run(config_of { start_height = 7 }, 330)
    for _, entry in ipairs(sent) do
      local block = entry.block
      local expected = { index = 0, poc_start_block_height = 0 }
      for index, start in ipairs { 57, 157, 257 } do
        if block.height >= start then
          expected = { index = index, poc_start_block_height = start, poc_start_block_hash = sent[start - 6].block.hash }
        end
      end
      assert.are.same(expected, block.epoch)
    end
  end)

  it("walks through every phase of an epoch", function()
    local seen = {}
    for _, entry in ipairs(run(config_of(), 200)) do
      local block = entry.block
      seen[epoch.phase(block.height, block.epoch, block.params)] = true
    end
    for _, phase in ipairs(epoch.PHASES) do assert.is_true(seen[phase]) end
  end)

  it("gives each height one hash of 64 hex digits, the same after a restart", function()
    local first, again, seen = run(config_of(), 200), run(config_of(), 200), {}
    for i, entry in ipairs(first) do
      local hash = entry.block.hash
      assert.is_truthy(hash:match("^%x+$"))
      assert.are.equal(64, #hash)
      assert.is_nil(seen[hash])
      seen[hash] = true
      assert.are.equal(hash, again[i].block.hash)
    end
  end)

  it("sends blocks that new_block takes, and a fleet follows them", function()
    local broker, intents = fake.new(), {}
    broker:register { id = "node1", host = "h", models = { m = {} } }
    run(config_of(), 160, function(block)
      local answer = broker:command("new_block", block)
      local intent = broker:intent "node1"
      if intents[#intents] ~= intent then intents[#intents + 1] = intent end
      return answer
    end)
    assert.are.same({ "INFERENCE", "POC/GENERATING", "POC/VALIDATING", "INFERENCE", "POC/GENERATING" }, intents)
    assert.are.same({}, said)
  end)

  it("keeps its pace when a block takes long to be answered", function()
    local sent = run(config_of(), 30, function()
      now_s = now_s + 0.2
      return { status = "done" }
    end)
    assert.is_true(math.abs(sent[30].at_s - (1700000000 + 29 * 0.5)) < 1e-6)
  end)

  it("catches up block by block after a short pause", function()
    local sent = run(config_of(), 20, function(_, i)
      if i == 5 then now_s = now_s + 4 end -- 8 blocks
      return { status = "done" }
    end)
    for i, entry in ipairs(sent) do assert.are.equal(i, entry.block.height) end
    assert.is_true(sent[13].at_s - sent[6].at_s < 0.01)
  end)

  it("leaves blocks out after a long one", function()
    local sent = run(config_of(), 8, function(_, i)
      if i == 5 then now_s = now_s + 3600 end
      return { status = "done" }
    end)
    assert.is_true(sent[6].block.height >= 7200)
    assert.are.equal(sent[6].block.height + 1, sent[7].block.height)
    assert.is_true(math.abs(sent[8].at_s - (1700000000 + (sent[8].block.height - 1) * 0.5)) < 0.51)
  end)

  it("is not silenced by a clock that is set back", function()
    local at_s
    local sent = run(config_of(), 10, function(_, i)
      if i == 5 then
        now_s = now_s - 86400
        at_s = now_s
      end
      return { status = "done" }
    end)
    assert.are.equal(6, sent[6].block.height)
    assert.is_true(sent[6].at_s - at_s <= 0.5)
    assert.is_true(math.abs(sent[10].at_s - sent[6].at_s - 2) < 1e-6)
  end)

  it("goes on from the world's height when it is started anew", function()
    local sent = run(config_of(), 4, function(block, i)
      if i > 1 then return { status = "done" } end
      return { status = "skipped", reason = ("height %d is lower than the world's: the world is at height 777"):format(block.height) }
    end)
    assert.are.equal(778, sent[2].block.height)
    assert.are.equal(779, sent[3].block.height)
    assert.is_true(math.abs(sent[2].at_s - sent[1].at_s - 0.5) < 1e-6)
  end)

  it("understands the reason that new_block gives for that", function()
    local broker = fake.new()
    broker:set_world { height = 777, hash = "FF", synced = true }
    local sent = run(config_of(), 3, function(block) return broker:command("new_block", block) end)
    assert.are.equal(778, sent[2].block.height)
    assert.are.equal(778, broker.world.height - 1)
  end)

  it("says once that blocks are refused, and once that they are taken in again", function()
    run(config_of(), 10, function(_, i)
      if i < 3 or i > 7 then return { status = "done" } end
      if i == 4 then return { status = "error", error = "the queue is full" } end
      return nil, "the queue is full"
    end)
    assert.are.equal(2, #said)
    assert.are.equal("warn", said[1][1])
    assert.are.equal("the queue is full", said[1][3].reason)
    assert.are.equal("info", said[2][1])
  end)

  it("refuses a feed that it cannot follow, with the key's name", function()
    local rows = {
      { { epoch = false }, "feed.epoch.epoch_length" },
      { { epoch = {} }, "feed.epoch.epoch_length" },
      { { epoch = { epoch_length = 0 } }, "feed.epoch.epoch_length" },
      { { epoch = { epoch_length = 1.5 } }, "feed.epoch.epoch_length" },
      { { block_ms = 0 }, "feed.block_ms" },
      { { block_ms = "1" }, "feed.block_ms" },
      { { start_height = 1.5 }, "feed.start_height" },
      { { start_height = -1 }, "feed.start_height" },
    }
    for _, row in ipairs(rows) do
      local is_run, message = pcall(clock.run, config_of(row[1]))
      assert.is_false(is_run)
      assert.is_truthy(message:find(row[2], 1, true), message)
    end
  end)
end)
