-- An epoch from outside: what the nodes of a fleet are to be as blocks pass.

local testing = require "coxswain.testing"

describe("an epoch", function()
  before_each(function() testing.fleet { {}, {} } end)

  it("leads the nodes from PoC to inference", function()
    testing.due "start_poc"
    assert.equal("POC/GENERATING", testing.intent "node1")
    testing.due "init_validate"
    assert.equal("POC/VALIDATING", testing.intent "node2")
    testing.due "inference_up_all"
    assert.equal("INFERENCE", testing.intent "node1")
  end)

  it("gets the nodes there", function()
    testing.due "inference_up_all"
    testing.pass(700) -- a load of the simulated node takes 600 s
    assert.equal("INFERENCE", testing.status "node1")
    assert.is_nil(testing.state("node1").state.reconcile_info)
  end)

  it("leaves out a node that was disabled before", function()
    testing.due "inference_up_all"
    testing.command("set_admin_state", { node_id = "node2", enabled = false })
    testing.block(805, { epoch = { index = 8, poc_start_block_height = 800, poc_start_block_hash = "AC" } })
    assert.equal("POC/GENERATING", testing.intent "node1")
    assert.equal("STOPPED", testing.intent "node2")
  end)
end)

describe("new_block", function()
  it("keeps what nodes have while the chain's node is behind", function()
    testing.fleet { {} }
    testing.block(705, { synced = false })
    assert.equal("UNKNOWN", testing.intent "node1")
  end)
end)
