-- Attempts that are cut off at any point: while a call is open, when it never arrived, or right after its answer. Whatever
-- the node was left in, the following attempts bring it to their target, begin no load that another one crosses, and leave
-- it alone once it is there.

local driving = require "spec.support.driving"

local serving = { status = "INFERENCE", model = "m", args = { "--own", "1" } }
local other = { status = "INFERENCE", model = "other", args = {} }
local stopped = { status = "STOPPED" }
local training = { status = "TRAINING", task = { task_id = "7", master_node_addr = "a", world_size = 1, rank = 0 } }

local function proving(stage)
  return {
    status = "POC",
    poc = stage,
    block_height = 7,
    block_hash = "AB",
    public_key = "k",
    node_id = 0,
    node_count = 1,
    url = "u",
  }
end

local targets = {
  serving = serving,
  other = other,
  generating = proving "GENERATING",
  validating = proving "VALIDATING",
  stopped = stopped,
  training = training,
}

local names = { "serving", "other", "generating", "validating", "stopped", "training" }

-- What the node is at when the attempt that will be cut begins: reached by an attempt of our own.
local function brought_to(first, options)
  local copy = {}
  for name, value in pairs(options) do copy[name] = value end
  local d = driving.new(copy)
  if first then assert(d:converge(targets[first]).outcome == "done") end
  return d
end

local function is_at(ml, name)
  if name == "serving" then return ml:is_healthy() and ml.model == "m" end
  if name == "other" then return ml:is_healthy() and ml.model == "other" end
  if name == "generating" or name == "validating" then return ml.service == "POW" and ml.pow.stage == targets[name].poc end
  if name == "stopped" then return ml.service == nil and not ml.is_gone end
  return ml.service == "TRAIN"
end

local CUTS_MAX = 12 -- later calls are polls like those before

-- How long the cut call was open, and how long nothing happens then.
local moments = { { after_s = 0, gap_s = 0 }, { after_s = 0, gap_s = 7 }, { after_s = 2, gap_s = 0 }, { after_s = 60, gap_s = 100 } }

local function mutations(ml) return #ml.mutating end

-- Cuts an attempt to `cut`, then goes to `last`. Returns what went wrong, or nil; and whether there was anything to cut.
local function play(options, first, cut, last, cancel, gap_s)
  local d = brought_to(first, options)
  local broken = d:reach(targets[cut], cancel)
  if broken.outcome ~= "cancelled" then return nil, false end
  d.timeline:pass(gap_s)
  local attempt, tries = d:converge(targets[last], 60, 3)
  if not tries then
    return ("never there: %s %s"):format(attempt.outcome, attempt.error and attempt.error.message or ""), true
  end
  if not is_at(d.ml, last) then return "done, but the node is not there", true end
  if #d.ml.wrongs > 0 then return d.ml.wrongs[1], true end
  local before = mutations(d.ml)
  d.timeline:pass(100) -- whatever was under way has come to its end
  if not is_at(d.ml, last) then return "it did not stay there", true end
  local again = d:reach(targets[last])
  if again.outcome ~= "done" or mutations(d.ml) ~= before then return "a second attempt was not idle", true end
  return nil, true
end

-- Every yield of the attempt to `cut`, in each way of being cut.
local function play_all(options, first, cut, last)
  local faults, played = {}, 0
  for _, how in ipairs { "sent", "lost", "answered" } do
    for _, when in ipairs(how == "sent" and moments or { moments[1], moments[2] }) do
      for at = 1, CUTS_MAX do
        local fault, was_cut = play(options, first, cut, last, { at = at, how = how, after_s = when.after_s }, when.gap_s)
        if not was_cut then break end
        played = played + 1
        if fault then
          faults[#faults + 1] = ("%s → cut off to %s at call %d (%s, open for %d s), %d s → %s: %s"):format(
            first or "fresh", cut, at, how, when.after_s, when.gap_s, last, fault)
        end
      end
    end
  end
  return faults, played
end

for _, release in ipairs { "old", "new" } do
  for _, is_shared in ipairs { false, true } do
    local node_name = (release == "old" and "an old node" or "a new node") .. (is_shared and " behind one address" or "")
    describe(("an attempt with %s, cut off at any point,"):format(node_name), function()
      for _, first in ipairs { "fresh", "serving", "generating", "training" } do
        for _, cut in ipairs(names) do
          it(("from %s to %s is made good by whatever follows"):format(first, cut), function()
            local options = { release = release, is_shared = is_shared, is_live = is_shared, load_s = 200, begin_s = 1 }
            local faults, played = {}, 0
            for _, last in ipairs(names) do
              local some, count = play_all(options, first ~= "fresh" and first or nil, cut, last)
              played = played + count
              table.move(some, 1, #some, #faults + 1, faults)
            end
            assert.is_true(played > 0)
            assert.are.equal("", table.concat(faults, "\n"))
          end)
        end
      end
    end)
  end
end

describe("a stop in a load", function()
  it("is rested after also when its answer came at the very end of the attempt, which did not see it", function()
    local d = driving.new { release = "new", load_s = 200, stop_s = 11 }
    assert.are.equal("cancelled", d:reach(serving, { at = 3, how = "sent", after_s = 30 }).outcome)
    assert.are.equal("INFERENCE", d.ml.service) -- it loads
    assert.are.equal("cancelled", d:reach(training, { at = 2, how = "sent", after_s = 11 }).outcome)
    assert.is_nil(d.ml.service)
    assert.are.equal("done", d:converge(serving, 60, 3).outcome)
    assert.are.same({}, d.ml.wrongs)
  end)
end)

describe("attempts cut off again and again", function()
  for _, release in ipairs { "old", "new" } do
    it(("bring %s node to the last target, whatever chance says"):format(release == "old" and "an old" or "a new"), function()
      for round = 1, 150 do
        local d = driving.new {
          release = release,
          is_shared = round % 2 == 0,
          is_live = round % 3 == 0,
          load_s = math.random(5, 400),
          stop_s = math.random(1, 60),
          begin_s = math.random(0, 2),
          fails = math.random(0, 3) == 0 and 1 or 0,
          failed_says = math.random(0, 1) == 0 and "STOPPED" or nil,
        }
        for _ = 1, 8 do
          local how = ({ "sent", "lost", "answered" })[math.random(3)]
          local cancel = { at = math.random(1, 8), how = how, after_s = math.random(0, 90) }
          d:reach(targets[names[math.random(#names)]], cancel)
          d.timeline:pass(math.random(0, 30))
          if math.random(0, 9) == 0 and not d.ml.is_gone then d.ml:exit() end
        end
        local last = names[math.random(#names)]
        local attempt = d:converge(targets[last], 60, 3)
        assert.are.equal("done", attempt.outcome, ("round %d: %s"):format(round, attempt.error and attempt.error.message or ""))
        assert.are.same({}, d.ml.wrongs, "round " .. round)
        d.timeline:pass(100)
        assert.is_true(is_at(d.ml, last), "round " .. round)
      end
    end)
  end
end)
