-- The whole against a chain: `coxswain run`, `sim chain` and `sim mlnodes` as separate processes, with everything that can go
-- wrong between them.

local system = require "support.system"

local PARTICIPANT = "gonka1w508d6qejxtdg4y5r3zarvary0c5xw7k2gsyg6" -- of the private key 1
local SECRET = ("0"):rep(63) .. "1\n"

local BLOCK_MS = 200
local EPOCH, STAGE, DELAY, VALIDATION = 40, 10, 2, 10

local function start_chain(fleet, ...)
  return system.chain("--block-ms", tostring(BLOCK_MS), "--epoch-length", tostring(EPOCH), "--poc-stage-duration", tostring(STAGE),
    "--poc-validation-delay", tostring(DELAY), "--poc-validation-duration", tostring(VALIDATION), "--set-new-validators-delay", "1",
    "--nodes", fleet.nodes_file, "--participant", PARTICIPANT, ...)
end

local function start_daemon(fleet, urls, more, participant)
  local list = {}
  for i, url in ipairs(urls) do list[i] = ("%q"):format(url) end
  local text = "{ " .. table.concat(list, ", ") .. " }"
  local feed = ("{ kind = \"cometbft\", rpc = %s, rest = %s, silence_s = 2, timeout_s = 2, poll_s = 0.2 }"):format(text, text)
  return system.daemon(system.config(fleet.nodes_file, more, feed,
    participant or ("{ address = %q, pubkey = \"Aspec\" }"):format(PARTICIPANT)))
end

-- What a node must be at a height, or nil where it may be on its way.
local function expected_at(height, start, is_preserved)
  if start == 0 then return "INFERENCE/IDLE" end
  if is_preserved then return "INFERENCE/IDLE" end
  local since = height - start
  if since < 0.8 * STAGE then return "POC/GENERATING" end
  if since < STAGE then return nil end
  if since < STAGE + DELAY + 0.8 * VALIDATION then return "POC/VALIDATING" end
  if since < STAGE + DELAY + VALIDATION then return nil end
  return "INFERENCE/IDLE"
end

-- Follows a run for that many blocks: for each window of an epoch, was each node ever where it must be?
local function follow(daemon, chain, blocks, preserved)
  local first = system.chain_state(chain).height
  local reached, windows = {}, {}
  while true do
    local state = system.chain_state(chain)
    if state.height >= first + blocks then break end
    local start = state.epoch.poc_start_block_height
    for id, node in pairs(system.states(daemon)) do
      local expected = expected_at(state.height, start, preserved[id])
      if expected then
        local window = ("epoch %d: %s is %s"):format(state.epoch.index, id, expected)
        windows[window] = windows[window] or { first = state.height, why = "" }
        windows[window].last = state.height
        local seen = node.current_status .. "/" .. node.poc_current_status
        if seen == expected then reached[window] = true
        else
          windows[window].why = ("%s, intended %s/%s: %s"):format(seen, node.intended_status, node.poc_intended_status,
            tostring(node.failure_reason or (node.explain and node.explain.doing)))
        end
      end
    end
    os.execute("sleep 0.05")
  end
  local missed = {}
  for window, seen in pairs(windows) do -- one that was only just begun or nearly over when we looked says nothing
    if not reached[window] and seen.last - seen.first >= 3 then
      missed[#missed + 1] = ("%s: heights %d to %d: %s"):format(window, seen.first, seen.last, seen.why)
    end
  end
  table.sort(missed)
  return missed
end

local function log_of(daemon) return system.read(daemon.log) end

describe("a fleet on a chain", function()
  after_each(system.clean)

  it("follows three epochs through every fault in turn", function()
    local fleet = system.fleet("--count", "4", "--load-ms", "200", "--stop-ms", "20")
    local chain = start_chain(fleet, "--preserved", "node2", "--block-bytes", "30000")
    local daemon = start_daemon(fleet, { chain.url })
    system.converged(daemon, "INFERENCE")
    local faults = {
      "reorder=3", "double=3", "drop=3", "drop-boundaries", "empty-group=25", "stall=12", "refuse-ws", "half-open", "close-ws", "cut-ws",
      "502=3", "html=3", "missing=3",
      "truncated=3", "wrong-types=3", "epoch_info:slow=600", "epoch_group_data:slow=800", "status:slow=500", "model_group_data:huge=10485760",
      "epoch_group_data:null-fields=2",
    }
    local missed = {}
    local turn = 3 * EPOCH // #faults + 1
    for _, fault in ipairs(faults) do
      system.chain_faults(chain, fault)
      for _, line in ipairs(follow(daemon, chain, turn, { node2 = true })) do missed[#missed + 1] = fault .. ": " .. line end
      system.chain_faults(chain, "off")
    end
    assert.are.same({}, missed, log_of(daemon))
    assert.are.same({}, follow(daemon, chain, EPOCH, { node2 = true }))
    assert.is_true(system.chain_state(chain).websockets.subscribed <= 1)
    local _, report = system.reports(fleet)
    assert.is_true(report.mutating_open_max <= 1)
    assert.is_nil(log_of(daemon):find("job failed", 1, true), log_of(daemon))
  end)

  it("loses no phase when the boundary blocks are never announced", function()
    local fleet = system.fleet("--count", "3", "--load-ms", "100")
    local chain = start_chain(fleet, "--fault", "drop-boundaries")
    local daemon = start_daemon(fleet, { chain.url })
    system.converged(daemon, "INFERENCE")
    assert.are.same({}, follow(daemon, chain, 2 * EPOCH, {}))
    local _, journal = system.run("events", "--admin", daemon.url, "--kind", "command", "-n", "50")
    assert.matches('name=new_block caller="job cometbft" outcome=done', journal, 1, true)
  end)

  it("stops commanding while the node catches up, and goes on after that", function()
    local fleet = system.fleet("--count", "2", "--load-ms", "100")
    local chain = start_chain(fleet)
    local daemon = start_daemon(fleet, { chain.url })
    system.converged(daemon, "INFERENCE")
    system.chain_faults(chain, "catching-up")
    system.wait("the world to be out of sync", function() return log_of(daemon):find("the node is catching up", 1, true) end)
    local before = system.chain_state(chain).epoch.index
    system.wait("a PoC that nobody follows", function()
      local state = system.chain_state(chain)
      return state.epoch.index > before and state.height - state.epoch.poc_start_block_height > 3
    end)
    for id, state in pairs(system.states(daemon)) do assert.are.equal("INFERENCE", state.intended_status, id) end
    system.chain_faults(chain, "off")
    system.wait("the node to be asked again", function()
      for _, state in pairs(system.states(daemon)) do
        if state.intended_status ~= "POC" then return false end
      end
      return true
    end)
  end)

  it("goes to the next endpoint when the first one dies", function()
    local fleet = system.fleet("--count", "2", "--load-ms", "100")
    local first = start_chain(fleet)
    local second = start_chain(fleet)
    local daemon = start_daemon(fleet, { first.url, second.url })
    system.converged(daemon, "INFERENCE")
    system.signal(first, "TERM")
    system.wait("the second endpoint to be subscribed", function() return system.chain_state(second).websockets.subscribed == 1 end)
    assert.are.same({}, follow(daemon, second, EPOCH, {}))
  end)
end)

-- ---- hardware ----

local function registered(chain)
  local _, answer = system.http("GET", chain.url .. "/productscience/inference/inference/hardware_nodes/" .. PARTICIPANT)
  local nodes = {}
  for _, node in ipairs(answer.nodes and answer.nodes.hardware_nodes or {}) do nodes[node.local_id] = node end
  return nodes
end

local function set_hardware(chain, list)
  local status = system.http("POST", chain.url .. "/sim/hardware", { hardware_nodes = list })
  assert.are.equal(200, status)
end

describe("the hardware on the chain", function()
  after_each(system.clean)

  local function entry_of(nodes, id, changes)
    local entry = { local_id = id, status = "INFERENCE", models = nodes[id].models, hardware = nodes[id].hardware,
      host = nodes[id].host, port = nodes[id].port }
    for name, value in pairs(changes or {}) do entry[name] = value end
    return entry
  end

  local function key_participant()
    local path = system.write("key", SECRET)
    os.execute("chmod 600 " .. path)
    return ("{ address = %q, pubkey = \"Anm+Zn753LusVaBilc6HCwcCm/zbLc4o2VnygVsW+BeY\", key_file = %q }"):format(PARTICIPANT, path)
  end

  it("is brought in step by one signed transaction, and by none when it is", function()
    local fleet = system.fleet("--count", "4", "--load-ms", "50")
    local chain = system.chain("--block-ms", "200", "--nodes", fleet.nodes_file, "--participant", PARTICIPANT)
    local nodes = registered(chain)
    set_hardware(chain, { entry_of(nodes, "node1"), entry_of(nodes, "node2", { host = "elsewhere" }), entry_of(nodes, "node3", { local_id = "gone" }) })
    local daemon = start_daemon(fleet, { chain.url }, "chain = { sync_s = 3600, fee = \"5ngonka\" },", key_participant())
    system.converged(daemon, "INFERENCE")
    for _, fault in ipairs { "bump-sequence=1", "lose-answer=1" } do
      system.chain_faults(chain, fault)
      local answer, status = system.command(daemon, "sync_hardware")
      assert.are.equal(200, status, tostring(answer.error) .. "\n" .. log_of(daemon))
      assert.is_true(answer.result.sent)
      assert.are.same({ "node2", "node3", "node4" }, answer.result.new_or_modified)
      assert.are.same({ "gone" }, answer.result.removed)
      local now = registered(chain)
      assert.is_nil(now.gone)
      assert.are.equal(nodes.node2.host, now.node2.host)
      for _, id in ipairs { "node3", "node4" } do
        assert.are.same(nodes[id].models, now[id].models)
        assert.are.equal(nodes[id].port, now[id].port)
        assert.are.equal("INFERENCE", now[id].status)
      end
      answer = system.command(daemon, "sync_hardware")
      assert.are.same({ new_or_modified = {}, removed = {}, sent = false }, answer.result)
      set_hardware(chain, { entry_of(nodes, "node1"), entry_of(nodes, "node2", { host = "elsewhere" }), entry_of(nodes, "node3", { local_id = "gone" }) })
    end
    local wanted = {}
    for _ = 1, 2 do
      for _, line in ipairs { "node2 modified", "node3 new", "node4 new", "gone removed" } do wanted[#wanted + 1] = line end
    end
    system.wait("a line of the journal for each node", function()
      local _, page = system.http("GET", daemon.url .. "/v1/events?format=json&kind=note&max=1000")
      local lines = {}
      for _, event in ipairs(page.events) do
        if event.op == "hardware" and event.sent and event.hash then lines[#lines + 1] = event.node_id .. " " .. event.change end
      end
      return table.concat(lines, ", ") == table.concat(wanted, ", "), table.concat(lines, ", ")
    end)
    local _, metrics = system.http("GET", daemon.url .. "/metrics")
    assert.is_truthy(metrics:find('coxswain_commands_total{name="sync_hardware",outcome="done"} 4\n', 1, true))
  end)

  it("is only compared when nothing can sign", function()
    local fleet = system.fleet("--count", "2", "--load-ms", "50")
    local chain = system.chain("--block-ms", "200", "--nodes", fleet.nodes_file, "--participant", PARTICIPANT)
    set_hardware(chain, {})
    local daemon = start_daemon(fleet, { chain.url })
    local answer = system.command(daemon, "sync_hardware")
    assert.are.same({ "node1", "node2" }, answer.result.new_or_modified)
    assert.is_false(answer.result.sent)
    assert.is_truthy(answer.result.reason:find("no key", 1, true))
    assert.are.same({}, registered(chain))
  end)

  it("is not touched by a transaction of which one byte was changed", function()
    local fleet = system.fleet("--count", "1", "--load-ms", "50")
    local chain = system.chain("--block-ms", "200", "--nodes", fleet.nodes_file, "--participant", PARTICIPANT)
    for _, id in ipairs { "another-chain", "coxswain-sim-1" } do -- another chain's name is one changed byte of the signed document
      set_hardware(chain, {})
      local daemon = start_daemon(fleet, { chain.url }, ("chain = { sync_s = 3600, id = %q },"):format(id), key_participant())
      local answer, status = system.command(daemon, "sync_hardware")
      if id == "coxswain-sim-1" then
        assert.is_true(answer.result.sent)
      else
        assert.are.equal(400, status)
        assert.is_truthy(answer.error:find("signature verification failed", 1, true), answer.error)
        assert.are.same({}, registered(chain))
      end
      system.signal(daemon, "TERM")
      system.wait("the daemon to end", function() return not system.is_running(daemon) end)
    end
  end)

  it("is not signed with a key that others can read, or that is somebody else's", function()
    local fleet = system.fleet("--count", "1")
    local path = system.write("key", SECRET)
    local function try(mode, address)
      os.execute(("chmod %s %s"):format(mode, path))
      local participant = ("{ address = %q, key_file = %q }"):format(address, path)
      local config = system.write("bad.lua", system.config(fleet.nodes_file, "", "{ kind = \"cometbft\" }", participant))
      local code, _, err = system.run("run", "-c", config, "-D", "admin.listen=127.0.0.1:0")
      assert.are.equal(1, code)
      return err
    end
    assert.is_truthy(try("644", PARTICIPANT):find("chmod 600", 1, true))
    assert.is_truthy(try("600", "gonka1q6hag67dl53wl99vzg42z8eyzfz2xlkvqkpz3w"):find("is the key of " .. PARTICIPANT, 1, true))
    system.write("key", "no key\n")
    assert.is_truthy(try("600", PARTICIPANT):find("64 hex digits", 1, true))
  end)
end)
