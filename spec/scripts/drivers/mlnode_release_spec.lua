-- The driver where the releases differ: an old node's silence, a new node's rest, and what only a new one tells.

local mlnode  = require "coxswain.testing.mlnode"
local nodes   = require "spec.support.nodes"

local routes = nodes.routes
local STOP, UP, UP_STATUS, HEALTH = routes.STOP, routes.UP, routes.UP_STATUS, routes.HEALTH
local serving, proving, training, stopped = nodes.serving, nodes.proving, nodes.training, nodes.stopped
local at, mutating, assert_done, assert_failed = nodes.at, nodes.mutating, nodes.assert_done, nodes.assert_failed

describe("the driver with an old node in a load", function()
  it("waits out the silence after a stop, with the reason in its deadline, and stops no second time", function()
    local d = at("LOADING", { release = "old", load_s = 900 })
    local attempt = d:reach(proving "GENERATING")
    assert.is_truthy(attempt.extended:find("answers nothing", 1, true))
    assert.are_not.equal("done", attempt.outcome) -- 480 s are not enough
    assert_done(d:converge(proving "GENERATING"))
    assert.are.same({}, d.ml.wrongs)
    assert.are.equal(1, d.ml:count(STOP))
  end)

  it("goes on waiting in an attempt that follows a stop cut off, for any target", function()
    for _, target in ipairs { proving "GENERATING", stopped, training() } do
      local d = at("LOADING", { release = "old", load_s = 400 })
      assert.are.equal("cancelled", d:reach(stopped, { at = 2, how = "sent" }).outcome)
      d.timeline:pass(100)
      local attempt = d:reach(target)
      assert_done(attempt)
      assert.is_truthy(attempt.extended)
      assert.are.same({}, d.ml.wrongs)
    end
  end)

  it("does not rest 5 s: only new nodes need it", function()
    local d = at("LOADING", { release = "old", load_s = 300 })
    assert_done(d:reach(stopped))
    local before_s = d.timeline.now_s
    d.ml.health_lag_s = 0
    assert_done(d:reach(serving()))
    assert.are.equal(300, d.timeline.now_s - before_s)
  end)
end)

describe("the driver with a new node", function()
  it("rests 5 s between a stop in a load and the next load, over attempts too", function()
    local d = at("LOADING", { release = "new", load_s = 300, health_lag_s = 0 })
    assert_done(d:reach(stopped))
    d.timeline:pass(2)
    local before_s = d.timeline.now_s
    assert_done(d:reach(serving()))
    assert.are.equal(303, d.timeline.now_s - before_s)
    assert.are.same({}, d.ml.wrongs)
  end)

  it("rests 5 s also when a PoC began and was called off in between", function()
    local d = at("LOADING", { release = "new", load_s = 300, stop_s = 0.5, gpu_groups = 1, health_lag_s = 0 })
    assert_done(d:reach(proving "GENERATING"))
    assert_done(d:reach(serving()))
    assert.are.same({}, d.ml.wrongs)
    assert.are.equal(2, d.ml.loads)
  end)

  it("does not take a node that hangs after a PoC for one that is silent in a load", function()
    local d = at("LOADING", { release = "old", load_s = 100, stop_s = 0.5 })
    assert_done(d:converge(proving "GENERATING"))
    assert.are.equal("cancelled", d:reach(stopped, { at = 2, how = "lost" }).outcome)
    d.ml.is_silent = true
    local attempt = d:reach(stopped)
    assert.is_nil(attempt.extended)
    assert_failed(attempt, "timeout")
  end)

  it("rests 5 s after a stop that crossed the load of a cut off attempt, counted from its end", function()
    for _, is_live in ipairs { false, true } do
      local d = at("LOADING", { release = "new", load_s = 300, stop_s = 4, is_live = is_live })
      assert.are.equal("cancelled", d:reach(stopped, { at = 2, how = "sent" }).outcome)
      assert_done(d:reach(serving()))
      assert.are.same({}, d.ml.wrongs)
      assert.are.equal(2, d.ml.loads)
    end
  end)

  it("loads anew when up/status says that the load has failed, without waiting for its deadline", function()
    local d = at("STOPPED", { release = "new", load_s = 100 })
    d.ml.fails = 1
    d.ml:receive {
      route = "POST /api/v1/inference/up/async",
      body = { model = "m", dtype = "auto", additional_args = {} },
      reply = function() end,
    }
    d.timeline:pass(101)
    d.ml.mutating = {}
    local attempt = d:reach(serving())
    assert_done(attempt)
    assert.is_true(mlnode.is_in(attempt.calls, UP_STATUS))
    assert.are.same({ STOP, UP }, d.ml.mutating)
    assert.are.same({}, d.ml.wrongs)
  end)

  it("stops a server of the wrong model, and keeps one of the right model that somebody else loaded", function()
    local d = at("STOPPED", { release = "new", load_s = 100 })
    assert_done(d:reach(serving()))
    d.ml:exit()
    d.timeline:pass(60)
    d.ml:load("other")
    d.timeline:pass(200)
    assert_done(d:reach(serving { model = "other", args = {} })) -- known is m, seen is other
    assert.are.equal(2, d.ml.loads)
    local attempt = d:reach(serving())
    assert.are.same({ STOP, UP }, mutating(attempt))
  end)

  it("takes inference/up's 409 for a load that goes on, and waits for it", function()
    local d = at("STOPPED", { release = "new", load_s = 100 })
    d.ml.fault = function(request)
      if request.route ~= UP or d.ml.service then return end
      d.ml:load("m") -- somebody was faster
      return { 409, { detail = "running" } }
    end
    local attempt = d:reach(serving())
    assert_done(attempt)
    assert.are.equal(1, d.ml.loads)
  end)

  it("fails with a conflict when it says STOPPED and refuses a load", function()
    local d = at("STOPPED", { release = "new" })
    d.ml.fault = function(request) if request.route == UP then return { 409, { detail = "conflict" } } end end
    assert_failed(d:reach(serving()), "conflict", "says STOPPED")
  end)

  it("fails when it does not serve 60 s after 200 OK", function()
    local d = at("STOPPED", { release = "new", load_s = 100, health_lag_s = 1000 })
    local attempt = d:reach(serving())
    assert_failed(attempt, "server", "does not serve 60 s")
    assert_done(d:converge(serving())) -- which waits, and does not load a second time
    assert.are.equal(1, d.ml.loads)
  end)

  it("is not fooled by the /health of the management API where both addresses are one", function()
    local d = at("LOADING", { release = "new", is_shared = true, load_s = 300 })
    assert.is_false(d:probe().value.ready)
    assert_done(d:reach(serving()))
    assert.is_true(d.ml:is_healthy())
    assert.are.equal(0, d.ml:count(HEALTH))
  end)
end)
