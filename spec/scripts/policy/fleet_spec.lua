local fake  = require "spec.support.broker"
local fleet = require "policy.fleet"

local params = { epoch_length = 100, poc_stage_duration = 20, poc_validation_delay = 2, poc_validation_duration = 10 }

local function fleet_at(height)
  local broker = fake.new()
  for i = 1, 3 do broker:register { id = "node" .. i, host = "10.0.0." .. i, models = { m = {} } } end
  broker:set_world { height = height, hash = "FF", synced = true, epoch = 3, phase = "PoCGenerate", command = "start_poc", params = params,
    poc_start_height = 1000, poc_start_hash = "AB" }
  return broker
end

describe("the world of a command", function()
  it("is the broker's with that command, or with none, and with the episode's node count", function()
    local broker = fleet_at(1003)
    local world = fleet.world(broker, "init_validate")
    assert.are.equal("init_validate", world.command)
    assert.are.equal(3, world.poc_node_count)
    assert.are.equal(1003, world.height)
    assert.are.equal("Akey", world.participant.pubkey)
    assert.is_false(fleet.world(broker, nil).command)
    assert.are.equal("start_poc", broker.world.command)
    broker.world.poc_start_hash = nil
    assert.is_nil(fleet.world(broker, "start_poc").poc_node_count)
  end)
end)

describe("refreshing a node", function()
  it("sets what the command due asks for, and says why", function()
    local broker = fleet_at(1003)
    local is_decided, reason = fleet.refresh(broker, broker:node "node2")
    assert.is_true(is_decided)
    assert.is_truthy(reason:find("start_poc", 1, true))
    assert.are.equal("POC/GENERATING", broker:intent "node2")
    assert.are.equal("none", broker:intent "node1")
  end)

  it("leaves it alone where no command is due, not synced, or before the first block", function()
    local broker = fleet_at(1003)
    broker.world.command = nil
    assert.is_false((fleet.refresh(broker, broker:node "node2")))
    broker.world.command, broker.world.synced = "start_poc", false
    assert.is_false((fleet.refresh(broker, broker:node "node2")))
    broker.world = nil
    assert.is_false((fleet.refresh(broker, broker:node "node2")))
    assert.are.equal("none", broker:intent "node2")
  end)
end)

describe("applying a command", function()
  it("asks the broker for the episode's node count once, not once per node", function()
    local broker = fleet_at(1003)
    local asked, node_count = 0, broker.node_count
    broker.node_count = function(...)
      asked = asked + 1
      return node_count(...)
    end
    assert.are.same({ changed = 3 }, fleet.apply(broker, "start_poc"))
    assert.are.equal(1, asked)
  end)
end)
