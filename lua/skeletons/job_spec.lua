-- Cases of the job NAME, on virtual time: `coxswain test`.

local testing = require "coxswain.testing"

describe("the job NAME", function()
  it("tries a failed node again, and leaves the others alone", function()
    testing.fleet({ { id = "node1" }, { id = "node2" } }, function(node)
      if node.id == "node2" then return { ["GET /api/v1/state"] = "refused" } end
      return testing.mlnode()
    end)
    testing.due "inference_up_all"
    testing.pass(10)
    assert.equal("FAILED", testing.status "node2")
    local run = testing.job("NAME", { for_s = 90, commands = { status = "done" } })
    assert.equal("running", run.outcome)
    assert.equal(1, #run.commands)
    assert.same({ node_id = "node2" }, run.commands[1].args)
  end)
end)
