-- The fake node itself against what is known of the wire: a driver that passes against a wrong node proves nothing.

local mlnode   = require "coxswain.testing.mlnode"
local timeline = require "coxswain.testing.timeline"

local line

local function node_of(options)
  line = timeline.new()
  options.timeline = line
  return mlnode.new(options)
end

-- Sends a request. The answer's table is filled when it comes.
local function send(node, route, body)
  local answer = {}
  node:receive {
    route = route,
    body = body,
    reply = function(status, json) answer.status, answer.json, answer.at_s = status, json, line.now_s end,
    reset = function() answer.class = "reset" end,
    refuse = function() answer.class = "refused" end,
  }
  return answer
end

local function state_of(node) return (send(node, "GET /api/v1/state").json or {}).state end

local load_body = { model = "m", dtype = "float16", additional_args = {} }
local init_body = { block_hash = "AB", node_id = 0, node_count = 1, url = "u" }
local train_body = { train_config = {}, train_env = { TASK_ID = "7" } }

local STATE, STOP, UP = "GET /api/v1/state", "POST /api/v1/stop", "POST /api/v1/inference/up"
local ASYNC, UP_STATUS, DOWN = "POST /api/v1/inference/up/async", "GET /api/v1/inference/up/status", "POST /api/v1/inference/down"
local GENERATE, VALIDATE, POW_STATUS = "POST /api/v1/pow/init/generate", "POST /api/v1/pow/init/validate", "GET /api/v1/pow/status"
local POW_STOP, TRAIN, TRAIN_STOP = "POST /api/v1/pow/stop", "POST /api/v1/train/start", "POST /api/v1/train/stop"
local HEALTH, MODELS = "GET inference /health", "GET inference /v1/models"

for _, release in ipairs { "old", "new" } do
  describe(("the fake %s node"):format(release), function()
    it("answers 409 to every call of another service, and always to state and stop", function()
      local services = {
        { "INFERENCE", UP, load_body, { GENERATE, VALIDATE, POW_STATUS, POW_STOP, TRAIN, TRAIN_STOP } },
        { "POW", GENERATE, init_body, { UP, DOWN, TRAIN, TRAIN_STOP } },
        { "TRAIN", TRAIN, train_body, { UP, DOWN, GENERATE, VALIDATE, POW_STATUS, POW_STOP } },
      }
      for _, service in ipairs(services) do
        local node = node_of { release = release, load_s = 10, health_lag_s = 0 }
        send(node, service[2], service[3])
        line:pass(20)
        assert.are.equal(service[1], state_of(node))
        for _, route in ipairs(service[4]) do assert.are.equal(409, send(node, route, load_body).status, route) end
        local stop = send(node, STOP)
        line:pass(10)
        assert.are.equal(200, stop.status)
        assert.are.equal("STOPPED", state_of(node))
        assert.are.equal(200, send(node, STOP).status)
      end
    end)

    it("blocks inference/up until it is loaded, says INFERENCE meanwhile, and serves a little later", function()
      local node = node_of { release = release, load_s = 600, health_lag_s = 3 }
      local up = send(node, UP, load_body)
      line:pass(599)
      assert.is_nil(up.status)
      assert.are.equal("INFERENCE", state_of(node))
      assert.are.equal(503, send(node, HEALTH).status)
      line:pass(1)
      assert.are.equal(200, up.status)
      assert.are.equal(503, send(node, HEALTH).status)
      line:pass(3)
      assert.are.equal(200, send(node, HEALTH).status)
      assert.are.equal(200, send(node, MODELS).status)
    end)

    it("refuses bad bodies", function()
      local node = node_of { release = release }
      assert.are.equal(422, send(node, UP, { model = "m" }).status)
      for _, wrong in ipairs { { node_count = 1 }, { node_id = 0 }, { node_id = -1, node_count = 1 }, { node_id = 0, node_count = -1 } } do
        assert.are.equal(400, send(node, GENERATE, wrong).status)
        assert.are.equal(400, send(node, VALIDATE, wrong).status)
      end
      assert.are.equal(500, send(node, TRAIN, { train_env = { GLOBAL_RANK = 1 } }).status)
      assert.are.equal(400, send(node, TRAIN_STOP).status)
      send(node, TRAIN, train_body)
      assert.are.equal(400, send(node, TRAIN, train_body).status)
    end)

    it("does not restart a PoC for the same body, and does for any other one", function()
      local node = node_of { release = release }
      assert.are.same({ status = "NOT_LOADED" }, send(node, POW_STATUS).json)
      send(node, GENERATE, init_body)
      assert.are.same({ status = "GENERATING", is_model_initialized = false }, send(node, POW_STATUS).json)
      line:pass(60)
      send(node, GENERATE, init_body)
      assert.are.equal(1, node.inits)
      assert.is_true(send(node, POW_STATUS).json.is_model_initialized)
      send(node, VALIDATE, init_body)
      assert.are.equal("VALIDATING", send(node, POW_STATUS).json.status)
      assert.are.equal(1, node.inits)
      send(node, GENERATE, { block_hash = "AB", node_id = 0, node_count = 1, url = "other" })
      assert.are.equal(2, node.inits)
      assert.are.equal("IDLE", send(node, POW_STOP).json.pow_status.status)
      assert.is_string(send(node, POW_STOP).json.pow_status)
    end)

    it("is mute while PoW or training stops", function()
      for _, service in ipairs { { GENERATE, init_body }, { TRAIN, train_body } } do
        local node = node_of { release = release, stop_s = 4 }
        send(node, service[1], service[2])
        local stop, state = send(node, STOP), send(node, STATE)
        line:pass(3)
        assert.is_nil(stop.status or state.status)
        line:pass(1)
        assert.are.equal(200, stop.status)
        assert.are.equal("STOPPED", state.json.state)
      end
    end)

    it("is refused between its end and its return", function()
      local node = node_of { release = release, restart_s = 20 }
      local up = send(node, UP, load_body)
      node:exit()
      assert.are.equal("reset", up.class)
      assert.are.equal("refused", send(node, STATE).class)
      line:pass(20)
      assert.are.equal("STOPPED", state_of(node))
    end)

    it("stops everything when two services ran", function()
      local node = node_of { release = release }
      send(node, GENERATE, init_body)
      node.two_services = 500
      assert.are.equal(500, send(node, STATE).status)
      assert.are.equal("STOPPED", state_of(node))
    end)
  end)
end

describe("the fake old node", function()
  it("answers nothing to anybody after a stop in a load until the load has ended", function()
    local node = node_of { release = "old", load_s = 600, stop_s = 4 }
    send(node, UP, load_body)
    line:pass(100)
    local stop, state = send(node, STOP), send(node, STATE)
    line:pass(499)
    assert.is_nil(stop.status or state.status)
    line:pass(5)
    assert.are.equal(200, stop.status)
    assert.are.equal("STOPPED", state.json.state)
  end)

  it("answers a failed load with 200 and ERROR, and ends 6 s later", function()
    local node = node_of { release = "old", load_s = 60, fails = 1 }
    local up = send(node, UP, load_body)
    line:pass(60)
    assert.are.same({ 200, "ERROR" }, { up.status, up.json.status })
    line:pass(5)
    assert.are.equal("INFERENCE", state_of(node))
    send(node, UP, load_body)
    assert.are.equal(1, #node.wrongs)
    line:pass(1)
    assert.are.equal("refused", send(node, STATE).class)
  end)

  it("knows neither up/async nor what a new one tells, and has no /health behind one address", function()
    local node = node_of { release = "old", is_shared = true }
    assert.are.equal(404, send(node, ASYNC, load_body).status)
    assert.are.equal(404, send(node, UP_STATUS).status)
    assert.are.equal(404, send(node, HEALTH).status)
    assert.are.same({ state = "STOPPED" }, send(node, STATE).json)
  end)

  it("loads again when it runs already", function()
    local node = node_of { release = "old", load_s = 60 }
    send(node, UP, load_body)
    line:pass(100)
    send(node, UP, load_body)
    assert.are.equal(2, node.loads)
    send(node, UP, load_body)
    assert.are.same({ "a load while another one goes on" }, node.wrongs)
  end)
end)

describe("the fake new node", function()
  it("says INFERENCE, healthy, until its stop is done", function()
    local node = node_of { release = "new", load_s = 60, stop_s = 10 }
    send(node, UP, load_body)
    line:pass(100)
    local stop = send(node, STOP)
    line:pass(9)
    local state = send(node, STATE).json
    assert.are.same({ "INFERENCE", true, "m" }, { state.state, state.inference_healthy, state.loaded_model })
    line:pass(1)
    assert.are.equal(200, stop.status)
    assert.are.same({ state = "STOPPED", version = "3.0.14", poc_status = "NO_BACKENDS", inference_healthy = false }, send(node, STATE).json)
  end)

  it("answers 409 to a load while it runs or loads, and 500 as text to the load that a stop ended", function()
    local node = node_of { release = "new", load_s = 60, stop_s = 4 }
    local up = send(node, UP, load_body)
    assert.are.equal(409, send(node, UP, load_body).status)
    send(node, STOP)
    line:pass(4)
    assert.are.equal(500, up.status)
    assert.is_string(up.json)
  end)

  it("hangs and restarts when it is loaded within 5 s after a stop in a load", function()
    local node = node_of { release = "new", load_s = 60, stop_s = 4 }
    send(node, UP, load_body)
    send(node, STOP)
    line:pass(8)
    local up = send(node, UP, load_body)
    assert.are.equal(1, #node.wrongs)
    line:pass(29)
    assert.is_nil(up.status or send(node, STATE).status)
    line:pass(1)
    assert.are.equal("reset", up.class)
  end)

  it("answers for 6 s after a failed load, is silent for 35 s and ends, but not after inference/down", function()
    local node = node_of { release = "new", load_s = 60, fails = 1 }
    local up = send(node, UP, load_body)
    line:pass(60)
    assert.are.equal(500, up.status)
    line:pass(5)
    assert.are.equal("INFERENCE", state_of(node))
    line:pass(1)
    assert.is_nil(state_of(node))
    line:pass(35)
    assert.are.equal("refused", send(node, STATE).class)

    node = node_of { release = "new", load_s = 60, fails = 1 }
    send(node, UP, load_body)
    line:pass(60)
    assert.are.equal(200, send(node, DOWN).status)
    line:pass(100)
    assert.are.equal("STOPPED", state_of(node))
  end)

  it("tells how a load goes that was begun without waiting", function()
    local node = node_of { release = "new", load_s = 60 }
    assert.are.equal("not_started", send(node, UP_STATUS).json.status)
    assert.are.equal("starting", send(node, ASYNC, load_body).json.status)
    assert.are.equal(409, send(node, ASYNC, load_body).status)
    assert.are.equal("in_progress", send(node, UP_STATUS).json.status)
    line:pass(60)
    assert.are.equal("completed", send(node, UP_STATUS).json.status)
    send(node, STOP)
    line:pass(10)
    assert.are.equal("not_started", send(node, UP_STATUS).json.status)
    node.fails = 1
    send(node, ASYNC, load_body)
    line:pass(60)
    assert.are.equal("failed", send(node, UP_STATUS).json.status)
  end)

  it("is alive behind one address whatever it serves", function()
    local node = node_of { release = "new", is_shared = true }
    assert.are.equal(200, send(node, HEALTH).status)
    assert.is_false(send(node, STATE).json.inference_healthy)
  end)
end)
