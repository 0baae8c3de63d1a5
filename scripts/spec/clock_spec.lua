local testing = require "coxswain.testing"

describe("the clock feed", function()
  it("sends a block each block_ms, which the broker takes in", function()
    local config = { feed = { kind = "clock", block_ms = 1000, epoch = testing.PARAMS } }
    local job = testing.job("clock", { config = config, for_s = 120 })
    assert.equal("running", job.outcome)
    assert.near(120, #job.commands, 1)
    assert.equal(job.commands[#job.commands].args.height, testing.facts().height)
    assert.equal("Inference", testing.facts().phase)
  end)
end)
