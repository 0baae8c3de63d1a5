-- The driver against a node of each release: which calls it makes, from every state to every target, and that it makes
-- none when there is nothing to do.

local driver  = require "drivers.mlnode"
local mlnode  = require "coxswain.testing.mlnode"
local nodes   = require "spec.support.nodes"

local routes = nodes.routes
local STATE, STOP, UP, DOWN, TRAIN = routes.STATE, routes.STOP, routes.UP, routes.DOWN, routes.TRAIN
local GENERATE, VALIDATE, POW_STATUS = routes.GENERATE, routes.VALIDATE, routes.POW_STATUS
local serving, proving, training, stopped = nodes.serving, nodes.proving, nodes.training, nodes.stopped
local at, mutating = nodes.at, nodes.mutating
local assert_done, assert_failed, assert_idle = nodes.assert_done, nodes.assert_failed, nodes.assert_idle

-- from state, target → the mutating calls, in their order.
local transitions = {
  { "STOPPED", serving(), { STOP, UP } },
  { "STOPPED", proving "GENERATING", { GENERATE } },
  { "STOPPED", proving "VALIDATING", { VALIDATE } },
  { "STOPPED", stopped, {} },
  { "STOPPED", training(), { STOP, TRAIN } },
  { "INFERENCE", serving(), {} },
  { "INFERENCE", serving { model = "other" }, { STOP, UP }, only = "new" },
  { "INFERENCE", serving { model = "other" }, {}, only = "old" }, -- nothing is known of it: a running server is accepted
  { "INFERENCE", proving "GENERATING", { STOP, GENERATE } },
  { "INFERENCE", proving "VALIDATING", { STOP, VALIDATE } },
  { "INFERENCE", stopped, { STOP } },
  { "INFERENCE", training(), { STOP, TRAIN } },
  { "LOADING", serving(), {} },
  { "LOADING", proving "GENERATING", { STOP, GENERATE } },
  { "LOADING", stopped, { STOP } },
  { "POW", serving(), { STOP, UP } },
  { "POW", proving "GENERATING", { GENERATE } },
  { "POW", proving "VALIDATING", { VALIDATE } },
  { "POW", stopped, { STOP } },
  { "POW", training(), { STOP, TRAIN } },
  { "TRAIN", serving(), { STOP, UP } },
  { "TRAIN", proving "GENERATING", { STOP, GENERATE } },
  { "TRAIN", proving "VALIDATING", { STOP, VALIDATE } },
  { "TRAIN", stopped, { STOP } },
  { "TRAIN", training(), { STOP, TRAIN } },
}

local function name_of(target)
  if target.poc then return target.status .. "/" .. target.poc end
  return target.model == "other" and "INFERENCE of another model" or target.status
end

for _, release in ipairs { "old", "new" } do
  for _, is_shared in ipairs { false, true } do
    local node_name = (release == "old" and "an old node" or "a new node") .. (is_shared and " behind one address" or "")
    describe("the driver with " .. node_name, function()
      local options
      before_each(function() options = { release = release, is_shared = is_shared, load_s = 300 } end)

      for _, row in ipairs(transitions) do
        local from, target, expected = row[1], row[2], row[3]
        if not row.only or row.only == release then
          it(("brings it from %s to %s with exactly its calls, and then makes none"):format(from, name_of(target)), function()
            local d = at(from, options)
            local attempt = d:reach(target)
            assert_done(attempt)
            assert.are.equal(STATE, attempt.calls[1])
            assert.are.same(expected, mutating(attempt))
            assert_idle(d, target)
            assert.are.same({}, d.ml.wrongs)
          end)
        end
      end

      it("makes only the calls of the must-show over a whole epoch, however often it looks", function()
        local d = at("STOPPED", options)
        local function counts()
          local ml = d.ml
          return { stop = ml:count(STOP), up = ml:count(UP), generate = ml:count(GENERATE), validate = ml:count(VALIDATE) }
        end
        local steps = {
          { serving(), { stop = 1, up = 1, generate = 0, validate = 0 } },
          { proving "GENERATING", { stop = 2, up = 1, generate = 1, validate = 0 } },
          { proving "VALIDATING", { stop = 2, up = 1, generate = 1, validate = 1 } },
          { serving(), { stop = 3, up = 2, generate = 1, validate = 1 } },
        }
        for _, step in ipairs(steps) do
          for _ = 1, 3 do
            assert_done(d:reach(step[1]))
            d:probe()
            assert.are.same(step[2], counts())
          end
        end
      end)

      it("is done only when the server is ready, seconds after inference/up was answered", function()
        local d = at("STOPPED", options)
        assert_done(d:reach(serving()))
        assert.is_true(d.ml:is_healthy())
      end)

      it("waits for a load that somebody began, for as long as it takes", function()
        options.load_s = 1200
        local d = at("LOADING", options)
        local attempt = d:reach(serving())
        assert_done(attempt)
        assert.are.same({}, mutating(attempt))
        assert.is_true(d.ml:is_healthy())
      end)

      it("keeps waiting over attempts, and begins anew only after 1500 s of not being ready", function()
        options.load_s = math.huge
        local d = at("LOADING", options)
        assert.are.equal("deadline", d:reach(serving()).outcome)
        assert.are.same({}, d.ml.mutating)
        d.ml.load_s = 300
        d.ml.timeline:cancel(d.ml.load_event)
        d.ml.load_event = nil
        local attempt = d:converge(serving())
        assert_done(attempt)
        assert.are.same({ STOP, UP }, d.ml.mutating)
        assert.is_true(d.ml:is_healthy())
      end)

      it("loads anew when an update changed the arguments, and at once", function()
        local d = at("STOPPED", options)
        assert_done(d:reach(serving()))
        d.config = { id = "node1", models = { m = { args = { "--own", "2" } } } }
        local attempt = d:reach(serving { args = { "--own", "2" } })
        assert_done(attempt)
        assert.are.same({ STOP, UP }, mutating(attempt))
        assert.are.same({ "--own", "2" }, d.ml.args)
        assert_idle(d, serving { args = { "--own", "2" } })
      end)

      it("lets other epoch arguments wait for the next load", function()
        local d = at("STOPPED", options)
        assert_done(d:reach(serving()))
        local changed = serving { args = { "--epoch", "9", "--own", "1" } }
        local attempt = d:reach(changed)
        assert_done(attempt)
        assert.are.same({}, mutating(attempt))
        assert_done(d:reach(proving "GENERATING"))
        assert_done(d:reach(changed))
        assert.are.same({ "--epoch", "9", "--own", "1" }, d.ml.args)
      end)

      it("still sees an operator's update after an epoch's change was let pass", function()
        local d = at("STOPPED", options)
        assert_done(d:reach(serving()))
        assert_done(d:reach(serving { args = { "--epoch", "9", "--own", "1" } }))
        d.config = { id = "node1", models = { m = { args = { "--own", "2" } } } }
        local attempt = d:reach(serving { args = { "--epoch", "9", "--own", "2" } })
        assert.are.same({ STOP, UP }, mutating(attempt))
      end)

      it("knows the arguments of the target last reached when its own notes are lost", function()
        local d = at("STOPPED", options)
        assert_done(d:reach(serving()))
        d.memory = {}
        assert_idle(d, serving())
        d.memory = {}
        local attempt = d:reach(serving { args = { "--own", "3" } })
        assert.are.same({ STOP, UP }, mutating(attempt))
      end)

      it("sends an init once more when another one before it may be read after it", function()
        local d = at("STOPPED", options)
        assert.are.equal("cancelled", d:reach(proving "VALIDATING", { at = 2, how = "sent" }).outcome)
        assert.are.equal("cancelled", d:reach(proving "GENERATING", { at = 3, how = "answered" }).outcome)
        local attempt = d:reach(proving "GENERATING")
        assert_done(attempt)
        assert.are.same({ GENERATE, GENERATE }, mutating(attempt))
        assert_idle(d, proving "GENERATING")
      end)

      it("does not doubt an init that was sent before as it is", function()
        local d = at("STOPPED", options)
        assert.are.equal("cancelled", d:reach(proving "GENERATING", { at = 2, how = "lost" }).outcome)
        local attempt = d:reach(proving "GENERATING")
        assert_done(attempt)
        assert.are.same({ GENERATE }, mutating(attempt))
      end)

      it("loads the epoch's model at once when it changes, in a load too", function()
        local d = at("STOPPED", options)
        local cut = d:reach(serving(), { at = 3, how = "sent", after_s = 100 })
        assert.are.equal("cancelled", cut.outcome)
        local attempt = d:converge(serving { model = "other" })
        assert_done(attempt)
        assert.are.equal("other", d.ml.model)
        assert.are.same({}, d.ml.wrongs)
        assert.are.same({ STOP, UP, STOP, UP }, d.ml.mutating)
      end)

      it("goes on waiting for the load of an attempt that was cut off", function()
        local d = at("STOPPED", options)
        d:reach(serving(), { at = 3, how = "sent", after_s = 100 })
        local attempt = d:reach(serving())
        assert_done(attempt)
        assert.are.same({}, mutating(attempt))
        assert.are.equal(1, d.ml.loads)
      end)

      it("believes a healthy answer after an unanswered stop only 65 s after it", function()
        local d = at("STOPPED", options)
        assert_done(d:reach(serving()))
        d:reach(stopped, { at = 2, how = "lost" })
        d.timeline:pass(10)
        local attempt = d:reach(serving())
        assert_done(attempt)
        assert.is_true(attempt.took_s >= 54.9 and attempt.took_s < 60)
        assert.are.same({}, mutating(attempt))
        assert.are.equal(1, d.ml.loads)
      end)

      it("loads again when that stop was done after all", function()
        options.stop_s = 50
        local d = at("STOPPED", options)
        assert_done(d:reach(serving()))
        d:reach(stopped, { at = 2, how = "sent" })
        assert_done(d:converge(serving()))
        assert.is_true(d.ml:is_healthy())
        assert.are.equal(2, d.ml.loads)
        assert.are.same({}, d.ml.wrongs)
      end)

      it("sends the same body again to a node in PoC of an episode that it does not know, and then no more", function()
        local d = at("STOPPED", options)
        assert_done(d:reach(proving "GENERATING"))
        d.memory = {} -- a new process
        local attempt = d:reach(proving "GENERATING")
        assert.are.same({ GENERATE }, mutating(attempt))
        assert.are.equal(1, d.ml.inits)
        assert_idle(d, proving "GENERATING")
      end)

      it("asks pow/status before it believes that its episode goes on", function()
        local d = at("STOPPED", options)
        assert_done(d:reach(proving "GENERATING"))
        local attempt = d:reach(proving "GENERATING")
        assert.are.same({ STATE, POW_STATUS }, attempt.calls)
        d.ml.pow.stage = "IDLE"
        assert.are.same({ STATE, POW_STATUS, GENERATE }, d:reach(proving "GENERATING").calls)
        d.ml.pow.stage = "SOMETHING_NEW"
        assert.are.same({ STATE, POW_STATUS, GENERATE }, d:reach(proving "GENERATING").calls)
      end)

      it("begins the next episode without a stop, whatever differs", function()
        local d = at("STOPPED", options)
        assert_done(d:reach(proving "GENERATING"))
        local changes = { block_hash = "CD", block_height = 800, node_count = 3, node_id = 1, url = "http://x", public_key = "B" }
        for name, value in pairs(changes) do
          local change = { [name] = value }
          local inits = d.ml.inits
          local attempt = d:reach(proving("GENERATING", change))
          assert.are.same({ GENERATE }, mutating(attempt))
          assert.are.equal(inits + 1, d.ml.inits)
        end
      end)

      it("sends init bodies with every field of the network", function()
        local d = at("STOPPED", options)
        local target = proving "VALIDATING"
        assert_done(d:reach(target))
        assert.are.same({
          block_hash = "AB01", block_height = 700, public_key = "Akey", batch_size = 100, r_target = 1.4013564660458173,
          fraud_threshold = 1e-7, node_id = 0, node_count = 2, url = target.url,
          params = { dim = 1792, n_layers = 64, n_heads = 64, n_kv_heads = 64, vocab_size = 8196, ffn_dim_multiplier = 10.0,
            multiple_of = 8192, norm_eps = 1e-5, rope_theta = 10000, use_scaled_rope = false, seq_len = 256 },
        }, d.ml.pow.body)
      end)

      it("sends training with this node's rank, in strings only", function()
        local d = at("STOPPED", options)
        assert_done(d:reach(training()))
        assert.are.same({ TASK_ID = "7", NODE_ID = "gonka1x/node1", STORE_API_URL = "http://10.0.0.5:9100", GLOBAL_ADDR = "10.0.0.1",
          GLOBAL_PORT = "5565", GLOBAL_RANK = "1", GLOBAL_UNIQUE_ID = "1", GLOBAL_WORLD_SIZE = "2", BASE_PORT = "10001" }, d.ml.train.train_env)
        d.memory = {} -- a new process knows it from the target last reached
        assert_idle(d, training())
        local attempt = d:reach(training { rank = 0 })
        assert.are.same({ STOP, TRAIN }, mutating(attempt))
      end)

      it("fails when training does not die, and ends it at the next try", function()
        local d = at("TRAIN", options)
        d.ml.is_training_stuck = true
        assert_failed(d:reach(stopped), "server")
        assert_done(d:reach(stopped))
      end)

      for _, status in ipairs { 409, 500 } do
        it(("takes state %d for two services that are stopped now, and asks again"):format(status), function()
          local d = at("POW", options)
          d.ml.two_services = status
          local attempt = d:reach(proving "GENERATING")
          assert_done(attempt)
          assert.are.same({ STATE, STATE, GENERATE }, attempt.calls)
        end)
      end

      it("fails an attempt whose state it cannot read", function()
        for _, body in ipairs { "<html>", { nonsense = 1 }, { state = 7 } } do
          local d = at("STOPPED", options)
          d.ml.fault = function(request) if request.route == STATE then return { 200, body } end end
          for _, target in ipairs { serving(), proving "GENERATING", stopped, training() } do
            assert_failed(d:reach(target), "bad_answer", "state")
          end
          assert_failed(d:probe(), "bad_answer", "state")
          assert.are.same({}, d.ml.mutating)
        end
      end)

      it("fails with the node's words when a load fails, and loads again only when the node is back", function()
        for _, says in ipairs { "INFERENCE", "STOPPED" } do
          options.failed_says = says
          local d = at("STOPPED", options)
          d.ml.fails = 1
          local attempt = d:reach(serving())
          assert_failed(attempt, "server")
          assert.are.equal(release == "new", mlnode.is_in(attempt.calls, DOWN))
          local _, tries = d:converge(serving(), 30, 1)
          assert.is_truthy(tries)
          assert.are.same({}, d.ml.wrongs)
          assert.are.equal(2, d.ml.loads)
          assert.are.equal(release == "old" and 1 or nil, d.ml.exits)
          options.failed_says, options.timeline = nil, nil
        end
      end)

      it("survives a node that restarts in the middle of a load", function()
        local d = at("LOADING", options)
        d.timeline:after(20, function() d.ml:exit() end)
        assert_failed(d:reach(serving()), "refused")
        assert_done(d:converge(serving(), 30, 1))
        assert.are.same({}, d.ml.wrongs)
      end)

      it("does not stop a backend that turned unhealthy: the node ends it itself", function()
        local d = at("STOPPED", options)
        assert_done(d:reach(serving()))
        d.ml.mutating = {}
        d.ml:break_backend()
        assert.are_not.equal("done", d:reach(serving()).outcome)
        assert.are.same({}, d.ml.mutating)
        assert_done(d:converge(serving(), 30, 3))
        assert.are.same({ STOP, UP }, d.ml.mutating)
        assert.are.same({}, d.ml.wrongs)
      end)

      it("does not take 200 OK for serving when a stop came in between", function()
        local d = at("STOPPED", options)
        d.ml.is_stop_between = true
        assert_failed(d:reach(serving()), "conflict", "but it says STOPPED")
        assert_done(d:reach(serving()))
      end)

      it("refuses a target without a model, or a task", function()
        local d = at("STOPPED", options)
        assert_failed(d:reach { status = "INFERENCE" }, "client", "no model")
        assert_failed(d:reach { status = "TRAINING" }, "client", "task")
        assert.are.same({}, d.ml.mutating)
      end)

      it("hands an empty argument list on as a list", function()
        options.config = { id = "node1", models = { m = {} } }
        local d = at("STOPPED", options)
        assert_done(d:reach { status = "INFERENCE", model = "m" })
        assert.are.equal(getmetatable(json.array {}), getmetatable(d.ml.args))
      end)

      it("forgets what it knew when the node has moved to another address", function()
        local d = at("STOPPED", options)
        assert_done(d:reach(proving "GENERATING"))
        d.poc_url = "http://10.0.0.77:8080"
        assert.are.same({ GENERATE }, mutating(d:reach(proving "GENERATING")))
      end)

      it("probes every state with questions only", function()
        local expected = {
          STOPPED = { status = "STOPPED", ready = false },
          INFERENCE = { status = "INFERENCE", ready = true, model = release == "new" and "m" or nil },
          LOADING = { status = "INFERENCE", ready = false },
          POW = { status = "POC", ready = false, poc = "GENERATING" },
          TRAIN = { status = "TRAINING", ready = false },
        }
        for state, seen in pairs(expected) do
          options.timeline = nil
          local d = at(state, options)
          local attempt = d:probe()
          assert_done(attempt)
          assert.are.same(seen, attempt.value)
          assert.are.same({}, mutating(attempt))
        end
      end)

      it("says nothing of a PoC stage that it does not know", function()
        local d = at("POW", options)
        d.ml.pow.stage = "LOADING"
        assert.is_nil(d:probe().value.poc)
        d.ml.pow.stage = "IDLE"
        assert.are.equal("IDLE", d:probe().value.poc)
        d.ml.pow.stage = "VALIDATING"
        assert.are.equal("VALIDATING", d:probe().value.poc)
        d.ml.pow = nil
        assert.are.equal("IDLE", d:probe().value.poc)
      end)

      it("takes any health answer but 200, and none, for not ready", function()
        if is_shared and release == "new" then return end -- there state says it
        for _, fault in ipairs { { 503, "" }, { 502, "" }, { 404, "" }, { 302, "" }, { 500, { status = "ERROR" } }, "hang", "refuse" } do
          options.timeline = nil
          local d = at("INFERENCE", options)
          d.ml.fault = function(request) if request.route:find("inference /", 1, true) then return fault end end
          local attempt = d:probe()
          assert_done(attempt)
          assert.is_false(attempt.value.ready)
        end
      end)
    end)
  end
end

describe("the driver's declaration", function()
  it("has a deadline for each status and the probe", function()
    assert.are.same({}, require("coxswain.schema").driver(driver, "mlnode"))
    assert.are.same({ INFERENCE = 1500, POC = 120, STOPPED = 120, TRAINING = 300 }, driver.deadline)
    assert.are.equal(15, driver.probe_deadline)
  end)
end)
