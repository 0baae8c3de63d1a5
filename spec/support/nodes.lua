-- What the specs of the driver share: its routes, targets, and nodes brought into a state by somebody else.

local driving = require "spec.support.driving"

local M = {
  routes = {
    STATE = "GET /api/v1/state",
    STOP = "POST /api/v1/stop",
    UP = "POST /api/v1/inference/up",
    UP_STATUS = "GET /api/v1/inference/up/status",
    DOWN = "POST /api/v1/inference/down",
    HEALTH = "GET inference /health",
    GENERATE = "POST /api/v1/pow/init/generate",
    VALIDATE = "POST /api/v1/pow/init/validate",
    POW_STATUS = "GET /api/v1/pow/status",
    TRAIN = "POST /api/v1/train/start",
  },
  stopped = { status = "STOPPED" },
}

function M.serving(changes)
  local target = { status = "INFERENCE", model = "m", args = { "--own", "1" } }
  for key, value in pairs(changes or {}) do target[key] = value end
  return target
end

function M.proving(stage, changes)
  local target = {
    status = "POC",
    poc = stage,
    block_height = 700,
    block_hash = "AB01",
    public_key = "Akey",
    node_id = 0,
    node_count = 2,
    url = "http://10.0.0.5:9100/v1/poc-batches",
  }
  for key, value in pairs(changes or {}) do target[key] = value end
  return target
end

function M.training(changes)
  local task = {
    task_id = "7",
    master_node_addr = "10.0.0.1",
    world_size = 2,
    rank = 1,
    participant = "gonka1x",
    store_url = "http://10.0.0.5:9100",
  }
  for key, value in pairs(changes or {}) do task[key] = value end
  return { status = "TRAINING", task = task }
end

-- Puts the node into a state that somebody else brought about.
local bring = {
  STOPPED = function() end,
  INFERENCE = function(d)
    d.ml:load("m", { "--own", "1" })
    d.timeline:pass(700)
  end,
  LOADING = function(d)
    d.ml:load("m", { "--own", "1" })
    d.timeline:pass(100)
  end,
  POW = function(d)
    d.ml.service, d.ml.pow = "POW", { body = { of = "another episode" }, stage = "GENERATING", ready_at_s = 0 }
  end,
  TRAIN = function(d) d.ml.service, d.ml.train = "TRAIN", {} end,
}

--- A driver's world whose node is in that state; options as of support.driving.
function M.at(state, options)
  local d = driving.new(options)
  bring[state](d)
  d.ml.calls, d.ml.mutating = {}, {}
  return d
end

--- The calls of an attempt that change something.
function M.mutating(attempt)
  local list = {}
  for _, call in ipairs(attempt.calls) do
    if call:find("^POST") then list[#list + 1] = call end
  end
  return list
end

function M.assert_done(attempt) assert.are.equal("done", attempt.outcome, attempt.error and attempt.error.message) end

function M.assert_failed(attempt, class, pattern)
  assert.are.equal("failed", attempt.outcome)
  assert.are.equal(class, attempt.error.class)
  if pattern then assert.is_truthy(attempt.error.message:find(pattern), attempt.error.message) end
end

--- Nothing is left to do: another attempt makes no call that changes anything.
function M.assert_idle(d, target)
  local again = d:reach(target)
  M.assert_done(again)
  assert.are.same({}, M.mutating(again))
end

return M
