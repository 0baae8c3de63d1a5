local eligibility = require "policy.eligibility"

local function node_of(is_enabled, epoch, changes)
  local node = { admin_state = { enabled = is_enabled, epoch = epoch } }
  for name, value in pairs(changes or {}) do node[name] = value end
  return node
end

local phases = require("coxswain.epoch").PHASES

describe("the admin rule", function()
  for _, phase in ipairs(phases) do
    it(("for an enabled node holds in later epochs, and always in Inference: %s"):format(phase), function()
      for set_in = 0, 4 do
        for latest = 0, 4 do
          local expected = latest > set_in or phase == "Inference"
          assert.are.equal(expected, eligibility.is_operational(node_of(true, set_in), { epoch = latest, phase = phase }))
        end
      end
    end)

    it(("for a disabled node holds to the end of the epoch in which it was set: %s"):format(phase), function()
      for set_in = 0, 4 do
        for latest = 0, 4 do
          assert.are.equal(set_in >= latest, eligibility.is_operational(node_of(false, set_in), { epoch = latest, phase = phase }))
        end
      end
    end)
  end

  it("is the bare admin state before the first epoch is known", function()
    for _, world in ipairs { {}, { phase = "Inference" } } do
      assert.is_true(eligibility.is_operational(node_of(true, 3), world))
      assert.is_false(eligibility.is_operational(node_of(false, 3), world))
    end
    assert.is_true(eligibility.is_operational(node_of(true, 3), nil))
  end)

  it("takes a node of which nothing was said for enabled", function()
    assert.is_true(eligibility.is_operational({}, { epoch = 0, phase = "PoCGenerate" }))
  end)
end)

describe("the verdict", function()
  local poc = { epoch = 5, phase = "PoCGenerate" }

  it("is stopped, serves or follows, in this order", function()
    assert.are.equal("follows", (eligibility.decide(node_of(true, 4), poc)))
    assert.are.equal("serves", (eligibility.decide(node_of(true, 4, { preserved = true }), poc)))
    assert.are.equal("stopped", (eligibility.decide(node_of(true, 5, { preserved = true }), poc)))
    assert.are.equal("stopped", (eligibility.decide(node_of(false, 4), poc)))
    assert.are.equal("follows", (eligibility.decide(node_of(false, 5), poc)))
  end)

  it("says why, with the operator's own reason", function()
    local _, why = eligibility.decide({ admin_state = { enabled = false, epoch = 4, reason = "new disk" } }, poc)
    assert.are.equal("disabled in epoch 4 (new disk)", why)
    _, why = eligibility.decide({ admin_state = { enabled = false, epoch = 4, reason = "new disk", expires_at = 1700000000 } }, poc)
    assert.are.equal("disabled in epoch 4 until 2023-11-14T22:13:20.000Z (new disk)", why)
    _, why = eligibility.decide(node_of(true, 5), poc)
    assert.is_truthy(why:find("enabled in epoch 5: it takes part from the next epoch or Inference phase on", 1, true))
  end)
end)
