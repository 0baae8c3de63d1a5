local cases       = require "coxswain.cases"
local differences = require "coxswain.differences"

describe("the difference of two values", function()
  it("names each key that is not as expected", function()
    assert.same({}, differences.list({ a = { 1, "x" } }, { a = { 1, "x" } }))
    assert.same({ "a.b: expected 1, got 2", "c: expected \"x\", got nothing", "d: expected nothing, got true" },
      differences.list({ a = { b = 1 }, c = "x" }, { a = { b = 2 }, d = true }))
    assert.same({ "expected 1, got { 1 }" }, differences.list(1, { 1 }))
  end)
  it("lets names be that are not mentioned when asked, but wants lists whole", function()
    local partial = { is_partial = true }
    assert.same({}, differences.list({ a = 1 }, { a = 1, b = 2 }, partial))
    assert.same({ "a[2]: expected nothing, got 2" }, differences.list({ a = { 1 } }, { a = { 1, 2 } }, partial))
  end)
  it("stays short", function()
    local one, other = {}, {}
    for i = 1, 100 do one[i], other[i] = i, -i end
    assert.equal(13, #differences.list(one, other))
    assert.equal("and 88 more", differences.list(one, other)[13])
  end)
  it("shows values with their keys sorted, and ends in loops", function()
    assert.equal('{ "a", b = 1, ["c d"] = {} }', differences.show { "a", b = 1, ["c d"] = {} })
    local loop = {}
    loop.loop = loop
    assert.is_string(differences.show(loop))
  end)
end)

describe("a case", function()
  local function look(module)
    package.loaded["policy.of_spec"] = module
    local faults = cases.run "policy/of_spec"
    package.loaded["policy.of_spec"] = nil
    return faults[1]
  end
  local function run(case, intent) return look { intent = intent or function(node) return node end, cases = { case } } end
  it("holds when what it names is so", function()
    assert.is_nil(run { "a", node = { x = 1, y = 2 }, expect = { x = 1 } })
    assert.is_nil(run { "a", expect = false })
    assert.is_nil(run({ "a", expect = false }, function() return false end))
  end)
  it("says what differs, and the policy's reason for nothing", function()
    assert.equal('case "a":\n    x: expected 2, got 1', run { "a", node = { x = 1 }, expect = { x = 2 } })
    assert.equal('case "a": expected { x = 2 }, got nothing (it rests)', run({ "a", expect = { x = 2 } }, function() return nil, "it rests" end))
    assert.equal('case "a": expected nothing, got 1', run({ "a", expect = false }, function() return 1 end))
    assert.matches('case "a" failed: .*boom', run({ "a", expect = 1 }, function() error "boom" end))
  end)
  it("stands in a list, in a module that remembers all or nothing", function()
    assert.equal("a policy module returns a table", look(print))
    assert.equal("cases must be a list of cases, not a number", look { cases = 3 })
    assert.equal("save and restore belong together: restore must be a function", look { save = function() end })
    assert.equal("save and restore belong together: save must be a function", look { save = 3, restore = function() end })
    assert.is_nil(look { save = function() end, restore = function() end })
  end)
  it("that could not fail is a fault", function()
    assert.matches("unknown field expct", run { "a", expct = 1 }, 1, true)
    assert.matches("it expects nothing at all", run { "a" }, 1, true)
    assert.matches("begins with a sentence", run { expect = 1 }, 1, true)
    assert.matches("there is no function other", run { "a", call = "other", expect = 1 }, 1, true)
  end)
end)
