-- Cases of the driver NAME, against a fake server on virtual time: `coxswain test`.

local testing = require "coxswain.testing"

-- A server that is healthy 5 s after /start.
local function server_of()
  local ready_at_s = math.huge
  return testing.server {
    ["GET /health"] = function() return time.monotonic() >= ready_at_s and 200 or 503 end,
    ["POST /start"] = function()
      ready_at_s = time.monotonic() + 5
      return 200
    end,
    ["POST /stop"] = function()
      ready_at_s = math.huge
      return 200
    end,
  }
end

describe("the driver NAME", function()
  local node
  before_each(function() node = testing.drive("NAME", server_of()) end)

  it("starts a stopped server, and waits until it is healthy", function()
    local attempt = node:reach { status = "INFERENCE" }
    assert.equal("done", attempt.outcome)
    assert.equal("POST /start", attempt.calls[2])
    assert.near(5, attempt.took_s, 1)
  end)

  it("leaves a healthy server alone", function()
    node:reach { status = "INFERENCE" }
    assert.same({ "GET /health" }, node:reach({ status = "INFERENCE" }).calls)
  end)

  it("goes on after an attempt that was cancelled", function()
    assert.equal("cancelled", node:reach({ status = "INFERENCE" }, { cancel_at = 2 }).outcome)
    assert.equal("done", node:reach({ status = "INFERENCE" }).outcome)
  end)

  it("sees what the server is", function()
    assert.equal("STOPPED", node:probe().seen.status)
    node:reach { status = "INFERENCE" }
    assert.is_true(node:probe().seen.ready)
  end)
end)
