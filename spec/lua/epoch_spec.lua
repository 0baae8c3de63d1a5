-- Epoch arithmetic against the network's rules, restated here in another way: as rows of [first, last) with products
-- compared as fractions.

local epoch = require "coxswain.epoch"

local function params_of(s, d, v, changes)
  local params = {
    epoch_length = 100,
    epoch_shift = 0,
    poc_stage_duration = s,
    poc_exchange_duration = 2,
    poc_validation_delay = d,
    poc_validation_duration = v,
    set_new_validators_delay = 1,
  }
  for name, value in pairs(changes or {}) do params[name] = value end
  return params
end

local function latest_of(index, start) return { index = index, poc_start_block_height = start } end

-- Is x < trunc(0.8 * whole)? In whole numbers: x + 1 <= 0.8 * whole, times 5.
local function is_below_four_fifths(x, whole) return 5 * (x + 1) <= 4 * whole end

-- The rules again. Returns phase and command.
local function restated(h, latest, p)
  local x = h - latest.poc_start_block_height
  local s, d, v = p.poc_stage_duration, p.poc_validation_delay, p.poc_validation_duration
  if latest.index == 0 or x < 0 or x >= s + d + v then return "Inference", "inference_up_all" end
  if x >= s + d then
    if is_below_four_fifths(x - s - d, v) then return "PoCValidate", "init_validate" end
    return "PoCValidateWindDown", nil
  end
  if x >= s then return is_below_four_fifths(x, s) and "PoCGenerate" or "PoCGenerateWindDown", "init_validate" end
  if is_below_four_fifths(x, s) then return "PoCGenerate", "start_poc" end
  return "PoCGenerateWindDown", nil
end

describe("the phase", function()
  local latest, params = latest_of(3, 1000), params_of(20, 2, 10) -- 0.8s = 16, validation 22 … 30 … 32

  local rows = { -- height, phase, command
    { 0, "Inference", "inference_up_all" },
    { 998, "Inference", "inference_up_all" },
    { 999, "Inference", "inference_up_all" },
    { 1000, "PoCGenerate", "start_poc" },
    { 1001, "PoCGenerate", "start_poc" },
    { 1015, "PoCGenerate", "start_poc" },
    { 1016, "PoCGenerateWindDown", nil },
    { 1017, "PoCGenerateWindDown", nil },
    { 1019, "PoCGenerateWindDown", nil },
    { 1020, "PoCGenerateWindDown", "init_validate" },
    { 1021, "PoCGenerateWindDown", "init_validate" },
    { 1022, "PoCValidate", "init_validate" },
    { 1023, "PoCValidate", "init_validate" },
    { 1029, "PoCValidate", "init_validate" },
    { 1030, "PoCValidateWindDown", nil },
    { 1031, "PoCValidateWindDown", nil },
    { 1032, "Inference", "inference_up_all" },
    { 1033, "Inference", "inference_up_all" },
    { 1099, "Inference", "inference_up_all" },
    { 1100, "Inference", "inference_up_all" }, -- the next epoch has not been set yet
  }
  for _, row in ipairs(rows) do
    it(("at height %d is %s, with %s due"):format(row[1], row[2], row[3] or "no command"), function()
      assert.are.equal(row[2], epoch.phase(row[1], latest, params))
      assert.are.equal(row[3], epoch.command(row[1], latest, params))
    end)
  end

  it("is Inference in epoch 0, whatever the height", function()
    for _, height in ipairs { 0, 1, 999, 1000, 1016, 1022, 1040, math.maxinteger } do
      assert.are.equal("Inference", epoch.phase(height, latest_of(0, 1000), params))
      assert.are.equal("inference_up_all", epoch.command(height, latest_of(0, 1000), params))
    end
  end)

  it("is exact where floats are not: beyond 2^53", function()
    for _, start in ipairs { (1 << 53) + 1, (1 << 60) + 7, (1 << 62) - 3 } do
      for x = -1, 33 do
        local at = latest_of(1, start)
        assert.are.equal(epoch.phase(1000 + x, latest, params), epoch.phase(start + x, at, params))
        assert.are.equal(epoch.command(1000 + x, latest, params), epoch.command(start + x, at, params))
        assert.are.equal(start + 16, epoch.stages(at, params).poc_generation_wind_down)
      end
    end
  end)

  it("leaves out windows of no length", function()
    local none = params_of(0, 0, 0)
    assert.are.equal("Inference", epoch.phase(1000, latest, none))
    assert.are.equal("inference_up_all", epoch.command(1000, latest, none))
    local only_delay = params_of(0, 3, 0)
    assert.are.equal("PoCGenerateWindDown", epoch.phase(1000, latest, only_delay))
    assert.are.equal("init_validate", epoch.command(1000, latest, only_delay))
    assert.are.equal("Inference", epoch.phase(1003, latest, only_delay))
    local only_validation = params_of(0, 0, 5)
    assert.are.equal("PoCValidate", epoch.phase(1003, latest, only_validation))
    assert.are.equal("PoCValidateWindDown", epoch.phase(1004, latest, only_validation))
    local one_block = params_of(1, 0, 1) -- 0.8 of one block is none
    assert.are.equal("PoCGenerateWindDown", epoch.phase(1000, latest, one_block))
    assert.are.equal("PoCValidateWindDown", epoch.phase(1001, latest, one_block))
    assert.is_nil(epoch.command(1000, latest, one_block))
  end)

  it("truncates 0.8 of every duration exactly", function()
    local durations = {}
    for s = 0, 2000 do durations[#durations + 1] = s end
    for power = 11, 53 do
      for _, near in ipairs { -1, 0, 1 } do durations[#durations + 1] = (1 << power) + near end
    end
    for _, duration in ipairs(durations) do
      local stages = epoch.stages(latest_of(1, 0), params_of(duration, 0, duration))
      local generation, validation = stages.poc_generation_wind_down, stages.poc_validation_wind_down - duration
      assert.is_true(5 * generation <= 4 * duration and 4 * duration < 5 * (generation + 1), "0.8 of " .. duration)
      assert.are.equal(generation, validation)
    end
  end)

  it("and the command follow the rules for random parameters", function()
    local seed = os.time()
    math.randomseed(seed)
    for round = 1, 400 do
      local p = params_of(math.random(0, 60), math.random(0, 8), math.random(0, 40))
      local start = math.random(0, 3) == 0 and math.random(0, 1 << 62) or math.random(0, 5000)
      local at = latest_of(math.random(0, 3), start)
      for x = -3, p.poc_stage_duration + p.poc_validation_delay + p.poc_validation_duration + 3 do
        local phase, command = restated(start + x, at, p)
        local where = ("seed %d, round %d, distance %d"):format(seed, round, x)
        assert.are.equal(phase, epoch.phase(start + x, at, p), where)
        assert.are.equal(command, epoch.command(start + x, at, p), where)
      end
    end
  end)

  it("and the command are always names that are listed", function()
    local phases, commands = {}, {}
    for x = -1, 40 do
      phases[epoch.phase(1000 + x, latest, params)] = true
      commands[epoch.command(1000 + x, latest, params) or "none"] = true
    end
    for _, phase in ipairs(epoch.PHASES) do assert.is_true(phases[phase]) end
    for _, command in ipairs(epoch.COMMANDS) do assert.is_true(commands[command]) end
  end)
end)

describe("the stages of an epoch", function()
  it("are the heights of the network's rules", function()
    assert.are.same({
      poc_start = 1000,
      poc_generation_wind_down = 1016,
      poc_generation_end = 1020,
      poc_validation_start = 1022,
      poc_validation_wind_down = 1030,
      poc_validation_end = 1032,
      set_new_validators = 1033,
      claim = 1034,
      next_poc_start = 1100,
      poc_exchange = { first = 1001, last = 1022 },
      validation_exchange = { first = 1023, last = 1032 },
    }, epoch.stages(latest_of(3, 1000), params_of(20, 2, 10)))
  end)

  it("take what is absent for 0", function()
    local params = { epoch_length = 50, poc_stage_duration = 10, poc_validation_delay = 1, poc_validation_duration = 5 }
    local stages = epoch.stages(latest_of(1, 100), params)
    assert.are.equal(116, stages.set_new_validators)
    assert.are.same({ first = 101, last = 110 }, stages.poc_exchange)
    assert.are.same({ next_poc_start = 50 }, epoch.stages(latest_of(0, 0), params))
  end)

  it("are in epoch 0 only the way to the first PoC", function()
    assert.are.same({ next_poc_start = 90 }, epoch.stages(latest_of(0, 0), params_of(20, 2, 10, { epoch_shift = 10 })))
  end)

  it("agree with the phase at each of them", function()
    local latest, params = latest_of(2, 500), params_of(33, 4, 17)
    local stages = epoch.stages(latest, params)
    local begins = {
      poc_start = "PoCGenerate",
      poc_generation_wind_down = "PoCGenerateWindDown",
      poc_validation_start = "PoCValidate",
      poc_validation_wind_down = "PoCValidateWindDown",
      poc_validation_end = "Inference",
    }
    for name, phase in pairs(begins) do
      assert.are.equal(phase, epoch.phase(stages[name], latest, params))
      assert.are_not.equal(phase, epoch.phase(stages[name] - 1, latest, params))
    end
  end)
end)

describe("reading parameters", function()
  local good = { epoch_length = 100, poc_stage_duration = 20, poc_validation_delay = 2, poc_validation_duration = 10 }

  local function with(changes)
    local params = {}
    for name, value in pairs(good) do params[name] = value end
    for name, value in pairs(changes) do params[name] = value end
    return params
  end

  it("makes whole numbers of floats, keeps the rest, and leaves the given table as it was", function()
    local given = with { epoch_length = 100.0, epoch_shift = 3.0, some_weight = 0.25, nested = { 1 } }
    local read = epoch.read_params(given)
    assert.are.equal("integer", math.type(read.epoch_length))
    assert.are.equal("integer", math.type(read.epoch_shift))
    assert.are.equal(0.25, read.some_weight)
    assert.are.same({ 1 }, read.nested)
    assert.are.equal("float", math.type(given.epoch_length))
  end)

  it("names what is missing", function()
    for name in pairs(good) do
      local params = with {}
      params[name] = nil
      local read, message = epoch.read_params(params)
      assert.is_nil(read)
      assert.are.equal(("params.%s is missing: no phase can be told without it"):format(name), message)
    end
  end)

  it("refuses what is no number of blocks", function()
    for _, name in ipairs { "epoch_length", "poc_stage_duration", "epoch_shift", "set_new_validators_delay", "inference_validation_cutoff" } do
      for _, value in ipairs { -1, 0.5, "20", true, {}, 0 / 0, math.huge, -math.huge, (1 << 53) + 1, 1e300 } do
        local read, message = epoch.read_params(with { [name] = value })
        assert.is_nil(read)
        assert.is_truthy(message:find("params." .. name .. " must be a whole number of blocks", 1, true))
      end
    end
  end)

  it("refuses an epoch of no length", function()
    local read, message = epoch.read_params(with { epoch_length = 0 })
    assert.is_nil(read)
    assert.are.equal("params.epoch_length must be greater than 0", message)
  end)
end)
