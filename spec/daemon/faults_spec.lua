-- Nodes that hang, refuse, lie or flood: each is FAILED with the reason and tried again; the others do not notice.

local system = require "support.system"

local faults = { -- what is done to a node, and what its failure says
  { "hang", "no answer within" },
  { "refuse", "connection refused" },
  { "error", "was answered 500" },
  { "close", "connection" },
  { "half_header", "not whole" },
  { "huge", "answer larger than" },
  { "bad_json", "without a state" },
  { "redirect", "was answered 307" },
  { "conflict", "409" },
  { "slow=400", "not whole" },
}

local function words_of(state) return state.failure_reason end

describe("a fleet with bad nodes in it", function()
  after_each(system.clean)

  it("says of each what is wrong, while the good ones follow", function()
    local good = 3
    local specs = {}
    for i, fault in ipairs(faults) do
      specs[#specs + 1] = "--fault"
      specs[#specs + 1] = ("node%d:%s@state"):format(good + i, fault[1]):gsub("refuse@state", "refuse")
    end
    local fleet = system.fleet("--count", tostring(good + #faults), table.unpack(specs))
    local daemon = system.daemon(system.config(fleet.nodes_file))
    system.command(daemon, "new_block", system.block(50, 0, 0))
    for i, fault in ipairs(faults) do
      local id = ("node%d"):format(good + i)
      system.wait(("%s to be seen as %s"):format(id, fault[1]), function()
        local state = system.states(daemon)[id]
        if state.current_status ~= "FAILED" then return nil, state.current_status end
        return words_of(state):find(fault[2], 1, true), words_of(state)
      end, 90)
    end
    local states = system.states(daemon)
    for i = 1, good do assert.are.equal("INFERENCE", states["node" .. i].current_status) end
    system.http("POST", fleet.control .. "/sim/faults", { faults = { "none" } })
    system.converged(daemon, "INFERENCE")
    local _, whole = system.reports(fleet)
    assert.is_true(whole.mutating_open_max <= 1)
  end)
end)
