-- `coxswain init` and `coxswain doctor` against simulated chain and nodes with planted faults.

local json_text = require "dkjson"
local system = require "support.system"

local function read_json(out) return assert(json_text.decode(out), out) end

-- The findings of a kind (and thing): their healths and words in one text.
local function said(report, check, on)
  local words = {}
  for _, finding in ipairs(report.findings) do
    if finding.check == check and (not on or finding.on == on) then words[#words + 1] = finding.health .. " " .. finding.words end
  end
  table.sort(words)
  return table.concat(words, "\n")
end

local function has(text, ...)
  for _, wanted in ipairs { ... } do assert.is_truthy(text:find(wanted, 1, true), ("%q is missing in:\n%s"):format(wanted, text)) end
end

describe("coxswain init", function()
  after_each(system.clean)

  it("writes a commented configuration that checks, and finds a healthy chain and fleet", function()
    local fleet, chain = system.fleet("--count", "3"), system.chain("--block-ms", "100")
    local dir = system.folder() .. "/new"
    local code, out = system.run("init", dir, "--yes", "--participant", "gonka1q", "--pubkey", "Ak==", "--callback-url", "http://127.0.0.1:9100",
      "--rpc", chain.url, "--rest", chain.url, "--nodes", fleet.nodes_file, "--json")
    local report = read_json(out)
    assert.equal(0, code, out)
    assert.is_true(report.healthy)
    assert.same({ dir .. "/coxswain.lua" }, report.written)
    has(said(report, "chain"), "RPC, in sync", "REST, epoch")
    has(said(report, "node", "node1"), "good STOPPED", "ms")
    for _, finding in ipairs(report.findings) do
      if finding.check == "node" then assert.equal("STOPPED", finding.state) assert.is_number(finding.latency_ms) assert.is_string(finding.version) end
    end
    assert.equal(0, (system.run("check", "-c", dir .. "/coxswain.lua")))
    local text = system.read(dir .. "/coxswain.lua")
    has(text, 'address = "gonka1q"', 'kind = "cometbft"', "-- workers = 2", "-- Nodes post their proofs")
    local _, state = system.reports(fleet)
    for _, node in ipairs(state.nodes) do
      for call in pairs(node.calls) do assert.is_truthy(call:find "^GET ", "init called " .. call) end
    end
  end)

  it("never overwrites", function()
    local config, nodes = system.write("coxswain.lua", "-- mine\n"), system.write("node-config.json", "[]\n")
    local code, _, err = system.run("init", system.folder(), "--yes")
    assert.equal(1, code)
    has(err, "exists, and nothing is overwritten")
    assert.equal("-- mine\n", system.read(config))
    os.remove(config)
    code, _, err = system.run("init", system.folder(), "--yes", "--node", "a,127.0.0.1,1,2,m")
    assert.equal(1, code)
    has(err, "exists and is not changed")
    assert.equal("[]\n", system.read(nodes))
    assert.equal("", system.read(config))
  end)

  it("asks what no option says, and takes nodes from the answers", function()
    local answers = system.write("answers", "\ngonka1\"quoted\\\nAk\nhttp://10.0.0.5:9100\n\nn1,127.0.0.1,1,2,Qwen/Q\nnonsense\n\n")
    os.execute(("%s init %s/asked --ask --no-test <%s >%s/o 2>%s/e"):format(os.getenv "COXSWAIN_BIN" or "build/coxswain", system.folder(), answers,
      system.folder(), system.folder()))
    has(system.read(system.folder() .. "/e"), "participant's account", "a node is ID,HOST,POC_PORT")
    has(system.read(system.folder() .. "/asked/coxswain.lua"), [[address = "gonka1\"quoted\\"]], 'kind = "none"')
    local nodes = json_text.decode(system.read(system.folder() .. "/asked/node-config.json"))
    assert.equal("n1", nodes[1].id)
    assert.equal(1, nodes[1].poc_port)
    assert.is_table(nodes[1].models["Qwen/Q"])
    assert.equal(0, (system.run("check", "-c", system.folder() .. "/asked/coxswain.lua")))
  end)

  it("refuses a node that is none before it writes anything", function()
    local code, _, err = system.run("init", system.folder() .. "/x", "--yes", "--node", "a,host,0,2,m")
    assert.equal(2, code)
    has(err, "poc_port must be between 1 and 65535")
    assert.equal("", system.read(system.folder() .. "/x/coxswain.lua"))
  end)

  it("says in words what is wrong with each node and endpoint", function()
    local fleet = system.fleet("--count", "4", "--fault", "1:refuse", "--fault", "2:error=404@state", "--fault", "3:bad_json@state")
    local chain = system.chain("--block-ms", "100", "--fault", "catching-up", "--fault", "epoch_info:html")
    local code, out = system.run("init", system.folder() .. "/bad", "--yes", "--participant", "gonka1q", "--pubkey", "A", "--callback-url",
      "http://127.0.0.1:9100", "--rpc", chain.url, "--rpc", "http://127.0.0.1:1", "--rest", chain.url, "--nodes", fleet.nodes_file, "--json")
    local report = read_json(out)
    assert.equal(1, code)
    assert.is_false(report.healthy)
    has(said(report, "node", "node1"), "bad", "refuses connections", "is the node running")
    has(said(report, "node", "node2"), "bad", "answers 404", "poc_port must be the port of the management API")
    has(said(report, "node", "node3"), "bad")
    has(said(report, "node", "node4"), "good")
    has(said(report, "chain"), "catching up", "refuses connections", "as no REST gateway does")
  end)
end)

describe("coxswain doctor", function()
  after_each(system.clean)

  it("examines a running daemon and finds it well", function()
    local fleet, chain = system.fleet("--count", "2"), system.chain("--block-ms", "200")
    local feed = ('{ kind = "cometbft", rpc = %q, rest = %q }'):format(chain.url, chain.url)
    local config = system.config(fleet.nodes_file, nil, feed):gsub('callback_url = "[^"]*"', ("callback_url = %q"):format(chain.url))
    local daemon = system.daemon(config, "-D", "store=" .. system.folder() .. "/s.db")
    local out
    system.wait("a daemon that follows the chain", function()
      local code
      code, out = system.run("doctor", "-c", daemon.config, "--admin", daemon.url, "--json")
      return code == 0, out
    end)
    local report = read_json(out)
    has(said(report, "daemon"), "good ready, 2 nodes, none FAILED")
    has(said(report, "chain"), "the daemon follows it")
    has(said(report, "scripts"), "their cases hold")
    has(said(report, "callback"), "somebody answers there")
    has(said(report, "configuration"), "says store :memory:, but the daemon runs with " .. system.folder() .. "/s.db")
  end)

  it("names planted faults: broken store, open key, taken port, no way back, dead node", function()
    local fleet = system.fleet("--count", "1", "--fault", "1:refuse")
    local chain = system.chain("--block-ms", "0")
    local store, key = system.write("other.db", "this is no database at all"), system.write("key.hex", "00")
    os.execute("chmod 644 " .. key)
    local port = chain.url:match ":(%d+)$"
    local text = system.config(fleet.nodes_file, ('store = %q,'):format(store)):gsub('store = ":memory:",\n', "")
      :gsub('participant = {', ('participant = { key_file = %q,'):format(key)):gsub('127%.0%.0%.1:9100', "127.0.0.1:1")
      :gsub('feed = ', ('admin = { listen = "127.0.0.1:%s" },\n  feed = '):format(port))
    local path = system.write("coxswain.lua", text)
    local code, out = system.run("doctor", "-c", path, "--json")
    local report = read_json(out)
    assert.equal(1, code)
    has(said(report, "store"), "bad cannot be used: it is no store of this program")
    has(said(report, "permissions", key), "bad", "chmod 600")
    has(said(report, "port"), "bad another program has it")
    has(said(report, "callback"), "bad refuses connections")
    has(said(report, "node", "node1"), "bad", "refuses connections")
  end)

  it("knows that remote nodes cannot reach this machine's loopback", function()
    local nodes = system.write("n.json", [=[[{"id":"far","host":"192.0.2.1","inference_port":1,"poc_port":2,"max_concurrent":1,"models":{"m":{"args":[]}}}]]=])
    local path = system.write("coxswain.lua", system.config(nodes))
    local code, out = system.run("doctor", "-c", path, "--json")
    assert.equal(1, code)
    has(said(read_json(out), "callback"), "which the node at 192.0.2.1 cannot reach")
  end)

  it("lists the faults of a broken configuration and of broken scripts", function()
    local path = system.write("coxswain.lua", "return { workers = 'many', colour = 1 }")
    local code, out = system.run("doctor", "-c", path, "--json")
    assert.equal(1, code)
    has(said(read_json(out), "configuration"), "workers", "colour")
    os.execute("mkdir -p " .. system.folder() .. "/s/policy")
    system.write("s/policy/phases.lua", "return {")
    path = system.write("coxswain.lua", "return { scripts = 's', store = ':memory:' }")
    code, out = system.run("doctor", "-c", path, "--json")
    assert.equal(1, code)
    has(said(read_json(out), "scripts"), "bad")
  end)

  it("ends with 3 when there is neither a daemon nor a configuration", function()
    assert.equal(3, (system.run("doctor", "--admin", "http://127.0.0.1:1")))
  end)
end)
