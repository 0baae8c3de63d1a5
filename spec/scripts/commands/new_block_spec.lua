local fake = require "spec.support.broker"

local params = {
  epoch_length = 100,
  epoch_shift = 0,
  poc_stage_duration = 20,
  poc_exchange_duration = 2,
  poc_validation_delay = 2,
  poc_validation_duration = 10,
  set_new_validators_delay = 1,
}

local function hash_of(height) return ("%08X"):format(height) end

local function block(height, changes)
  local args = { height = height, hash = hash_of(height), epoch = { index = 3, poc_start_block_height = 1000 }, params = params }
  for name, value in pairs(changes or {}) do args[name] = value end
  return args
end

local function fleet_of(count)
  local broker = fake.new()
  for i = 1, count do
    assert(broker:register { id = "node" .. i, host = "10.0.0." .. i, models = { m = { args = { "--own", "1" } } } })
  end
  return broker
end

local function send(broker, height, changes)
  local answer = broker:command("new_block", block(height, changes))
  assert.are.equal("done", answer.status, answer.error or answer.reason)
  return answer.result
end

describe("a block", function()
  local broker
  before_each(function() broker = fleet_of(2) end)

  it("sets phase, stages and command, and answers with them", function()
    local result = send(broker, 1005)
    assert.are.equal("PoCGenerate", result.phase)
    assert.are.equal(3, result.epoch)
    assert.are.equal(1005, result.height)
    assert.are.equal("start_poc", result.issued[1].name)
    assert.are.equal(1016, broker.world.stages.poc_generation_wind_down)
    assert.are.equal("start_poc", broker.world.command)
  end)

  it("drives the fleet through a whole epoch, and issues each command once", function()
    for height = 995, 1040 do send(broker, height) end
    assert.are.same({ "inference_up_all", "start_poc", "init_validate", "inference_up_all" }, broker.ran)
    assert.are.equal("INFERENCE", broker:intent "node1")
    assert.are.equal(4, broker.entries.node1.changes)
  end)

  it("costs nothing when it is lost: any single block of a window brings the window's intents", function()
    for _, height in ipairs { 1000, 1007, 1015 } do
      broker = fleet_of(2)
      send(broker, height, { epoch = { index = 3, poc_start_block_height = 1000, poc_start_block_hash = "AB" } })
      assert.are.equal("POC/GENERATING", broker:intent "node2")
    end
    for _, height in ipairs { 1020, 1021, 1022, 1029 } do
      broker = fleet_of(2)
      send(broker, height, { epoch = { index = 3, poc_start_block_height = 1000, poc_start_block_hash = "AB" } })
      assert.are.equal("POC/VALIDATING", broker:intent "node2")
    end
    for _, height in ipairs { 10, 999, 1032, 1090 } do
      broker = fleet_of(2)
      send(broker, height)
      assert.are.equal("INFERENCE", broker:intent "node2")
    end
  end)

  it("of random heights always leaves the intents of the last window in which a command was due", function()
    for _ = 1, 50 do
      broker = fleet_of(1)
      local height, expected = 990, nil
      while height < 1120 do
        height = height + math.random(1, 12)
        local result = send(broker, height, { epoch = { index = 3, poc_start_block_height = 1000, poc_start_block_hash = "AB" } })
        assert.are.equal(height, result.height)
        local x = height - 1000
        if x < 0 or x >= 32 then expected = "INFERENCE" elseif x < 16 then expected = "POC/GENERATING"
        elseif x >= 20 and x < 30 then expected = "POC/VALIDATING" end
        assert.are.equal(expected or "none", broker:intent "node1", ("height %d"):format(height))
      end
    end
  end)

  it("issues nothing between the windows, and leaves the intents", function()
    send(broker, 1000)
    for _, height in ipairs { 1016, 1019 } do
      assert.is_nil(send(broker, height).issued)
      assert.are.equal("POC/GENERATING", broker:intent "node1")
    end
  end)

  it("gives generation and validation of one episode the same height, hash and count on all nodes", function()
    send(broker, 1000)
    local generate = { broker:target "node1", broker:target "node2" }
    broker:register { id = "node3", host = "10.0.0.3", models = { m = {} } }
    send(broker, 1020)
    for i, id in ipairs { "node1", "node2" } do
      local target = broker:target(id)
      assert.are.equal(1000, target.block_height)
      assert.are.equal(hash_of(1000), target.block_hash)
      assert.are.equal(2, target.node_count)
      assert.are.equal(generate[i].node_id, target.node_id)
    end
    assert.are_not.equal(generate[1].node_id, generate[2].node_id)
  end)

  it("keeps the last value of what is left out", function()
    send(broker, 900, { epoch_models = { node1 = { { id = "big", model_args = { "--e" } } } }, preserved = { "node2" } })
    local args = { height = 1001, hash = "AB" }
    assert.are.equal("done", broker:command("new_block", args).status)
    assert.are.equal("PoCGenerate", broker.world.phase)
    assert.are.equal(3, broker.world.epoch)
    assert.are.same(params, broker.world.params)
    assert.are.same({ node2 = true }, broker.world.preserved)
    assert.are.equal("INFERENCE", broker:intent "node2")
    assert.are.equal("big", broker.world.epoch_models.node1[1].id)
    assert.is_true(broker.world.synced)
  end)

  it("replaces preserved set and epoch models as a whole", function()
    send(broker, 1000, { preserved = { "node1", "node2" } })
    assert.are.equal("INFERENCE", broker:intent "node1")
    send(broker, 1001, { preserved = { "node2" } })
    assert.are.equal("POC/GENERATING", broker:intent "node1")
    send(broker, 1002, { preserved = {} })
    assert.are.equal("POC/GENERATING", broker:intent "node2")
  end)

  it("without an epoch or parameters stands, and says why no phase is known", function()
    local result = broker:command("new_block", { height = 5, hash = "AB" }).result
    assert.is_nil(result.phase)
    assert.is_truthy(result.reason:find("no `epoch`", 1, true))
    result = broker:command("new_block", { height = 6, hash = "AB", epoch = { index = 1, poc_start_block_height = 1 } }).result
    assert.is_truthy(result.reason:find("no `params`", 1, true))
    assert.is_nil(result.issued)
    assert.are.equal("none", broker:intent "node1")
  end)

  it("of epoch 0 asks for inference", function()
    send(broker, 1, { epoch = { index = 0, poc_start_block_height = 0 } })
    assert.are.equal("INFERENCE", broker:intent "node1")
    assert.are.same({ next_poc_start = 100 }, broker.world.stages)
  end)

  it("knows how far its time lies behind", function()
    send(broker, 1000, { time = "2023-11-14T22:13:10Z" }) -- the spec's clock stands at 22:13:20
    assert.are.equal(10, broker.world.stale_s)
    assert.are.equal("2023-11-14T22:13:10Z", broker.world.time)
    send(broker, 1001, { time = 1700000000 })
    assert.are.equal(0, broker.world.stale_s)
    for i, unreadable in ipairs { "yesterday", "", "-1e999", "2023-13-40T99:99:99Z" } do
      send(broker, 1001 + i, { time = unreadable })
      assert.is_nil(broker.world.stale_s)
    end
  end)
end)

describe("the height of a block", function()
  local broker
  before_each(function()
    broker = fleet_of(1)
    send(broker, 1000)
  end)

  it("lower than the world's is skipped, and changes nothing", function()
    local answer = broker:command("new_block", block(999, { synced = false }))
    assert.are.equal("skipped", answer.status)
    assert.is_truthy(answer.reason:find("height 999 is lower", 1, true))
    assert.is_truthy(answer.reason:find("the world is at height 1000", 1, true))
    assert.are.equal(1000, broker.world.height)
    assert.is_true(broker.world.synced)
  end)

  it("equal to the world's is skipped when nothing else differs", function()
    local same = {
      block(1000),
      { height = 1000, hash = hash_of(1000) },
      block(1000, { hash = "FFFF" }),
      block(1000, { time = 1700000000 }),
    }
    for _, args in ipairs(same) do
      local answer = broker:command("new_block", args)
      assert.are.equal("skipped", answer.status)
      assert.is_truthy(answer.reason:find("the world is at height 1000", 1, true))
    end
  end)

  local differences = {
    synced = false,
    epoch = { index = 4, poc_start_block_height = 1100 },
    params = { epoch_length = 200, poc_stage_duration = 20, poc_validation_delay = 2, poc_validation_duration = 10 },
    epoch_models = { node1 = { { id = "other" } } },
    preserved = { "node1" },
  }
  for name, value in pairs(differences) do
    it(("equal to the world's is taken over when %s differs, and then no more"):format(name), function()
      local args = block(1000)
      args[name] = value
      assert.are.equal("done", broker:command("new_block", args).status)
      assert.are.equal("skipped", broker:command("new_block", args).status)
    end)
  end

  it("may be the largest that is accepted, exactly", function()
    local start = (1 << 62) - 40
    local result = send(broker, start + 16, { epoch = { index = 9, poc_start_block_height = start } })
    assert.are.equal("PoCGenerateWindDown", result.phase)
    result = send(broker, start + 40, {})
    assert.are.equal("Inference", result.phase)
  end)
end)

describe("the hash of an episode", function()
  local late = { index = 3, poc_start_block_height = 1000 }
  local before = { index = 2, poc_start_block_height = 900 }
  local broker
  before_each(function() broker = fleet_of(1) end)

  it("is that of the start block, seen before its epoch was announced", function()
    send(broker, 999, { epoch = before })
    send(broker, 1000, { epoch = before })
    send(broker, 1001, { epoch = before })
    send(broker, 1002, { epoch = late })
    assert.are.equal(hash_of(1000), broker:target("node1").block_hash)
  end)

  it("is kept while the episode lasts, also when 256 more blocks have passed", function()
    local long = { epoch_length = 2000, poc_stage_duration = 1000, poc_validation_delay = 2, poc_validation_duration = 10 }
    for height = 1000, 1400 do send(broker, height, { params = long }) end
    assert.are.equal(hash_of(1000), broker.world.poc_start_hash)
    assert.are.equal(1, broker.entries.node1.changes)
  end)

  it("is not known when the start block was missed or is too long ago; the reason says so, and it may still come", function()
    send(broker, 999, { epoch = before })
    local result = send(broker, 1001, { epoch = late })
    assert.are.equal("done", result.issued[1].status)
    assert.are.equal("INFERENCE", broker:intent "node1")
    assert.is_nil(broker.world.poc_start_hash)
    send(broker, 1002, { epoch = { index = 3, poc_start_block_height = 1000, poc_start_block_hash = "CD" } })
    assert.are.equal("CD", broker:target("node1").block_hash)
    send(broker, 1003, { epoch = late }) -- left out again: the known one stays
    assert.are.equal("CD", broker.world.poc_start_hash)
    assert.are.equal("POC/GENERATING", broker:intent "node1")
  end)

  it("of a new start block is not that of the old one", function()
    send(broker, 1000)
    send(broker, 1050)
    send(broker, 1105, { epoch = { index = 4, poc_start_block_height = 1100 } })
    assert.is_nil(broker.world.poc_start_hash)
    assert.are.equal("INFERENCE", broker:intent "node1")
  end)
end)

describe("a world that is not synced", function()
  it("issues nothing, and phase commands are skipped; intents stay until it is", function()
    local broker = fleet_of(1)
    send(broker, 999)
    assert.is_nil(send(broker, 1000, { synced = false }).issued)
    assert.are.equal("PoCGenerate", broker.world.phase)
    assert.are.equal("INFERENCE", broker:intent "node1")
    assert.are.equal("skipped", broker:command("start_poc").status)
    assert.are.equal("start_poc", send(broker, 1000, { synced = true }).issued[1].name)
    assert.are.equal("POC/GENERATING", broker:intent "node1")
  end)

  it("is synced again by default", function()
    local broker = fleet_of(1)
    send(broker, 999, { synced = false })
    broker:command("new_block", { height = 1000, hash = "AB" })
    assert.is_true(broker.world.synced)
  end)
end)

describe("wrong arguments", function()
  local function with(name, value)
    local args = block(1000)
    args[name] = value
    return args
  end

  local rows = { -- field, value, part of the message
    { "height", nil, "height is required" },
    { "height", "7", "height must be an integer" },
    { "height", 7.5, "height must be an integer" },
    { "height", -1, "height must be from 0" },
    { "height", math.maxinteger, "height must be from 0 to 2^62" },
    { "hash", nil, "hash is required" },
    { "hash", 7, "hash must be a string" },
    { "hash", "", "hash must be 1 to 128" },
    { "hash", "A B", "hash must be 1 to 128" },
    { "hash", "A\n", "hash must be 1 to 128" },
    { "hash", ("A"):rep(129), "hash must be 1 to 128" },
    { "time", true, "time must be a string or a number" },
    { "synced", "yes", "synced must be a boolean" },
    { "epoch", 3, "epoch must be an object" },
    { "epoch", {}, "epoch.index is required" },
    { "epoch", { index = -1, poc_start_block_height = 1 }, "epoch.index must be 0 or more" },
    { "epoch", { index = "1", poc_start_block_height = 1 }, "epoch.index must be an integer" },
    { "epoch", { index = 1 }, "epoch.poc_start_block_height is required" },
    { "epoch", { index = 1, poc_start_block_height = -5 }, "epoch.poc_start_block_height must be from 0" },
    { "epoch", { index = 1, poc_start_block_height = 1, poc_start_block_hash = "" }, "epoch.poc_start_block_hash must be 1 to 128" },
    { "epoch", { index = 1, poc_start_block_height = 1, poc_start_block_hash = 5 }, "epoch.poc_start_block_hash must be a string" },
    { "epoch", { index = 1, poc_start_block_height = 1, extra = 5 }, "unknown argument epoch.extra" },
    { "params", 5, "params must be an object" },
    { "params", {}, "params.epoch_length is missing" },
    { "params", { epoch_length = 0, poc_stage_duration = 1, poc_validation_delay = 1, poc_validation_duration = 1 }, "greater than 0" },
    { "params", { epoch_length = 9, poc_stage_duration = -1, poc_validation_delay = 1, poc_validation_duration = 1 }, "params.poc_stage_duration" },
    { "epoch_models", { "m" }, "epoch_models must be an object" },
    { "epoch_models", { node1 = "m" }, "epoch_models.node1 must be a list" },
    { "epoch_models", { node1 = { {} } }, "epoch_models.node1[1].id is required" },
    { "epoch_models", { node1 = { { id = "m", model_args = { 1 } } } }, "epoch_models.node1[1].model_args[1] must be a string" },
    { "preserved", { node1 = true }, "preserved must be a list" },
    { "preserved", { 1 }, "preserved[1] must be a string" },
    { "extra", 1, "unknown argument extra" },
  }
  for _, row in ipairs(rows) do
    it(("are refused, and change nothing: %s = %s"):format(row[1], tostring(row[2])), function()
      local broker = fleet_of(1)
      send(broker, 900)
      local answer = broker:command("new_block", with(row[1], row[2]))
      assert.are.equal("error", answer.status)
      assert.is_truthy(answer.error:find(row[3], 1, true), answer.error)
      assert.are.equal(900, broker.world.height)
    end)
  end

  it("of an epoch with whole floats are taken as integers", function()
    local broker = fleet_of(1)
    send(broker, 1000.0, { epoch = { index = 3.0, poc_start_block_height = 1000.0 } })
    assert.are.equal("integer", math.type(broker.world.height))
    assert.are.equal("integer", math.type(broker.world.epoch))
    assert.are.equal(hash_of(1000), broker:target("node1").block_hash)
  end)
end)
