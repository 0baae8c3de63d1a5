-- What careless hands write into the scripts of a running daemon: each of it gets a clear answer, and the live set goes on.
local system = require "support.system"

local function has(text, ...)
  for _, part in ipairs { ... } do assert.truthy(tostring(text):find(part, 1, true), ("%q is not in: %s"):format(part, tostring(text))) end
end

describe("scripts that are edited without care", function()
  local folder, daemon, fleet

  setup(function()
    folder = system.folder() .. "/scripts"
    assert(os.execute("cp -r scripts " .. folder))
    fleet = system.fleet("--count", "1")
    daemon = system.daemon(system.config(fleet.nodes_file, ("scripts = %q, admin = { socket = 'c.sock' }, reload = { watch = false },"):format(folder)))
    system.command(daemon, "new_block", system.block(50, 0, 0))
    system.converged(daemon, "INFERENCE")
  end)
  teardown(system.clean)

  -- What was changed, to be put back.
  local changed = {}

  local function write(name, text)
    local path = folder .. "/" .. name
    changed[#changed + 1] = { path = path, before = system.read(path) }
    assert(os.execute(("mkdir -p $(dirname '%s')"):format(path)))
    local file = assert(io.open(path, "wb"))
    file:write(text)
    file:close()
  end

  local function edit(name, from, to)
    local text = system.read(folder .. "/" .. name)
    local first, last = text:find(from, 1, true)
    assert(first, from)
    write(name, text:sub(1, first - 1) .. to .. text:sub(last + 1))
  end

  -- What stands at the end of the policy.
  local function ending(text)
    local shipped = system.read(folder .. "/policy/phases.lua")
    write("policy/phases.lua", (shipped:gsub("return M%s*$", function() return text .. "\nreturn M\n" end)))
  end

  -- The whole policy, without its cases.
  local function rule(text) ending("M.cases = nil\nfunction M.intent() " .. text .. " end") end

  local function reload() return system.http("POST", daemon.url .. "/v1/scripts/reload") end

  local function generation()
    local _, shown = system.http("GET", daemon.url .. "/v1/scripts")
    return shown.generation
  end

  local function refused(file, ...)
    local before = generation()
    local status, answer = reload()
    assert.equal(422, status, answer.error)
    has(answer.error, ...)
    assert.equal(folder .. "/" .. file, answer.faults[1].file)
    assert.equal(before, generation())
    assert.equal("INFERENCE", system.states(daemon).node1.intended_status)
    return answer
  end

  local function taken()
    local status, answer = reload()
    assert.equal(200, status, answer.error)
    assert.equal("done", answer.status)
  end

  after_each(function()
    for i = #changed, 1, -1 do
      if changed[i].before == "" then os.remove(changed[i].path)
      else
        local file = assert(io.open(changed[i].path, "wb"))
        file:write(changed[i].before)
        file:close()
      end
    end
    changed = {}
    assert(os.execute("rm -rf " .. folder .. "/lib"))
    local status, answer = reload()
    assert.equal(200, status, answer.error)
    system.converged(daemon, "INFERENCE")
  end)

  it("say which part of a target is wrong", function()
    for text, words in pairs {
      ['return "INFERENCE"'] = "node node1: target: a table with a status is required, not a string",
      ['return { status = "INFERENCE", model = 42 }'] = "model must be a text",
      ['return { status = "INFERENCE", model = "m", args = "--x" }'] = "args must be a list",
      ['return { status = "INFERENCE", model = "m", args = { 1 } }'] = "args must be a list",
      ['return { status = "POC", poc = "GENERATING", node_count = -1 }'] = "node_count must be an integer from 0",
      ['return { status = "INFERENCE", drain_s = 1e300 }'] = "drain_s must be a number of seconds from 0 to 86400",
    } do
      rule(text)
      refused("policy/fleet.lua", words)
      local last = table.remove(changed)
      local file = assert(io.open(last.path, "wb"))
      file:write(last.before)
      file:close()
    end
  end)

  it("may give long words, which are cut", function()
    rule 'return { status = "INFERENCE", model = "m" }, ("ä"):rep(100000)'
    taken()
    assert.equal(("ä"):rep(2048), system.states(daemon).node1.explain.reason)
  end)

  it("are named when what they return cannot be looked at", function()
    write("commands/x.lua", [[return setmetatable({ help = "x", run = print }, { __pairs = function() return 42 end })]])
    refused("commands/x.lua", "what it returned cannot be checked", "lua/coxswain/schema.lua")
    write("commands/x.lua", ("return { help = (%q):rep(1001), run = function() end }"):format "x")
    refused("commands/x.lua", "help is longer than 1000 bytes")
    write("commands/x.lua", [[return { help = "\27[31mred", run = function() end }]])
    refused("commands/x.lua", "help is missing: one line")
  end)

  it("are named when their cases are none", function()
    ending "M.cases = 3"
    refused("policy/phases.lua", "cases must be a list of cases, not a number")
    ending 'M.cases = { setmetatable({ "a sentence" }, { __pairs = function() return 42 end }) }'
    refused("policy/phases.lua", "what it returned cannot be checked", "lua/coxswain/cases.lua")
  end)

  it("are named when brackets are nested too deeply", function()
    edit("policy/models.lua", "local M = {}", "local M = {}\nlocal x = " .. ("{"):rep(1000) .. ("}"):rep(1000))
    refused("policy/models.lua", "nested too deeply")
  end)

  it("remember all or nothing, and a memory that cannot be taken over refuses the new ones for good", function()
    ending "function M.save() return 1 end"
    refused("policy/phases.lua", "save and restore belong together: restore must be a function")
    ending "function M.save() return 1 end\nfunction M.restore() end"
    taken()
    edit("policy/phases.lua", "function M.restore() end", "function M.restore() while true do end end")
    refused("policy/phases.lua", "taking over the state of the present policy failed", "it ran longer than its time budget")
    local _, shown = system.http("GET", daemon.url .. "/v1/scripts")
    has(shown.rejected and shown.rejected.reason, "taking over the state")
  end)

  it("are neither queues nor devices, and not too far down", function()
    local path = folder .. "/commands/x.lua"
    for _, make in ipairs { "mkfifo %s", "ln -s /dev/zero %s" } do
      assert(os.execute(make:format(path)))
      refused("commands/x.lua", "neither a file nor a folder")
      os.remove(path)
    end
    write("lib/a/b/c/d/e/f/g/h/i.lua", "return {}")
    refused("lib/a/b/c/d/e/f/g/h", "nested too deeply")
  end)

  it("are not blamed on the library when there are too many", function()
    assert(os.execute(("mkdir -p %s/lib && cd %s/lib && seq -f f%%g.lua 4100 | xargs touch"):format(folder, folder)))
    local status, answer = reload()
    assert.equal(422, status)
    assert.equal(1, #answer.faults)
    has(answer.faults[1].message, "more than 4096 scripts")
  end)

  it("answer 422 with their file for a result that is none, and for too much memory; nothing is changed", function()
    write("commands/x.lua", [[return { help = "x", args = { how = "string" }, run = function(broker, args)
      for node in broker:nodes() do node:intend { status = "STOPPED" } end
      if args.how == "function" then return print end
      local text = ("x"):rep(9000000)
      return text .. text
    end }]])
    taken()
    for how, words in pairs { ["function"] = "the result must be plain data, not a function", memory = "a string would be longer than 16 MiB" } do
      local answer, status = system.command(daemon, "x", { how = how })
      assert.equal(422, status)
      assert.equal(folder .. "/commands/x.lua", answer.file)
      has(answer.error, "command x changed nothing", "commands/x.lua", words)
      assert.equal("INFERENCE", system.states(daemon).node1.intended_status)
    end
  end)

  it("tell where a job failed, and that nothing waits while they are loaded", function()
    write("jobs/x.lua", [[return { help = "x", run = function()
      error "boom" end }]])
    taken()
    local line = system.wait("the failure", function() return system.read(daemon.log):match "[^\n]*job failed, it starts again[^\n]*" end)
    has(line, folder .. "/jobs/x.lua", "line=2", "reason=boom")
    write("jobs/x.lua", [[time.sleep(1) return { help = "x", run = function() end }]])
    refused("jobs/x.lua", "waiting is not possible here: not while a script is loaded")
  end)

  it("do not take a driver's nil and a reason for success, nor a text for ready", function()
    local driver = [[return {
      help = "x", deadline = { INFERENCE = 5, STOPPED = 5, POC = 5, TRAINING = 5 },
      reach = { STOPPED = function() return nil, "too busy" end, INFERENCE = print, POC = print, TRAINING = print },
      probe = function() return { status = "INFERENCE", ready = true } end }]]
    write("drivers/mlnode.lua", driver)
    write("commands/x.lua", [[return { help = "x", run = function(broker) for node in broker:nodes() do node:intend { status = "STOPPED" } end end }]])
    taken()
    system.command(daemon, "x")
    system.wait("the failed attempt", function()
      local reason = system.states(daemon).node1.failure_reason
      return reason and reason:find("reach.STOPPED returned nil, too busy: what was not reached is said with error", 1, true), reason
    end)
    write("drivers/mlnode.lua", (driver:gsub("return nil, \"too busy\"", "return"):gsub("ready = true", "ready = 'yes'")))
    taken()
    system.wait("the failed probe", function()
      local reason = system.states(daemon).node1.failure_reason
      return reason and reason:find("`ready` that is neither true nor false", 1, true), reason
    end)
  end)
end)
