-- The answers of a chain: good ones are read exactly, and no bad one gets through or breaks the reader.

local chain = require "coxswain.chain"

local good = {
  status = { result = { node_info = { network = "spec-1" }, sync_info = { catching_up = false, latest_block_height = "9007199254740993",
    latest_block_hash = ("AB"):rep(32), latest_block_time = "2026-01-02T03:04:05.678901234Z" } } },
  block_hash = { result = { block_id = { hash = ("0C"):rep(32) } } },
  new_block = { result = { data = { value = { block = { header = { height = "4611686018427387904", time = "t" } },
    block_id = { hash = ("AB"):rep(32) } } } } },
  epoch_info = { block_height = "77", params = { epoch_params = { epoch_length = "100", epoch_shift = "0", poc_stage_duration = "20",
    poc_validation_delay = "2", poc_validation_duration = "10", name = "x", fraction = "0.5" } },
    latest_epoch = { index = "3", poc_start_block_height = "50" } },
  group_models = { epoch_group_data = { sub_group_models = { "m1", "m2" } } },
  group_of_model = { epoch_group_data = { model_snapshot = { model_args = { "--tp", "2" } }, validation_weights = {
    { member_address = "other", ml_nodes = { { node_id = "x", timeslot_allocation = { true, true } } } },
    { member_address = "me", ml_nodes = { { node_id = "a", timeslot_allocation = { true, false } }, { node_id = "b", timeslot_allocation = { false, true } },
      { node_id = "c" } } } } } },
  models = { model = { { id = "m1", model_args = { "--x" } }, { id = "m2" } }, pagination = { next_key = "k=" } },
}

local function copy_of(value)
  if type(value) ~= "table" then return value end
  local copy = {}
  for key, inner in pairs(value) do copy[key] = copy_of(inner) end
  return copy
end

local function read(name, json) return chain[name](json, "me") end

describe("a good answer", function()
  it("is read exactly, heights beyond 2^53 too", function()
    local status = read("status", good.status)
    assert.are.equal(9007199254740993, status.height)
    assert.are.equal("spec-1", status.network)
    assert.is_false(status.is_catching_up)
    assert.are.equal(("0C"):rep(32), read("block_hash", good.block_hash))
    local block = read("new_block", good.new_block)
    assert.are.equal(1 << 62, block.height)
    assert.are.equal("integer", math.type(block.height))
  end)

  it("gives whole numbers for what the gateway writes as texts, and only those", function()
    local info = read("epoch_info", good.epoch_info)
    assert.are.same({ index = 3, poc_start_block_height = 50 }, info.epoch)
    assert.are.same({ epoch_length = 100, epoch_shift = 0, poc_stage_duration = 20, poc_validation_delay = 2, poc_validation_duration = 10 }, info.params)
    assert.are.equal("integer", math.type(info.params.epoch_length))
  end)

  it("tells who is ours, and who is preserved by the second time slot", function()
    local group = read("group_of_model", good.group_of_model)
    assert.are.same({ { id = "a", is_preserved = false }, { id = "b", is_preserved = true }, { id = "c", is_preserved = false } }, group.nodes)
    assert.are.same({ "--tp", "2" }, group.model_args)
    assert.are.same({ "m1", "m2" }, read("group_models", good.group_models))
    assert.are.same({}, read("group_models", { epoch_group_data = {} }))
    local models, key = read("models", good.models)
    assert.are.same({ m1 = { "--x" }, m2 = {} }, models)
    assert.are.equal("k=", key)
  end)
end)

describe("a bad answer", function()
  -- Every place of every good answer, with everything that could stand there instead.
  local replacements = { false, true, 0, -1, 1.5, 2 ^ 70, "", "x", "-1", "1e3", "99999999999999999999", ("9"):rep(400), {}, { 1 }, { x = 1 }, { {} }, 0 / 0 }

  local function each_place(value, visit, path)
    for key, inner in pairs(value) do
      local place = { parent = value, key = key, path = path .. "." .. tostring(key) }
      visit(place)
      if type(inner) == "table" then each_place(inner, visit, place.path) end
    end
  end

  local function at(root, path)
    local parent, key = nil, nil
    for name in path:gmatch("[^.]+") do
      if key then parent = parent[key] else parent = root end
      key = math.tointeger(tonumber(name)) and parent[math.tointeger(tonumber(name))] ~= nil and math.tointeger(tonumber(name)) or name
    end
    return parent, key
  end

  for name, answer in pairs(good) do
    it(("of %s never breaks the reader, and what is wrong is named"):format(name), function()
      local paths, refused = {}, 0
      each_place(answer, function(place) paths[#paths + 1] = place.path end, "")
      for _, path in ipairs(paths) do
        for i = 0, #replacements do
          local broken = copy_of(answer)
          local parent, key = at(broken, path)
          parent[key] = replacements[i] -- nil for 0: missing
          local value, why = read(name, broken)
          if value == nil then
            refused = refused + 1
            assert.are.equal("string", type(why), path)
            assert.is_true(#why > 0 and #why < 200, path)
          end
        end
      end
      assert.is_true(refused > #paths)
      for _, whole in ipairs { false, 1, "x", {}, { 1 }, { result = 1 }, { epoch_group_data = "x" } } do
        local is_run, value = pcall(read, name, whole or nil)
        assert.is_true(is_run)
        if name ~= "models" then assert.is_nil(value) end
      end
    end)
  end

  it("is refused for a height that is no whole number below 2^62", function()
    for _, height in ipairs { "", "x", "-1", "1.5", "1e5", " 1", "4611686018427387905", "99999999999999999999", 7, 1.5, true, {} } do
      local broken = copy_of(good.new_block)
      broken.result.data.value.block.header.height = height
      local value, why = read("new_block", broken)
      assert.is_nil(value)
      assert.is_truthy(why:find("height must be a whole number", 1, true))
    end
  end)

  it("is refused for a list that is too long", function()
    local broken = { epoch_group_data = { sub_group_models = {} } }
    for i = 1, 100001 do broken.epoch_group_data.sub_group_models[i] = "m" end
    local value, why = read("group_models", broken)
    assert.is_nil(value)
    assert.is_truthy(why:find("at most 100000", 1, true))
  end)
end)

describe("peeking into an event", function()
  it("finds the header's height", function()
    local text = '{"result":{"data":{"value":{"block":{"header":{"version":{"block":"11"},"chain_id":"x","height":"123","time":"t"},"data":{"height":"9"}}}}}}'
    assert.are.equal(123, chain.peek_height(text))
  end)
  it("gives up on everything else", function()
    for _, text in ipairs { "", "{}", '{"height":"5"}', '{"header":{"height":5}}', '{"header":{"height":"x"}}', '{"header":{', '{"header":{"height":"' } do
      assert.is_nil(chain.peek_height(text))
    end
  end)
end)

it("escapes what would be taken for a part of an address", function()
  assert.are.equal("Qwen%2FQwQ-32B%20%26x%3D%25", chain.escape "Qwen/QwQ-32B &x=%")
end)
