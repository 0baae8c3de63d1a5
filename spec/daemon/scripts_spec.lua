-- The scripts of a running daemon from outside: plan, reload and rollback at the command line, over HTTP and in the console.
local json_text = require "dkjson"
local system = require "support.system"

local nodes = [==[[
  { "id": "node1", "host": "127.0.0.1", "inference_port": 1, "poc_port": 2, "max_concurrent": 5, "models": { "m": { "args": [] } } },
  { "id": "spare1", "host": "127.0.0.1", "inference_port": 3, "poc_port": 4, "max_concurrent": 5, "models": { "m": { "args": [] } } }
]]==]

local spare_rule = '  if (node.id or ""):find("^spare") then return { status = "STOPPED" }, "a spare node rests" end\n'

describe("the scripts of a running daemon", function()
  local daemon, folder
  local source = os.getenv "COXSWAIN_SOURCE" or "."

  local function cli(name) return system.run(name, "--admin", daemon.url) end
  local function copy(name) os.execute(("rm -rf %s/%s && cp -r %s/scripts %s/%s"):format(folder, name, source, folder, name)) end

  --- Puts the rule for spare nodes into a copy of the scripts, or takes it out of it.
  local function edit(name, rule)
    local phases = system.read(source .. "/scripts/policy/phases.lua")
    local changed, count = phases:gsub("(function M%.intent%(node, world%)\n)", function(head) return head .. (rule or "") end)
    assert.equal(1, count)
    system.write(name .. "/policy/phases.lua", changed)
  end

  local function generation()
    local status, shown = system.http("GET", daemon.url .. "/v1/scripts")
    assert.equal(200, status)
    return shown.generation
  end

  local function intended(id) return system.states(daemon)[id].intended_status end

  local function console(line)
    local code, out, err = system.run("repl", "--socket", folder .. "/c.sock", "-e", line)
    return code, out, err
  end

  setup(function()
    folder = system.folder()
    copy "scripts"
    copy "other"
    edit("other", spare_rule)
    daemon = system.daemon(system.config(system.write("nodes.json", nodes), "scripts = 'scripts', admin = { socket = 'c.sock' },"))
    assert.equal("done", system.command(daemon, "new_block", system.block(150, 1, 90)).status)
  end)
  teardown(system.clean)
  before_each(function()
    edit "scripts"
    assert.equal(0, (system.run("reload", "--admin", daemon.url)))
    assert.equal("INFERENCE", intended "spare1")
  end)

  it("are shown with where each file came from", function()
    local code, out = system.run("scripts", "--admin", daemon.url)
    assert.equal(0, code)
    assert.truthy(out:match("policy/phases%.lua%s+" .. folder:gsub("%p", "%%%0") .. "/scripts"))
    local _, shown = system.http("GET", daemon.url .. "/v1/scripts?difference=1")
    assert.is_true(#shown.files > 10 and shown.difference.files ~= nil)
  end)
  it("would change what a plan says, and nothing is changed", function()
    local before = generation()
    local code, out = system.run("plan", "--admin", daemon.url, "--scripts", folder .. "/other", "--json")
    assert.equal(0, code)
    local changes = json_text.decode(out).changes
    assert.equal(1, #changes)
    assert.equal("spare1", changes[1].node_id)
    assert.equal("STOPPED", changes[1].to.status)
    assert.equal("a spare node rests", changes[1].reason)
    out = select(2, system.run("plan", "--admin", daemon.url, "--scripts", folder .. "/other"))
    assert.truthy(out:find("nothing was changed and no node was called", 1, true))
    local status, answer = system.http("POST", daemon.url .. "/v1/scripts/plan", { scripts = folder .. "/other" })
    assert.equal(200, status)
    assert.same(changes, answer.changes)
    code, out = console("plan " .. folder .. "/other")
    assert.equal(0, code)
    assert.truthy(out:find("spare1  INFERENCE of m  STOPPED  a spare node rests", 1, true))
    assert.equal(before, generation())
    assert.equal("INFERENCE", intended "spare1")
  end)
  it("are exchanged by a reload and brought back by a rollback", function()
    edit("scripts", spare_rule)
    assert.equal(0, (cli "reload"))
    assert.equal("STOPPED", intended "spare1")
    assert.equal("INFERENCE", intended "node1")
    local code, out = cli "rollback"
    assert.equal(0, code)
    assert.truthy(out:match "^generation %d+ is live")
    assert.equal("INFERENCE", intended "spare1")
    assert.equal(0, (console "reload"))
    assert.equal("STOPPED", intended "spare1")
    local status, answer = system.http("POST", daemon.url .. "/v1/scripts/rollback")
    assert.equal(200, status)
    assert.equal("done", answer.status)
    assert.equal("INFERENCE", intended "spare1")
  end)
  it("are refused with file and line when they are broken, and the present ones go on", function()
    local before = generation()
    edit("scripts", "  x = = 1\n")
    local place = folder .. "/scripts/policy/phases.lua:%d+: "
    local pattern = place:gsub("[%-]", "%%%0")
    local code, out, err = cli "reload"
    assert.equal(1, code)
    assert.equal("", out)
    assert.truthy(err:match("^" .. pattern), err)
    local status, answer = system.http("POST", daemon.url .. "/v1/scripts/reload")
    assert.equal(422, status)
    assert.equal(folder .. "/scripts/policy/phases.lua", answer.faults[1].file)
    assert.is_true(answer.faults[1].line > 0)
    code, out, err = console "reload"
    assert.equal(1, code)
    assert.truthy((out .. err):match(pattern), err)
    code, out, err = system.run("plan", "--admin", daemon.url)
    assert.equal(1, code)
    assert.equal("", out)
    assert.truthy(err:match("^" .. pattern), err)
    assert.equal(before, generation())
    assert.equal("done", system.command(daemon, "reconcile").status)
  end)
  it("are refused with the line of a case that does not hold, and what differs on lines of their own", function()
    local path = folder .. "/scripts/policy/phases.lua"
    local text = system.read(path)
    local name = "a node serves its configured model when inference_up_all is due"
    system.write("scripts/policy/phases.lua", (text:gsub('inference_up_all = { status = "INFERENCE" }', 'inference_up_all = { status = "STOPPED" }')))
    local line = select(2, text:sub(1, (text:find(name, 1, true))):gsub("\n", "")) + 1
    local code, _, err = cli "reload"
    system.write("scripts/policy/phases.lua", text)
    assert.equal(1, code)
    local first = ('%s:%d: case "%s"'):format(path, line, name)
    assert.equal(1, (err:find(first .. ":\n    args: expected", 1, true)), err)
    assert.truthy(err:find("not loaded: " .. first .. " does not hold (and ", 1, true), err)
    assert.equal(0, (cli "reload"))
  end)
  it("tell the journal who did it", function()
    edit("scripts", spare_rule)
    assert.equal(0, (console "reload"))
    edit "scripts"
    assert.equal(0, (cli "reload"))
    assert.equal(0, (console "command reconcile"))
    assert.equal(0, (console "broker.command 'reconcile'"))
    local _, out = system.run("events", "--admin", daemon.url)
    assert.truthy(out:match 'reload [^\n]*caller="http')
    local _, commands = out:gsub('command name=reconcile caller="console %S+" outcome=done', "")
    assert.equal(2, commands)
  end)
  it("that nobody can reach are exit 3", function()
    assert.equal(3, (system.run("reload", "--admin", "http://127.0.0.1:1")))
    assert.equal(3, (system.run("scripts", "--socket", folder .. "/none.sock")))
    assert.equal(1, (system.run("plan", "--admin", daemon.url, "--scripts", folder .. "/nowhere")))
    assert.equal(2, (system.run("plan", "nonsense")))
  end)
end)
