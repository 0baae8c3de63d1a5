-- The driver while somebody sets the wall clock: how long a load, a rest or a doubt lasts is no affair of that clock.

local mlnode  = require "coxswain.testing.mlnode"
local nodes   = require "spec.support.nodes"
local testing = require "coxswain.testing"

local routes = nodes.routes
local STOP, UP = routes.STOP, routes.UP
local serving, stopped = nodes.serving, nodes.stopped
local at, mutating, assert_done, assert_failed = nodes.at, nodes.mutating, nodes.assert_done, nodes.assert_failed

local jumps_s = { -366 * 86400, -7200, -30, 30, 1500, 7200, 50 * 366 * 86400 }

for _, release in ipairs { "old", "new" } do
  describe(("the driver with %s node, while the clock is set,"):format(release == "old" and "an old" or "a new"), function()
    local options
    before_each(function() options = { release = release, load_s = 900 } end)

    it("goes on waiting for a load that it has seen", function()
      for _, jump_s in ipairs(jumps_s) do
        options.timeline = nil
        local d = at("LOADING", options)
        assert.are.equal("cancelled", d:reach(serving(), { at = 8, how = "answered" }).outcome)
        testing.set_clock(jump_s)
        d.timeline:after(60, function() testing.set_clock(jump_s) end)
        local attempt = d:reach(serving())
        assert_done(attempt)
        assert.are.same({}, mutating(attempt))
        assert.are.equal(1, d.ml.loads)
      end
    end)

    it("still loads anew what is not ready for 1500 s", function()
      for _, jump_s in ipairs(jumps_s) do
        options.load_s, options.timeline = math.huge, nil
        local d = at("LOADING", options)
        d.timeline:after(700, function() testing.set_clock(jump_s) end)
        local began_s = d.timeline.now_s
        assert.are.equal("deadline", d:reach(serving()).outcome)
        assert.are.same({}, d.ml.mutating)
        d.ml.load_s = 300
        d.ml.timeline:cancel(d.ml.load_event)
        d.ml.load_event = nil
        assert_done(d:converge(serving()))
        assert.are.same({ STOP, UP }, d.ml.mutating)
        assert.is_true(d.timeline.now_s - began_s < 1900)
      end
    end)

    it("waits no longer and no shorter for a process that is about to end", function()
      for _, jump_s in ipairs(jumps_s) do
        options.failed_says, options.timeline = "STOPPED", nil
        local d = at("STOPPED", options)
        d.ml.fails = 1
        d.ml.fault = function(request) if request.route == routes.DOWN then return { 503, "" } end end
        assert_failed(d:reach(serving()), "server")
        d.ml.fault = nil
        testing.set_clock(jump_s)
        local began_s = d.timeline.now_s
        assert_done(d:converge(serving(), 30, 1))
        assert.are.same({}, d.ml.wrongs)
        assert.is_true(d.timeline.now_s - began_s < 900 + 100)
      end
    end)
  end)
end

describe("the driver with a new node, while the clock is set,", function()
  it("rests its 5 s between a stop in a load and the next load", function()
    for _, jump_s in ipairs(jumps_s) do
      local d = at("LOADING", { release = "new", load_s = 300, health_lag_s = 0 })
      assert_done(d:reach(stopped))
      testing.set_clock(jump_s)
      d.timeline:pass(2)
      local before_s = d.timeline.now_s
      assert_done(d:reach(serving()))
      assert.are.equal(303, d.timeline.now_s - before_s)
      assert.are.same({}, d.ml.wrongs)
    end
  end)
end)

-- With the node object of the daemon, which knows the age of an unanswered call.
describe("an unanswered stop", function()
  local function took_s(jump_s, is_new_era)
    local server = testing.mlnode { release = "new", load_s = 100 }
    local node = testing.drive("mlnode", server)
    local target = { status = "INFERENCE", model = "m", args = {} }
    assert.equal("done", node:reach(target).outcome)
    server.fault = function(request) if request.route == STOP then return "hang" end end
    assert.equal("cancelled", node:reach({ status = "STOPPED" }, { cancel_at = 2 }).outcome)
    server.fault = nil
    testing.timeline():pass(20)
    testing.set_clock(jump_s)
    if is_new_era then testing.begin_era() end
    local attempt = node:reach(target)
    assert.equal("done", attempt.outcome)
    assert.is_false(mlnode.is_in(attempt.calls, STOP))
    return attempt.took_s
  end

  it("is doubted for 65 s from when it was sent, whatever the clock says", function()
    for _, jump_s in ipairs(jumps_s) do assert.near(45, took_s(jump_s), 2.1) end
  end)
end)

describe("a daemon whose machine started anew", function()
  local function see_load(seen_s)
    local d = at("LOADING", { release = "old", load_s = 1400 })
    assert.are.equal("cancelled", d:reach(serving(), { at = 4, how = "answered" }).outcome)
    d.timeline:pass(seen_s)
    testing.begin_era()
    return d
  end

  it("gives a load that it saw before its whole time, and no more", function()
    local d = see_load(1200)
    testing.set_clock(86400)
    local attempt = d:reach(serving())
    assert_done(attempt)
    assert.are.same({}, mutating(attempt))
    d = see_load(100)
    d.ml.timeline:cancel(d.ml.load_event) -- it never ends
    assert.are.equal("deadline", d:reach(serving()).outcome)
    assert.are.same({}, d.ml.mutating)
    d.ml.load_event, d.ml.load_s = nil, 300
    assert_done(d:converge(serving()))
    assert.are.same({ STOP, UP }, d.ml.mutating)
  end)

  it("takes notes of an older script, which are no marks, for as old as itself", function()
    local d = at("LOADING", { release = "new", load_s = 900 })
    d.memory = { url = d.poc_url, not_ready_since = 1700000000 - 5000, rests_from = 1700000000, failed_at = 1700000000 + 5000 }
    local attempt = d:reach(serving())
    assert_done(attempt)
    assert.are.same({}, mutating(attempt))
  end)
end)

describe("a fleet in a load", function()
  it("is not loaded anew when the clock is set forward by half an hour", function()
    local servers = {}
    testing.fleet({ {}, {} }, function(node)
      servers[node.id] = testing.mlnode { release = node.id == "node1" and "old" or "new" }
      return servers[node.id]
    end)
    testing.due "inference_up_all"
    testing.pass(100)
    testing.command("reconcile", { node_id = "node1" }) -- an attempt that did not begin the load itself
    testing.command("reconcile", { node_id = "node2" })
    testing.pass(100)
    testing.set_clock(1800)
    testing.pass(600)
    for id, server in pairs(servers) do
      assert.equal("INFERENCE", testing.status(id))
      assert.equal(1, server.loads)
      assert.same({}, server.wrongs)
    end
  end)
end)
