-- Cases of the command NAME: `coxswain test`.

local testing = require "coxswain.testing"

describe("NAME", function()
  before_each(function()
    testing.fleet { { id = "node1" } }
    testing.due "inference_up_all"
  end)

  it("sets the node's intent", function()
    local answer = testing.command("NAME", { node_id = "node1" })
    assert.equal("done", answer.status)
    assert.is_true(answer.result.changed)
    assert.equal("STOPPED", testing.intent "node1")
  end)

  it("refuses a node that is not registered, and changes nothing", function()
    local answer = testing.command("NAME", { node_id = "node9" })
    assert.equal("error", answer.status)
    assert.equal("INFERENCE", testing.intent "node1")
  end)
end)
