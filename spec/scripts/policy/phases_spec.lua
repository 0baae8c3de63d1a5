local phases = require "policy.phases"

local function world_of(command, changes)
  local world = {
    command = command,
    epoch = 7,
    phase = ({ start_poc = "PoCGenerate", init_validate = "PoCValidate" })[command] or "Inference",
    poc_start_height = 700,
    poc_start_hash = "AB",
    poc_node_count = 3,
    participant = { address = "gonka1x", pubkey = "Akey" },
    callback_url = "http://10.0.0.5:9100",
  }
  for name, value in pairs(changes or {}) do world[name] = value end
  return world
end

local function node_of(changes)
  local node = {
    id = "node1",
    node_num = 2,
    models = { b = { args = { "--x", "1" } }, a = {} },
    intended_status = "INFERENCE",
    admin_state = { enabled = true, epoch = 0 },
  }
  for name, value in pairs(changes or {}) do node[name] = value end
  return node
end

local enabled_now = { enabled = true, epoch = 7 }
local disabled_before = { enabled = false, epoch = 6 }
local disabled_now = { enabled = false, epoch = 7 }

-- Does every field of `expect` stand in `target`?
local function assert_covers(expect, target)
  assert.is_table(target)
  for name, value in pairs(expect) do assert.are.same(value, target[name], name) end
end

describe("the intent", function()
  local GEN, VAL = "POC/GENERATING", "POC/VALIDATING"
  local rows = { -- what the node is, start_poc, init_validate, inference_up_all
    { "an eligible node", {}, GEN, VAL, "INFERENCE" },
    { "a node in training", { intended_status = "TRAINING" }, GEN, VAL, nil },
    { "a preserved node", { preserved = true }, "INFERENCE", "INFERENCE", "INFERENCE" },
    { "a preserved node in training", { preserved = true, intended_status = "TRAINING" }, "INFERENCE", "INFERENCE", nil },
    { "a node enabled in this epoch", { admin_state = enabled_now }, "STOPPED", "STOPPED", "INFERENCE" },
    { "a node disabled before", { admin_state = disabled_before }, "STOPPED", "STOPPED", "STOPPED" },
    { "a node disabled before in training", { admin_state = disabled_before, intended_status = "TRAINING" }, "STOPPED", "STOPPED", "STOPPED" },
    { "a preserved node disabled before", { admin_state = disabled_before, preserved = true }, "STOPPED", "STOPPED", "STOPPED" },
    { "a preserved node enabled in this epoch", { admin_state = enabled_now, preserved = true }, "STOPPED", "STOPPED", "INFERENCE" },
    { "a node disabled in this epoch", { admin_state = disabled_now }, GEN, VAL, "INFERENCE" },
    { "a stopped node", { intended_status = "STOPPED" }, GEN, VAL, "INFERENCE" },
    { "a node without a target yet", { intended_status = "UNKNOWN" }, GEN, VAL, "INFERENCE" },
    { "a node outside of the episode's numbers", { node_num = 3 }, nil, nil, "INFERENCE" },
  }
  for _, row in ipairs(rows) do
    for i, command in ipairs { "start_poc", "init_validate", "inference_up_all" } do
      local expected = ({ row[3], row[4], row[5] })[i]
      it(("of %s is %s when %s is due"):format(row[1], expected or "left as it is", command), function()
        local target, reason = phases.intent(node_of(row[2]), world_of(command))
        local got = target and target.status .. (target.poc and "/" .. target.poc or "")
        assert.are.equal(expected, got)
        assert.is_string(reason)
      end)
    end
  end

  it("is left as it is where no command is due, none is known, or no world is", function()
    for _, world in ipairs { world_of(nil), world_of(false), world_of("dance") } do
      assert.is_nil((phases.intent(node_of(), world)))
    end
    assert.is_nil((phases.intent(node_of(), nil)))
  end)

  it("of an episode holds the same block, count and url for both stages", function()
    local generate = phases.intent(node_of(), world_of "start_poc")
    local validate = phases.intent(node_of(), world_of "init_validate")
    assert.are.same({ status = "POC", poc = "GENERATING", block_height = 700, block_hash = "AB", public_key = "Akey", node_id = 2,
      node_count = 3, url = "http://10.0.0.5:9100/v1/poc-batches" }, generate)
    generate.poc = "VALIDATING"
    assert.are.same(generate, validate)
  end)

  it("joins callback_url and path with one slash", function()
    local joined = { ["http://h"] = "http://h", ["http://h//"] = "http://h", ["http://h/x/"] = "http://h/x" }
    for url, base in pairs(joined) do
      assert.are.equal(base .. "/v1/poc-batches", phases.intent(node_of(), world_of("start_poc", { callback_url = url })).url)
    end
  end)

  it("is no PoC while anything is missing, and the reason says what", function()
    local rows_missing = {
      { "poc_start_hash", "the hash of PoC start block 700 is not known" },
      { "callback_url", "callback_url is not configured" },
      { "participant", "participant.pubkey is not configured" },
      { "poc_node_count", "the node count of this PoC episode is not known" },
    }
    for _, row in ipairs(rows_missing) do
      for _, command in ipairs { "start_poc", "init_validate" } do
        local world = world_of(command)
        world[row[1]] = nil
        local target, reason = phases.intent(node_of(), world)
        assert.is_nil(target)
        assert.is_truthy(reason:find(row[2], 1, true), reason)
      end
    end
    local target, reason = phases.intent(node_of(), world_of("start_poc", { participant = { address = "x" } }))
    assert.is_nil(target)
    assert.is_truthy(reason:find("pubkey", 1, true))
  end)

  it("of a node that serves names the model, or says why there is none", function()
    local target, reason = phases.intent(node_of(), world_of "inference_up_all")
    assert.are.equal("a", target.model)
    assert.are.same({}, target.args)
    assert.is_truthy(reason:find("first configured", 1, true))
    target, reason = phases.intent(node_of { models = {} }, world_of "inference_up_all")
    assert.are.same({ status = "INFERENCE" }, target)
    assert.is_truthy(reason:find("no model", 1, true))
    target, reason = phases.intent(node_of { epoch_models = { { id = "b", model_args = { "--x=2" } } } }, world_of "inference_up_all")
    assert.are.same({ status = "INFERENCE", model = "b", args = { "--x=2" } }, target)
    assert.is_truthy(reason:find("the epoch's model", 1, true))
  end)

  it("says why in words that belong to the node asked for, whatever was asked before", function()
    local _, preserved = phases.intent(node_of { preserved = true }, world_of "start_poc")
    local _, generates = phases.intent(node_of(), world_of "start_poc")
    local _, next_one = phases.intent(node_of(), world_of("start_poc", { poc_start_height = 900 }))
    local _, stopped = phases.intent(node_of { admin_state = { enabled = false, epoch = 6, reason = "new disk" } }, world_of "start_poc")
    assert.is_truthy(preserved:find("preserved", 1, true))
    assert.is_truthy(generates:find("block 700", 1, true))
    assert.is_truthy(next_one:find("block 900", 1, true))
    assert.are.equal("disabled in epoch 6 (new disk)", stopped)
  end)
end)

-- A view that cannot be changed, and its inner tables too.
local function frozen(value)
  if type(value) ~= "table" then return value end
  local copy = {}
  for key, inner in pairs(value) do copy[key] = frozen(inner) end
  return setmetatable({}, {
    __index = copy,
    __newindex = function(_, key) error("changed the input: " .. tostring(key)) end,
    __len = function() return #copy end,
    __pairs = function() return pairs(copy) end,
  })
end

describe("policy", function()
  it("changes neither node nor world, and answers the same each time", function()
    local nodes = { {}, { preserved = true }, { epoch_models = { { id = "b", model_args = { "--y", "2" } } } }, { admin_state = disabled_before },
      { intended_status = "TRAINING" }, { node_num = 9 } }
    for _, command in ipairs { "start_poc", "init_validate", "inference_up_all" } do
      for _, changes in ipairs(nodes) do
        local node, world = frozen(node_of(changes)), frozen(world_of(command))
        local target, reason = phases.intent(node, world)
        phases.intent(node_of { preserved = true }, world_of("init_validate", { poc_start_height = 1, callback_url = "http://z" }))
        local again, same_reason = phases.intent(node, world)
        assert.are.same(target, again)
        assert.are.equal(reason, same_reason)
      end
    end
  end)

  it("gives each node a target of its own", function()
    local one, other = phases.intent(node_of(), world_of "start_poc"), phases.intent(node_of(), world_of "start_poc")
    assert.are_not.equal(one, other)
  end)
end)

describe("the smoke case", function()
  for _, case in ipairs(phases.cases) do
    it(("%q holds"):format(case[1]), function()
      local target, reason = phases.intent(case.node, case.world)
      assert.is_string(reason)
      if case.expect then assert_covers(case.expect, target) else assert.is_nil(target) end
    end)
  end
end)
