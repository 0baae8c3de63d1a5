-- The driver against answers that no node should give: other statuses, other types, and what gateways between say. None of them is
-- ever taken for success, and once they end the node gets to its target without a load that another one crosses.

local nodes = require "spec.support.nodes"

local routes = nodes.routes
local STATE, STOP, UP, DOWN = routes.STATE, routes.STOP, routes.UP, routes.DOWN
local GENERATE, VALIDATE, POW_STATUS, TRAIN = routes.GENERATE, routes.VALIDATE, routes.POW_STATUS, routes.TRAIN
local serving, proving, training, stopped = nodes.serving, nodes.proving, nodes.training, nodes.stopped
local at, mutating = nodes.at, nodes.mutating
local assert_done, assert_failed, assert_idle = nodes.assert_done, nodes.assert_failed, nodes.assert_idle

-- From a state to a target, and a call without which that cannot be done.
local needs = {
  { "STOPPED", serving(), STATE },
  { "POW", serving(), STOP },
  { "TRAIN", serving(), STOP },
  { "STOPPED", serving(), UP },
  { "INFERENCE", proving "GENERATING", STOP },
  { "STOPPED", proving "GENERATING", GENERATE },
  { "POW", proving "GENERATING", GENERATE },
  { "POW", proving "VALIDATING", VALIDATE },
  { "INFERENCE", stopped, STOP },
  { "POW", stopped, STOP },
  { "TRAIN", stopped, STATE },
  { "STOPPED", training(), TRAIN },
  { "INFERENCE", training(), STOP },
}

local statuses = { 300, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 405, 407, 408, 409, 410, 413, 418, 422, 429, 451, 500, 501, 502,
  503, 504, 505, 511, 599 }

local bodies = { "", "<html>moved</html>", { status = "OK" }, { state = "STOPPED", status = "OK", pow_status = { status = "GENERATING" } } }

local function answering(d, route, answer)
  d.ml.fault = function(request) if request.route == route then return answer end end
end

local function name_of(target) return target.poc and target.status .. "/" .. target.poc or target.status end

local of_release = { old = "an old node", new = "a new node" }

for _, release in ipairs { "old", "new" } do
  describe("the driver with " .. of_release[release], function()
    for _, need in ipairs(needs) do
      local from, target, route = need[1], need[2], need[3]
      it(("takes nothing but success of %s for success, from %s to %s"):format(route, from, name_of(target)), function()
        for i, status in ipairs(statuses) do
          local d = at(from, { release = release, load_s = 100 })
          answering(d, route, { status, bodies[i % #bodies + 1] })
          assert.are.equal("failed", d:reach(target).outcome, status)
          d.ml.fault = nil
          local attempt = d:converge(target, 30, 3)
          assert_done(attempt)
          assert.are.same({}, d.ml.wrongs)
          assert.is_true(d.ml.loads <= (from == "INFERENCE" and 1 or 0) + (target.model and 1 or 0), status)
          assert_idle(d, target)
        end
      end)
    end

    it("takes 200 with status ERROR for no success, wherever it is said", function()
      for _, need in ipairs(needs) do
        if need[3] ~= STATE then
          local d = at(need[1], { release = release, load_s = 100 })
          answering(d, need[3], { 200, { status = "ERROR", message = "no" } })
          assert_failed(d:reach(need[2]), "server")
          d.ml.fault = nil
          assert_done(d:converge(need[2], 60, 3))
          assert.are.same({}, d.ml.wrongs)
        end
      end
    end)

    it("does not believe a state of another type", function()
      local states = { json.array {}, json.array { "STOPPED" }, { state = {} }, { state = json.array { "STOPPED" } }, { state = true }, { state = 1.5 },
        { State = "STOPPED" }, { state = { state = "STOPPED" } }, "", "STOPPED", '"STOPPED"', ("x"):rep(200000), "\0", "\xff\xfe", "null" }
      for i, body in ipairs(states) do
        local d = at("POW", { release = release })
        answering(d, STATE, { 200, body })
        for _, target in ipairs { serving(), proving "GENERATING", stopped, training() } do
          assert_failed(d:reach(target), "bad_answer", "without a state")
        end
        assert_failed(d:probe(), "bad_answer", "without a known state")
        assert.are.same({}, d.ml.mutating, i)
      end
    end)

    it("probes no state that it does not know", function()
      for _, state in ipairs { "", "inference", "INFERENCE ", "PAUSED", "status", ("S"):rep(100000) } do
        local d = at("STOPPED", { release = release })
        answering(d, STATE, { 200, { state = state } })
        assert_failed(d:probe(), "bad_answer", "without a known state")
      end
    end)

    it("stops a node of an unknown state before anything else", function()
      for _, target in ipairs { serving(), proving "GENERATING", training(), stopped } do
        local d = at("POW", { release = release, load_s = 100 })
        local is_unknown = true
        d.ml.fault = function(request)
          if request.route == STOP then is_unknown = false end
          if request.route == STATE and is_unknown then return { 200, { state = "PAUSED" } } end
        end
        assert_done(d:reach(target))
        assert.are.equal(STOP, d.ml.mutating[1])
      end
    end)

    it("asks for a PoC stage again that pow/status does not confirm, whatever it says", function()
      local answers = { { 200, "" }, { 200, { status = "IDLE" } }, { 200, { status = 7 } }, { 200, { status = {} } }, { 200, json.array {} },
        { 200, { status = "generating" } }, { 409, { status = "GENERATING" } }, { 200, { pow_status = { status = "GENERATING" } } } }
      for i, answer in ipairs(answers) do
        local d = at("STOPPED", { release = release })
        assert_done(d:reach(proving "GENERATING"))
        answering(d, POW_STATUS, answer)
        local attempt = d:reach(proving "GENERATING")
        assert_done(attempt)
        assert.are.same({ GENERATE }, mutating(attempt), i)
        assert.are.equal(1, d.ml.inits)
        assert.are.equal(i == 2 and "IDLE" or nil, d:probe().value.poc, i)
      end
    end)

    it("goes on waiting for a load that a gateway has passed on and not waited for", function()
      for _, status in ipairs { 502, 503, 504 } do
        local d = at("STOPPED", { release = release, load_s = 900 })
        d.ml.fault = function(request)
          if request.route ~= UP then return end
          d.ml:serve { route = UP, body = request.body, reply = function() end, reset = function() end, refuse = function() end }
          return { status, "<html>" }
        end
        assert_failed(d:reach(serving()), "server", tostring(status))
        assert.are.equal(UP, d.unanswered.call)
        assert_done(d:converge(serving(), 30, 3))
        assert.are.equal(1, d.ml.loads)
        assert.are.equal(0, d.ml:count(DOWN))
        assert.are.same({}, d.ml.wrongs)
        assert_idle(d, serving())
      end
    end)

    it("ends a load that a gateway has passed on when it is no longer wanted", function()
      local d = at("STOPPED", { release = release, load_s = 400, begin_s = 3 })
      d.ml.fault = function(request)
        if request.route ~= UP then return end
        d.ml:serve { route = UP, body = request.body, reply = function() end, reset = function() end, refuse = function() end }
        return { 504, "" }
      end
      assert_failed(d:reach(serving()), "server")
      assert_done(d:converge(proving "GENERATING", 30, 1)) -- it says STOPPED, and would begin to load
      d.timeline:pass(100)
      assert.are.equal("POW", d.ml.service)
    end)

    it("doubts a stop that a gateway has passed on and not waited for", function()
      local d = at("STOPPED", { release = release, load_s = 100, stop_s = 50 })
      assert_done(d:reach(serving()))
      d.ml.fault = function(request)
        if request.route ~= STOP then return end
        d.ml.fault = nil
        d.ml:serve { route = STOP, reply = function() end, reset = function() end, refuse = function() end }
        return { 504, "" }
      end
      local attempt = d:reach(stopped)
      if release == "new" then assert_failed(attempt, "server") else assert_done(attempt) end -- an old one is waited for: it may be silent
      assert_done(d:converge(serving(), 30, 3))
      d.timeline:pass(100)
      assert.is_true(d.ml:is_healthy())
      assert.are.same({}, d.ml.wrongs)
    end)
  end)

  describe("a task of another configuration", function()
    it("is trained anew, on " .. of_release[release], function()
      local d = at("STOPPED", { release = release })
      assert_done(d:reach(training { train_config = { rate = 1, layers = json.array { 1, 2 } } }))
      assert_idle(d, training { train_config = { rate = 1, layers = json.array { 1, 2 } } })
      local attempt = d:reach(training { train_config = { rate = 2, layers = json.array { 1, 2 } } })
      assert_done(attempt)
      assert.are.same({ STOP, TRAIN }, mutating(attempt))
      assert.are.equal(2, d.ml.train.train_config.rate)
      assert_idle(d, training { train_config = { rate = 2, layers = json.array { 1, 2 } } })
    end)
  end)
end

describe("the driver with an old node in a load behind a gateway", function()
  it("waits out its silence after a stop, though the gateway does not", function()
    local d = at("LOADING", { release = "old", load_s = 500 })
    local patience_s = 4
    d.ml.fault = function(request) -- a gateway that answers by itself after a while
      d.timeline:after(patience_s, function() request.reply(504, "<html>") end)
    end
    assert_done(d:converge(stopped, 20, 3))
    assert.are.same({}, d.ml.wrongs)
    assert.is_nil(d.ml.service)
  end)
end)

describe("the driver with a new node behind one address", function()
  it("takes only true for healthy", function()
    for _, healthy in ipairs { "true", 1, "", {}, json.array { true }, false } do
      local d = at("INFERENCE", { release = "new", is_shared = true })
      answering(d, STATE, { 200, { state = "INFERENCE", version = "3", inference_healthy = healthy, loaded_model = "m" } })
      assert.is_false(d:probe().value.ready)
    end
  end)

  it("sees no model in what is no text", function()
    for _, model in ipairs { 7, true, {}, json.array { "m" } } do
      local d = at("INFERENCE", { release = "new", is_shared = true })
      answering(d, STATE, { 200, { state = "INFERENCE", version = 3, inference_healthy = true, loaded_model = model } })
      assert.is_nil(d:probe().value.model)
      local attempt = d:reach(serving())
      assert_done(attempt)
      assert.are.same({}, mutating(attempt))
    end
  end)
end)
