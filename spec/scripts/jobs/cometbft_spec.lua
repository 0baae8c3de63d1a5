-- The feed of a chain on virtual time: what reaches the broker, whatever the chain does.

local chains = require "support.chain"
local epochs = require "coxswain.epoch"

local chain

after_each(function() chain:stop() end)

-- How many blocks the broker's phase command lags behind the chain, at most, while it runs to a height.
local function worst_lag(self, height)
  local worst, wrong_since = 0, nil
  while self.height < height do
    self:run(self.block_s / 4)
    local latest = self:epoch(self.height)
    local expected = epochs.command(self.height, { index = latest.index, poc_start_block_height = latest.start }, self.params)
    local world = self.broker.world
    local is_right = world and (world.command == expected)
    if is_right then wrong_since = nil else wrong_since = wrong_since or self.height end
    if wrong_since then worst = math.max(worst, self.height - wrong_since + 1) end
  end
  return worst
end

local function words(self)
  local lines = {}
  for _, entry in ipairs(self.said) do lines[#lines + 1] = entry[2] .. " " .. tostring(entry[3] and (entry[3].reason or entry[3].what)) end
  return table.concat(lines, "\n")
end

local function count_said(self, text)
  local count = 0
  for _, entry in ipairs(self.said) do
    if (entry[2] .. " " .. tostring(entry[3] and entry[3].what)):find(text, 1, true) then count = count + 1 end
  end
  return count
end

describe("the feed of a chain", function()
  it("follows every phase, with the hash of the start block, models and preserved nodes", function()
    chain = chains.new()
    chain:start()
    chain:run_to(40)
    local world = chain.broker.world
    assert.is_true(world.synced)
    assert.are.equal("Inference", world.phase)
    assert.are.same({ { id = "m1", model_args = { "--tp", "2" } } }, world.epoch_models.node1)
    assert.are.same({ node2 = true }, world.preserved)
    local lag = worst_lag(chain, 270)
    assert.is_true(lag <= 1, "lag " .. lag)
    for _, entry in ipairs(chain.sent) do
      local epoch = entry.args.epoch
      if epoch and epoch.index > 0 then assert.are.equal(chain:hash(epoch.poc_start_block_height), epoch.poc_start_block_hash) end
    end
    assert.are.equal("INFERENCE", chain.broker:intent "node2")
    chain:run_to(chain:epoch(chain.height).start + 105)
    assert.are.equal("POC/GENERATING", chain.broker:intent "node1")
    assert.are.equal("INFERENCE", chain.broker:intent "node2")
  end)

  it("sends a block at once, and large data only when it has changed", function()
    chain = chains.new()
    chain:start()
    chain:run_to(30)
    local with_set = 0
    for i, entry in ipairs(chain.sent) do
      if entry.args.epoch_models then with_set = with_set + 1 end
      if i > 5 and entry.args.height > 5 then assert.is_true(entry.height - entry.args.height <= 1) end
    end
    assert.is_true(with_set >= 1 and with_set <= 3)
    assert.is_true(chain.asked["/productscience/inference/inference/epoch_group_data/0"] <= 3)
  end)

  it("misses no phase by more than one block when every boundary block is dropped", function()
    chain = chains.new()
    chain.drop = function(height)
      local now, before = chain:epoch(height), chain:epoch(height - 1)
      local function command(at, epoch) return epochs.command(at, { index = epoch.index, poc_start_block_height = epoch.start }, chain.params) end
      return command(height, now) ~= command(height - 1, before)
    end
    chain:start()
    chain:run_to(10)
    assert.is_true(worst_lag(chain, 280) <= 2) -- the dropped one, and one more
    for _, entry in ipairs(chain.sent) do
      if entry.args.epoch and entry.args.epoch.index > 0 then
        assert.are.equal(chain:hash(entry.args.epoch.poc_start_block_height), entry.args.epoch.poc_start_block_hash)
      end
    end
  end)

  it("takes no notice of blocks that come doubled or in another order", function()
    chain = chains.new()
    local real = chain.make_block
    chain.make_block = function(self)
      real(self)
      self:announce(self:event(self.height))
      if self.height > 5 then self:announce(self:event(self.height - 3)) end
    end
    chain:start()
    assert.is_true(worst_lag(chain, 10) <= 10)
    assert.is_true(worst_lag(chain, 170) <= 1)
    local last = 0
    for _, entry in ipairs(chain.sent) do
      assert.is_true(entry.args.height >= last)
      last = entry.args.height
    end
  end)

  it("keeps up with a thousand blocks a second, block by block no more", function()
    chain = chains.new { block_s = 0.001, params = { epoch_length = 2000, poc_stage_duration = 400, poc_validation_duration = 300 }, first_start = 1000 }
    chain:start()
    chain:run(3)
    assert.is_true(chain.height - chain.broker.world.height <= 20)
    assert.is_true(#chain.sent < 1000) -- those that come together are told together
    local hashes = 0
    local feed = require("coxswain.feed").of {}
    for _ in pairs(feed.hashes) do hashes = hashes + 1 end
    assert.is_true(hashes <= 1100)
  end)
end)

describe("the epoch's border", function()
  it("keeps the last set until the new one is there, and asks at each block", function()
    chain = chains.new()
    chain.border_blocks = 30
    chain:start()
    chain:run_to(52)
    assert.are.same({ node2 = true }, chain.broker.world.preserved)
    chain.nodes.m1 = { { "node1", true }, { "node2" } } -- the new epoch's
    chain:run_to(75)
    assert.are.same({ node2 = true }, chain.broker.world.preserved)
    assert.are.equal("INFERENCE", chain.broker:intent "node2")
    assert.is_true(chain.asked["/productscience/inference/inference/epoch_group_data/1"] >= 20)
    chain:run_to(84)
    assert.are.same({ node1 = true }, chain.broker.world.preserved)
  end)

  it("asks for the epoch before when this process holds none", function()
    chain = chains.new { start_height = 155 } -- in the PoC of epoch 2
    chain.border_blocks = 30
    chain:start()
    chain:run_to(157)
    assert.are.same({ node2 = true }, chain.broker.world.preserved)
    assert.are.equal("POC/GENERATING", chain.broker:intent "node1")
    assert.are.equal("INFERENCE", chain.broker:intent "node2")
  end)

  it("commands no PoC until a set has come or is known not to exist", function()
    chain = chains.new { start_height = 155 }
    local is_broken = true
    chain.spoil = function(path, response)
      if is_broken and path:find("epoch_group_data", 1, true) then return { status = 502, body = "<html>", json = nil } end
      return response
    end
    chain:start()
    chain:run_to(158)
    assert.are.equal("PoCGenerate", chain.broker.world.phase)
    assert.is_true(chain.broker.world.awaits_epoch_data)
    assert.are.equal("none", chain.broker:intent "node1")
    is_broken = false
    chain:run_to(160)
    assert.are.equal("POC/GENERATING", chain.broker:intent "node1")
    assert.are.equal("INFERENCE", chain.broker:intent "node2")
  end)

  it("goes on without a set when the chain certainly has none", function()
    chain = chains.new { start_height = 55 }
    chain.has_no_groups = true
    chain:start()
    chain:run_to(57)
    assert.are.same({}, chain.broker.world.epoch_models)
    assert.are.equal("POC/GENERATING", chain.broker:intent "node1")
    assert.are.equal("POC/GENERATING", chain.broker:intent "node2")
  end)

  it("takes a set whole: one model that cannot be asked keeps the old set", function()
    chain = chains.new()
    chain:start()
    chain:run_to(40)
    chain.models = { "m1", "m2" }
    chain.nodes.m2, chain.model_args.m2 = { { "node1" } }, {}
    chain.nodes.m1 = { { "node2" } }
    chain.spoil = function(path, response)
      if path:find("model_id=m2", 1, true) then return nil, { class = "timeout", message = "too late" } end
      return response
    end
    chain:run_to(84)
    assert.are.same({ node2 = true }, chain.broker.world.preserved)
    assert.are.equal("m1", chain.broker.world.epoch_models.node1[1].id)
    chain.spoil = nil
    chain:run_to(92)
    assert.are.same({}, chain.broker.world.preserved)
    assert.are.equal("m2", chain.broker.world.epoch_models.node1[1].id)
  end)

  it("takes a model's arguments from the approved models when its group has none", function()
    chain = chains.new()
    local real = chain.group
    chain.group = function(self, ...)
      local answer = real(self, ...)
      if answer and answer.epoch_group_data.model_snapshot then answer.epoch_group_data.model_snapshot = nil end
      return answer
    end
    chain:start()
    chain:run_to(5)
    assert.are.same({ "--tp", "2" }, chain.broker.world.epoch_models.node1[1].model_args)
  end)

  it("waits for a gateway that announces the epoch some blocks late, without a wrong step", function()
    chain = chains.new()
    chain.rest_lag = 2
    chain:start()
    chain:run_to(20)
    assert.is_true(worst_lag(chain, 170) <= 3)
  end)
end)

describe("sync state", function()
  it("commands nothing while the node is catching up, and says so once", function()
    chain = chains.new()
    chain:start()
    chain:run_to(10)
    chain.catching_up = true
    chain:run_to(60)
    assert.is_false(chain.broker.world.synced)
    assert.are.equal("INFERENCE", chain.broker:intent "node1")
    assert.are.equal(1, count_said(chain, "not in sync"))
    chain.catching_up = false
    chain:run_to(63)
    assert.is_true(chain.broker.world.synced)
    assert.are.equal("POC/GENERATING", chain.broker:intent "node1")
    assert.are.equal(2, count_said(chain, "the chain is in sync"))
  end)

  it("is not in sync when the newest block is old, though the node says so", function()
    chain = chains.new()
    chain.block_time = function(self, height) return os.date("!%Y-%m-%dT%H:%M:%SZ", (self.now_s - 3600 + height) // 1) end
    chain:start()
    chain:run_to(10)
    assert.is_false(chain.broker.world.synced)
  end)

  it("notices a chain that stands still, keeps the connection that answers, and goes on with it", function()
    chain = chains.new()
    chain:start()
    chain:run_to(20)
    local connection = chain.connections[1]
    chain.is_stalled = true
    chain.block_time = function(self) return os.date("!%Y-%m-%dT%H:%M:%SZ", (self.stopped_s or self.now_s) // 1) end
    chain.stopped_s = chain.now_s
    chain:run(120)
    assert.is_false(chain.broker.world.synced)
    assert.are.equal(connection, chain.connections[1])
    chain.is_stalled, chain.stopped_s = false, nil
    chain:run(3)
    assert.is_true(chain.broker.world.synced)
  end)
end)

describe("the websocket", function()
  it("is opened anew when it hears nothing while blocks are made", function()
    chain = chains.new()
    chain:start()
    chain:run_to(20)
    chain.connections[1].is_muted = true -- half open
    chain:run(20)
    assert.are.equal(1, #chain.connections)
    assert.is_nil(chain.connections[1].is_muted)
    assert.is_true(chain.height - chain.broker.world.height <= 1)
  end)

  it("is replaced by polling while it is refused, and taken again with backoff", function()
    chain = chains.new()
    chain.refuse_ws = function() return true end
    chain:start()
    chain:run(60)
    assert.is_true(chain.height - chain.broker.world.height <= 2)
    assert.is_true(chain.ws_tries >= 6 and chain.ws_tries <= 40, "tries " .. chain.ws_tries)
    assert.are.equal(1, count_said(chain, "could not be asked; what was known stays websocket"))
    chain.refuse_ws = nil
    chain:run(15)
    assert.are.equal(1, #chain.connections)
  end)

  it("never has more than one subscription", function()
    chain = chains.new()
    chain:start()
    for _ = 1, 6 do
      chain:run(20)
      for _, connection in ipairs(chain.connections) do
        connection.is_cut = true
        for _, task in ipairs(chain.tasks) do
          if task.connection == connection then task.wake_s = chain.now_s end
        end
      end
      chain:run(12)
      assert.are.equal(1, #chain.connections)
      assert.are.equal(1, chain.connections[1].subscriptions)
    end
    assert.is_true(chain.height - chain.broker.world.height <= 1)
  end)

  it("fails over to the next endpoint, and prefers the first one again", function()
    chain = chains.new()
    local is_down = true
    chain.refuse_ws = function(url) return is_down and url:find("rpc1", 1, true) ~= nil end
    chain.spoil = function(_, response, url)
      if is_down and (url:find("rpc1", 1, true) or url:find("rest1", 1, true)) then return nil, { class = "refused", message = "refused" } end
      return response
    end
    chain:start { rpc = { "http://rpc1", "http://rpc2" }, rest = { "http://rest1", "http://rest2" } }
    chain:run(20)
    assert.is_truthy(chain.connections[1].url:find("rpc2", 1, true))
    assert.is_true(chain.height - chain.broker.world.height <= 1)
    is_down = false
    chain:run(15)
    chain.connections[1].is_cut = true
    chain:run(25)
    assert.is_truthy(chain.connections[1].url:find("rpc1", 1, true))
  end)
end)

describe("a wall clock that is set back by hours", function()
  it("keeps the websocket from nothing", function()
    chain = chains.new()
    local is_down = false
    chain.refuse_ws = function() return is_down end
    chain:start()
    chain:run_to(40)
    is_down = true
    for _, connection in ipairs(chain.connections) do connection.is_cut = true end
    chain:run(15)
    chain.set_by_s, is_down = -7200, false
    chain:run(25)
    assert.is_truthy(chain.connections[1])
  end)

  it("keeps no question waiting", function()
    chain = chains.new()
    chain:start()
    chain:run_to(40)
    chain.set_by_s, chain.catching_up = -7200, true
    chain:run(20)
    assert.is_false(chain.broker.world.synced)
  end)
end)

describe("an answer that is wrong", function()
  local P = "/productscience/inference/inference"
  local rubbish = {
    html = function() return { status = 200, body = "<html>" } end,
    ["502"] = function() return { status = 502, body = "<html>bad gateway" } end,
    empty = function() return { status = 200, body = "{}", json = {} } end,
    list = function() return { status = 200, body = "[]", json = { 1, 2, 3 } } end,
    text = function() return { status = 200, body = "\"x\"", json = "x" } end,
    too_large = function() return nil, { class = "bad_answer", message = "answer larger than 1048576 bytes" } end,
    late = function(response) return response, nil, 30 end,
    truncated = function() return nil, { class = "reset", message = "the connection broke" } end,
    nulls = function(response)
      local copy = {}
      for name in pairs(response.json) do copy[name] = nil end
      return { status = 200, body = "{}", json = copy }
    end,
    types = function(response)
      local copy = {}
      for name, value in pairs(response.json) do copy[name] = type(value) == "table" and "x" or {} end
      return { status = 200, body = "{}", json = copy }
    end,
  }

  for name, make in pairs(rubbish) do
    for _, route in ipairs { "/status", P .. "/epoch_info", P .. "/epoch_group_data", "/block" } do
      it(("(%s from %s) keeps the last good world, is said once, and heals"):format(name, route), function()
        chain = chains.new()
        chain:start()
        chain:run_to(60)
        local is_broken = true
        chain.spoil = function(path, response)
          if is_broken and path:sub(1, #route) == route then return make(response) end
          return response
        end
        chain:run_to(95)
        local world = chain.broker.world
        assert.are.equal(1, world.epoch)
        assert.are.same({ node2 = true }, world.preserved)
        assert.is_true(chain.height - world.height <= 3, words(chain))
        assert.are.equal("INFERENCE", chain.broker:intent "node1") -- the PoC is over, which needs no answer
        local warnings = 0
        for _, entry in ipairs(chain.said) do warnings = warnings + (entry[1] == "warn" and 1 or 0) end
        assert.is_true(warnings <= 2, words(chain))
        if route == "/status" or route:find("epoch_info") then assert.is_true(world.stale_s > 20, tostring(world.stale_s)) end
        is_broken = false
        chain:run_to(165)
        assert.are.equal("POC/GENERATING", chain.broker:intent "node1")
        assert.is_true(chain.broker.world.stale_s < 5)
      end)
    end
  end

  it("that is plausible but wrong does no lasting harm", function()
    chain = chains.new()
    chain:start()
    chain:run_to(60)
    local is_broken = true
    chain.spoil = function(path, response)
      if not is_broken or not path:find("epoch_info", 1, true) then return response end
      local json = { block_height = response.json.block_height, params = response.json.params, latest_epoch = { index = "900", poc_start_block_height = "7" } }
      return { status = 200, body = "", json = json }
    end
    chain:run_to(62)
    is_broken = false
    chain:run_to(65)
    assert.are.equal(1, chain.broker.world.epoch)
    assert.are.equal("POC/GENERATING", chain.broker:intent "node1")
  end)

  it("in a message is said once, and the next block counts", function()
    chain = chains.new()
    chain:start()
    chain:run_to(10)
    for _, text in ipairs { "", "x", "[]", "{}", '{"result":{"data":{"value":{"block":{"header":{"height":"x"}}}}}}',
      '{"result":{"data":{"value":{"block":{"header":{"height":"99999999999999999999999"},"block_id":{"hash":"AB"}}}}}}', ("x"):rep(100000) } do
      chain:announce(text)
      chain:run(1)
    end
    assert.is_true(chain.height - chain.broker.world.height <= 1)
    assert.is_true(count_said(chain, "NewBlock") <= 20)
  end)
end)
