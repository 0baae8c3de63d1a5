-- What the program says to wrong input: all faults at once, a clear reason, nothing started, never a hang.

local system = require "support.system"

local function has(text, ...)
  for _, part in ipairs { ... } do assert.is_truthy(text:find(part, 1, true), ("%q is not in:\n%s"):format(part, text)) end
end

local good_node = [[{ "id": "node1", "host": "127.0.0.1", "inference_port": 1, "poc_port": 2, "max_concurrent": 1,
  "models": { "m": { "args": [] } } }]]

describe("a start with wrong input", function()
  after_each(system.clean)

  it("names every fault of configuration, nodes file and scripts at once", function()
    system.write("nodes.json", [[ [ { "id": "a", "host": "h", "inference_port": 0, "poc_port": 8080, "max_concurrent": 0, "models": {} } ] ]])
    os.execute(("cp -r scripts %s/scripts && echo 'return {' > %s/scripts/commands/start_poc.lua"):format(system.folder(), system.folder()))
    local path = system.write("coxswain.lua", [[
return {
  nodes = "nodes.json",
  scripts = "scripts",
  workers = "many",
  probe = { intervall_s = 3 },
}
]])
    local code, out, err = system.run("check", "-c", path)
    assert.are.equal(1, code)
    assert.are.equal("", out)
    has(err, "coxswain.lua:4: workers", "coxswain.lua:5: probe.intervall_s", "inference_port must be between 1 and 65535",
      "max_concurrent must be greater than 0", "at least one model must be specified", "commands/start_poc.lua:")
    code, out, err = system.run("run", "-c", path)
    assert.are.equal(1, code)
    assert.are.equal("", out)
    has(err, "coxswain.lua:4: workers", "intervall_s")
  end)

  it("is foreseen by a check: an address that everybody reaches, tokens and certificates that cannot be read", function()
    local cases = {
      { 'listen = "0.0.0.0:9200"', "there is no admin.token" },
      { 'tokens = { { token_file = "none", scope = "read", name = "a" } }', "reading the token file" },
      { 'tokens = { { token = "x", scope = "read", name = "a" }, { token = "x", scope = "admin", name = "b" } }', "have the same token" },
      { 'tls = { cert = "none.pem", key = "none.pem" }', "none.pem" },
    }
    for _, case in ipairs(cases) do
      local path = system.write("coxswain.lua", ("return { store = ':memory:', admin = { %s } }"):format(case[1]))
      for _, command in ipairs { "check", "run" } do
        local code, _, err = system.run(command, "-c", path)
        assert.are.equal(1, code, err)
        has(err, case[2])
      end
    end
    local path = system.write("coxswain.lua", "return { store = ':memory:', admin = { listen = '0.0.0.0:9200', insecure = true } }")
    assert.are.equal(0, (system.run("check", "-c", path)))
  end)

  it("says what is missing", function()
    local code, _, err = system.run("run", "-c", system.folder() .. "/nothing.lua")
    assert.are.equal(1, code)
    has(err, "nothing.lua", "No such file")
    code, _, err = system.run("run")
    assert.are.equal(2, code)
    has(err, "-c FILE")
    code, _, err = system.run("run", "-c", system.write("c.lua", 'return { nodes = "gone.json", scripts = "nowhere" }'))
    assert.are.equal(1, code)
    has(err, "gone.json")
    code, _, err = system.run("run", "-c", system.write("c.lua", 'return { scripts = "nowhere" }'))
    assert.are.equal(1, code)
    has(err, "nowhere", "folder of scripts")
    code, _, err = system.run("run", "-c", system.write("c.lua", "return {}"), "-D", "workers")
    assert.are.equal(2, code)
    has(err, "-D")
  end)

  it("refuses a port that is in use, and names it", function()
    local config = system.config(system.write("nodes.json", "[]"))
    local daemon = system.daemon(config)
    local port = daemon.url:match("(%d+)$")
    local code, _, err = system.run("run", "-c", system.write("second.lua", config), "-D", "admin.listen=127.0.0.1:" .. port)
    assert.are.equal(1, code)
    has(err, "127.0.0.1:" .. port, "listens there already")
    assert.is_true(system.is_running(daemon))
  end)

  it("knows wrong usage", function()
    assert.are.equal(2, (system.run()))
    assert.are.equal(2, (system.run("fly")))
    assert.are.equal(2, (system.run("demo", "--nodes", "none")))
    assert.are.equal(2, (system.run("sim", "moon")))
    assert.are.equal(0, (system.run("--version")))
    local code, _, err = system.run("nodes", "--admin", "http://127.0.0.1:1")
    assert.are.equal(3, code)
    has(err, "no daemon at", "coxswain run -c")
  end)
end)

describe("a running daemon", function()
  after_each(system.clean)

  it("answers every wrong request with an error", function()
    local daemon = system.daemon(system.config(system.write("nodes.json", "[" .. good_node .. "]")))
    local status, answer = system.http("POST", daemon.url .. "/v1/commands/fly", {})
    assert.are.equal(404, status)
    has(answer.error, "unknown command fly")
    status, answer = system.http("POST", daemon.url .. "/v1/commands/set_admin_state", { node_id = "typo", enabled = true })
    assert.are.equal(404, status)
    has(answer.error, "typo")
    status = system.http("POST", daemon.url .. "/admin/v1/nodes/typo/enable")
    assert.are.equal(404, status)
    status, answer = system.http("POST", daemon.url .. "/v1/commands/new_block", { height = "ten", hash = 3 })
    assert.are.equal(400, status)
    has(answer.error, "hash must be a string")
    status, answer = system.http("POST", daemon.url .. "/v1/commands/new_block", "{")
    assert.are.equal(400, status)
    has(answer.error, "the body of POST /v1/commands/new_block is not JSON")
    status, answer = system.http("POST", daemon.url .. "/v1/commands/start_poc", {})
    assert.are.equal(200, status)
    assert.are.equal("skipped", answer.status)
  end)

  it("takes nodes over the command line, and gives them back", function()
    local daemon = system.daemon(system.config(system.write("nodes.json", "[]")))
    local code, out, err = system.run("node", "add", "-f", system.write("more.json", "[" .. good_node .. "]"), "--admin", daemon.url)
    assert.are.equal(0, code, err)
    assert.is_truthy(out)
    code, out = system.run("nodes", "--json", "--admin", daemon.url)
    assert.are.equal(0, code)
    has(out, '"id": "node1"')
    code, out, err = system.run("command", "new_block", "height=50", "hash=AB", "--admin", daemon.url)
    assert.are.equal(0, code, err)
    has(out, "height")
    assert.are.equal(0, (system.run("node", "disable", "node1", "--admin", daemon.url)))
    code, out = system.run("node", "show", "node1", "--admin", daemon.url)
    assert.are.equal(0, code)
    has(out, "node1")
    assert.are.equal(0, (system.run("node", "rm", "node1", "--admin", daemon.url)))
    code, out, err = system.run("node", "show", "node1", "--admin", daemon.url)
    assert.are.equal(1, code)
    assert.are.equal("", out)
    has(err, "node1")
  end)

  it("reads its nodes file again on SIGHUP, and stops on SIGTERM", function()
    local nodes_file = system.write("nodes.json", "[]")
    local daemon = system.daemon(system.config(nodes_file))
    system.write("nodes.json", "[" .. good_node .. "]")
    system.signal(daemon, "HUP")
    system.wait("the new node", function() return system.states(daemon).node1 end)
    system.write("nodes.json", "[ nonsense")
    system.signal(daemon, "HUP")
    system.wait("the refusal", function() return system.read(daemon.log):find("nothing was changed", 1, true) end)
    assert.is_truthy(system.states(daemon).node1)
    system.signal(daemon, "TERM")
    system.wait("the end", function() return not system.is_running(daemon) end)
  end)
end)
