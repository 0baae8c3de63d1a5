-- The main job, end to end: the real program, real HTTP, simulated nodes, blocks sent by hand.

local system = require "support.system"

local function calls(fleet)
  local counts = {}
  for id, report in pairs(system.reports(fleet)) do
    counts[id] = {
      stop = report.calls["POST /api/v1/stop"] or 0,
      up = report.calls["POST /api/v1/inference/up"] or 0,
      generate = report.calls["POST /api/v1/pow/init/generate"] or 0,
      validate = report.calls["POST /api/v1/pow/init/validate"] or 0,
    }
  end
  return counts
end

local function follow(release)
  local fleet = system.fleet("--count", "2", "--release", release)
  local daemon = system.daemon(system.config(fleet.nodes_file))
  local expected = { stop = 0, up = 0, generate = 0, validate = 0 }

  local function send(height, epoch, start)
    local answer, status = system.command(daemon, "new_block", system.block(height, epoch, start))
    assert.are.equal(200, status, tostring(answer and answer.error))
    assert.are.equal("done", answer.status)
  end

  local function expect(more)
    for name, count in pairs(more) do expected[name] = expected[name] + count end
    local counts = calls(fleet)
    assert.are.same({ node1 = expected, node2 = expected }, counts)
  end

  send(50, 0, 0)
  system.converged(daemon, "INFERENCE")
  expect { stop = 1, up = 1 }
  for height = 51, 60 do send(height, 0, 0) end
  expect {}

  for epoch = 1, 2 do
    local start = epoch * 100
    send(start, epoch, start)
    system.converged(daemon, "POC", "GENERATING")
    expect { stop = 1, generate = 1 }
    for height = start + 1, start + 19, 3 do send(height, epoch, start) end
    expect {}
    send(start + 20, epoch, start)
    system.converged(daemon, "POC", "VALIDATING")
    expect { validate = 1 }
    for height = start + 21, start + 31, 2 do send(height, epoch, start) end
    expect {}
    for id, report in pairs(system.reports(fleet)) do
      assert.are.equal("H" .. start, report.last_init.block_hash, id)
      assert.are.equal(start, report.last_init.block_height, id)
      assert.are.equal(2, report.last_init.node_count, id)
      assert.are.equal("http://127.0.0.1:9100/v1/poc-batches", report.last_init.url, id)
    end
    send(start + 32, epoch, start)
    system.converged(daemon, "INFERENCE")
    expect { stop = 1, up = 1 }
    for height = start + 33, start + 40 do send(height, epoch, start) end
    expect {}
  end
  local _, whole = system.reports(fleet)
  assert.is_true(whole.mutating_open_max <= 1)
end

describe("a fleet whose blocks come one by one", function()
  after_each(system.clean)

  it("makes exactly the calls that each phase needs, on new nodes", function() follow("new") end)
  it("makes exactly the calls that each phase needs, on old nodes", function() follow("old") end)
end)

describe("a fleet that misses blocks", function()
  after_each(system.clean)

  it("reaches every phase without ever seeing a boundary block", function()
    local fleet = system.fleet("--count", "3")
    local daemon = system.daemon(system.config(fleet.nodes_file))
    system.command(daemon, "new_block", system.block(71, 0, 0))
    system.converged(daemon, "INFERENCE")
    local late = system.block(107, 1, 100)
    late.epoch.poc_start_block_hash = "H100"
    system.command(daemon, "new_block", late)
    system.converged(daemon, "POC", "GENERATING")
    system.command(daemon, "new_block", system.block(125, 1, 100))
    system.converged(daemon, "POC", "VALIDATING")
    system.command(daemon, "new_block", system.block(177, 1, 100))
    system.converged(daemon, "INFERENCE")
  end)

  it("converges by itself after its nodes stood still at the start of a PoC", function()
    local fleet = system.fleet("--count", "4")
    local daemon = system.daemon(system.config(fleet.nodes_file))
    system.command(daemon, "new_block", system.block(50, 0, 0))
    system.converged(daemon, "INFERENCE")
    system.signal(fleet, "STOP")
    system.command(daemon, "new_block", system.block(100, 1, 100))
    system.wait("a failure to be seen", function()
      for _, state in pairs(system.states(daemon)) do
        if state.current_status == "FAILED" then return true end
      end
    end)
    system.signal(fleet, "CONT")
    system.converged(daemon, "POC", "GENERATING")
  end)
end)
