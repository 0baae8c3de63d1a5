-- The driver against simulated ML nodes of both releases.

local testing = require "coxswain.testing"

for _, release in ipairs { "old", "new" } do
  describe(("the driver of a node of the %s release"):format(release), function()
    local server, node
    before_each(function()
      server = testing.mlnode { release = release }
      node = testing.drive("mlnode", server)
    end)

    it("loads a model, and then has nothing to do", function()
      local target = { status = "INFERENCE", model = "a-model", args = {} }
      assert.equal("done", node:reach(target).outcome)
      local again = node:reach(target)
      assert.equal("done", again.outcome)
      for _, call in ipairs(again.calls) do assert.matches("^GET", call) end
    end)

    it("does not load again what a cancelled attempt has begun", function()
      local target = { status = "INFERENCE", model = "a-model", args = {} }
      assert.equal("cancelled", node:reach(target, { cancel_at = 3 }).outcome)
      assert.equal("POST /api/v1/inference/up", node.unanswered.call)
      assert.equal("done", node:reach(target).outcome)
      assert.equal(1, server.loads)
      assert.same({}, server.wrongs)
    end)
  end)
end
