-- start_poc, init_validate, inference_up_all: which phases take them, and what they do to a mixed fleet.

local fake    = require "spec.support.broker"
local testing = require "coxswain.testing"

local params = { epoch_length = 100, poc_stage_duration = 20, poc_validation_delay = 2, poc_validation_duration = 10 }
local epoch = { index = 3, poc_start_block_height = 1000, poc_start_block_hash = "AB" }

local heights = { Inference = 950, PoCGenerate = 1003, PoCGenerateWindDown = 1017, PoCValidate = 1025, PoCValidateWindDown = 1031 }

local function fleet_at(phase, changes)
  local broker = fake.new()
  for i = 1, 4 do broker:register { id = "node" .. i, host = "10.0.0." .. i, models = { m = { args = { "--own", "1" } } } } end
  local args = { height = heights[phase], hash = "FF", epoch = epoch, params = params, preserved = { "node4" } }
  for name, value in pairs(changes or {}) do args[name] = value end
  assert.are.equal("done", broker:command("new_block", args).status)
  for _, entry in pairs(broker.entries) do entry.target, entry.changes = nil, 0 end
  return broker
end

local accepted = {
  start_poc = { PoCGenerate = true },
  init_validate = { PoCGenerateWindDown = true, PoCValidate = true },
  inference_up_all = { Inference = true, PoCValidateWindDown = true },
}

for name, phases in pairs(accepted) do
  describe(name, function()
    for phase in pairs(heights) do
      it(("is %s in %s"):format(phases[phase] and "taken" or "skipped", phase), function()
        local broker = fleet_at(phase)
        local answer = broker:command(name)
        assert.are.equal(phases[phase] and "done" or "skipped", answer.status)
        assert.are.equal(phases[phase] and 4 or nil, answer.result and answer.result.changed)
      end)
    end

    it("is skipped when not synced, and before the first block", function()
      local phase = next(phases)
      assert.are.equal("skipped", fleet_at(phase, { synced = false }):command(name).status)
      assert.are.equal("skipped", fake.new():command(name).status)
    end)

    it("takes no arguments", function()
      local answer = fleet_at((next(phases))):command(name, { node_id = "node1" })
      assert.are.equal("error", answer.status)
      assert.is_truthy(answer.error:find("unknown argument node_id", 1, true))
    end)

    it("changes nothing the second time", function()
      local broker = fleet_at((next(phases)))
      broker:command(name)
      assert.are.equal(0, broker:command(name).result.changed)
    end)

    it("is done on an empty fleet", function()
      local broker = fleet_at((next(phases)))
      broker.entries = {}
      assert.are.same({ changed = 0 }, broker:command(name).result)
    end)
  end)
end

describe("a mixed fleet", function()
  it("gets what each node's state asks for", function()
    local broker = fleet_at "PoCGenerate"
    broker.entries.node2.admin = { enabled = false, epoch = 1 }
    broker.entries.node3.target = { status = "TRAINING", task = { task_id = "1" } }
    broker:command "start_poc"
    assert.are.equal("POC/GENERATING", broker:intent "node1")
    assert.are.equal("STOPPED", broker:intent "node2")
    assert.are.equal("POC/GENERATING", broker:intent "node3")
    assert.are.equal("INFERENCE", broker:intent "node4")
  end)

  it("keeps its training when inference is asked for", function()
    local broker = fleet_at "Inference"
    broker.entries.node3.target = { status = "TRAINING", task = { task_id = "1" } }
    assert.are.same({ changed = 3 }, broker:command("inference_up_all").result)
    assert.are.equal("TRAINING", broker:intent "node3")
  end)

  it("has distinct node numbers below the node count", function()
    local broker = fleet_at "Inference"
    broker:remove "node4"
    broker:remove "node1"
    broker:register { id = "node9", host = "h", models = { m = {} } }
    broker.entries.node9.admin.epoch = 0
    assert.are.equal("done", broker:command("new_block", { height = heights.PoCGenerate, hash = "FE" }).status)
    local seen = {}
    for id in pairs(broker.entries) do
      local target = broker:target(id)
      assert.is_nil(seen[target.node_id])
      seen[target.node_id] = true
      assert.is_true(target.node_id < target.node_count)
      assert.are.equal(3, target.node_count)
    end
  end)

  it("counts and names what it could not set, once for the whole fleet", function()
    local broker = fleet_at("PoCGenerate")
    broker.world.poc_start_hash = nil
    local before = #testing.logged()
    local answer = broker:command "start_poc"
    assert.are.equal(1, answer.result.changed) -- the preserved one
    local said = testing.logged()
    assert.are.equal(before + 1, #said)
    assert.are.equal(3, said[#said].fields.nodes)
    assert.is_truthy(said[#said].fields.first:find("^node1: the hash of PoC start block 1000"))
  end)
end)
