-- Editing the scripts of a running daemon: what an operator does with an editor, SIGHUP and a restart.
local system = require "support.system"

local function has(text, ...)
  for _, part in ipairs { ... } do assert.truthy(text:find(part, 1, true), ("%q is not in: %s"):format(part, text)) end
end

local SERVE = 'if ask.status == "INFERENCE" then return serve(node, "inference_up_all") end'

describe("a running daemon", function()
  local folder, phases, daemon, config

  before_each(function()
    folder = system.folder() .. "/scripts"
    phases = folder .. "/policy/phases.lua"
    os.execute("cp -r scripts " .. folder)
    local nodes = {}
    for i = 1, 3 do
      nodes[i] = ('{"id":"n%d","host":"127.0.0.1","inference_port":%d,"poc_port":%d,"max_concurrent":1,"models":{"m":{}}}'):format(i, 2 * i, 2 * i + 1)
    end
    local nodes_file = system.write("nodes.json", "[" .. table.concat(nodes, ",") .. "]")
    config = system.config(nodes_file, ("scripts = %q, admin = { socket = 'c.sock' },"):format(folder))
    config = config:gsub("%:memory%:", "coxswain.db")
  end)
  after_each(system.clean)

  local function start(...)
    daemon = system.daemon(config, ...)
    system.command(daemon, "new_block", system.block(50, 0, 0))
  end

  local function log() return system.read(daemon.log) end

  local function reloads(outcome)
    local _, text = system.http("GET", daemon.url .. "/metrics")
    return tonumber(text:match(('coxswain_script_reloads_total{outcome="%s"} (%%d+)'):format(outcome)))
  end

  -- As an editor that writes in place.
  local function edit(from, to)
    local text = system.read(phases)
    local first, last = text:find(from, 1, true)
    assert(first, from)
    local file = assert(io.open(phases, "wb"))
    file:write(text:sub(1, first - 1), to, text:sub(last + 1))
    file:close()
  end

  local function wait_for_target(status)
    return system.wait("node n2 at " .. status, function()
      local state = system.states(daemon).n2
      return state and state.intended_status == status, state and state.intended_status
    end)
  end

  -- Lines are written after what they tell of.
  local function wait_for_line(pattern) return system.wait(pattern, function() return log():match(pattern) end) end

  local function stop_n2() edit(SERVE, 'if ask.status == "INFERENCE" and node.id == "n2" then return { status = "STOPPED" }, "an edit" end\n  ' .. SERVE) end

  local function restart(...)
    system.signal(daemon, "TERM")
    system.wait("its end", function() return not system.is_running(daemon) end)
    start(...)
  end

  it("follows an edit by itself, and nodes that it does not touch stay as they are", function()
    start()
    local before = system.states(daemon)
    assert.equal("INFERENCE", before.n2.intended_status)
    stop_n2()
    wait_for_target("STOPPED")
    local after = system.states(daemon)
    assert.equal(before.n1.generation, after.n1.generation)
    assert.equal(before.n3.generation, after.n3.generation)
    has(wait_for_line 'msg="new scripts are live" generation=2[^\n]*', 'caller="an edit of the files"')
    local _, _, code = os.execute(("curl -sS %s/metrics | grep -q 'coxswain_script_generation 2'"):format(daemon.url))
    assert.equal(0, code)
  end)

  it("refuses a broken edit with file, line and reason, and goes on", function()
    start()
    edit(SERVE, SERVE .. " this is broken")
    local text = system.wait("the refusal", function() return log():match 'msg="scripts refused[^\n]*' end)
    has(text, "file=" .. phases, "line=", "reason=")
    local answer = system.command(daemon, "inference_up_all")
    assert.equal("done", answer.status)
    system.signal(daemon, "HUP")
    system.wait("SIGHUP", function() return reloads "unchanged" > 0 end)
    assert.equal(1, reloads "refused") -- the same content is not tried again
    edit(" this is broken", "")
    stop_n2()
    wait_for_target("STOPPED")
    assert.equal("done", system.command(daemon, "inference_up_all").status)
  end)

  it("looks at SIGHUP where edits are not watched", function()
    start("-D", "reload.watch=false")
    stop_n2()
    system.signal(daemon, "HUP")
    wait_for_target("STOPPED")
    has(wait_for_line 'msg="new scripts are live"[^\n]*', "caller=SIGHUP")
  end)

  -- Fails at heights that neither a case nor a rehearsal knows.
  local function fail_late()
    edit(SERVE, 'if world.height and world.height >= 60 and world.height < 90 then error("a fault of its own") end\n  ' .. SERVE)
    system.wait("the new scripts", function() return log():find("generation=2", 1, true) end)
    system.command(daemon, "new_block", system.block(60, 0, 0))
    for _ = 1, 3 do
      local _, status = system.command(daemon, "inference_up_all")
      assert.equal(422, status)
    end
    return system.wait("the rollback", function() return log():match 'msg="the scripts before are live again"[^\n]*' end)
  end

  it("goes back by itself, and a restart does not try what was rejected", function()
    start()
    has(fail_late(), "generation=1", "inference_up_all failed 3 times in a row", "a fault of its own", 'caller="the broker itself"')
    assert.equal("done", system.command(daemon, "inference_up_all").status)
    local _, out = system.run("events", "--json", "--admin", daemon.url)
    has(out, '"action":"rollback"', "a fault of its own")

    restart()
    has(log(), "were rejected before")
    system.command(daemon, "new_block", system.block(60, 0, 0))
    assert.equal("done", system.command(daemon, "inference_up_all").status) -- the kept scripts, not the files
    assert.truthy(system.read(phases):find("a fault of its own", 1, true))

    edit('error("a fault of its own")', "node = node") -- another content is tried
    system.wait("the repaired scripts", function() return log():find("new scripts are live", 1, true) end)
    assert.equal("done", system.command(daemon, "inference_up_all").status)
  end)

  it("starts with files that were edited while it was down, and stops at broken ones", function()
    start()
    system.signal(daemon, "TERM")
    system.wait("its end", function() return not system.is_running(daemon) end)
    stop_n2()
    start()
    wait_for_target("STOPPED")
    system.signal(daemon, "TERM")
    system.wait("its end", function() return not system.is_running(daemon) end)
    edit(SERVE, "if")
    local code, _, err = system.run("run", "-c", daemon.config)
    assert.equal(1, code)
    has(err, phases)
  end)

  it("lays folders over each other", function()
    os.execute(("mkdir -p %s/over/commands"):format(system.folder()))
    system.write("over/commands/hello.lua", 'return { help = "Says hello.", run = function() return { hello = true } end }')
    config = config:gsub("scripts = [^,]+,", ("scripts = { %q, default },"):format(system.folder() .. "/over"))
    start()
    local answer = system.command(daemon, "hello")
    assert.equal("done", answer.status)
    assert.is_true(answer.result.hello)
    system.write("over/commands/hello.lua", 'return { help = "Says hello.", run = function() return { hello = "again" } end }')
    system.wait("the other answer", function() return system.command(daemon, "hello").result.hello == "again" end)
  end)

  it("begins jobs anew with what they saved", function()
    system.write("scripts/jobs/count.lua", [[
local count = 0
return {
  help = "Counts.",
  save = function() return { count = count } end,
  restore = function(old) count = old.count end,
  run = function()
    log.info("the job begins", { count = count })
    while true do
      count = count + 1
      time.sleep(0.05)
    end
  end,
}
]])
    start()
    has(system.wait("the job", function() return log():match 'msg="the job begins"[^\n]*' end), "count=0")
    system.wait("some counts", function()
      stop_n2()
      return wait_for_target("STOPPED")
    end)
    local count = system.wait("the job's second beginning", function() return log():match 'the job begins.*msg="the job begins"[^\n]*count=(%d+)' end)
    assert.is_true(tonumber(count) > 0)
  end)

  it("loses no attempt in flight at a reload of their driver, and repeats none", function()
    local count = 500
    local fleet = system.fleet("--count", tostring(count), "--latency-ms", "1000")
    local text = system.config(fleet.nodes_file, ("scripts = %q, admin = { socket = 'c.sock' }, probe = { interval_s = 600 },"):format(folder))
    text = text:gsub("probe = { interval_s = 1, timeout_s = 1 },", "")
    daemon = system.daemon(text)
    system.command(daemon, "new_block", system.block(50, 0, 0))
    system.wait("attempts in flight, or what came of them", function()
      for _, state in pairs(system.states(daemon)) do
        if state.reconcile_info or state.current_status == "INFERENCE" then return true end
      end
    end)
    local file = assert(io.open(folder .. "/drivers/mlnode.lua", "ab"))
    file:write("-- edited\n")
    file:close()
    system.wait("the reload", function() return log():find("generation=2", 1, true) end)
    system.converged(daemon, "INFERENCE", nil, 120)
    for id, report in pairs(system.reports(fleet)) do
      assert.equal(1, report.loads, id)
      assert.equal(1, report.mutating_open_max, id)
    end
    local _, metrics = system.http("GET", daemon.url .. "/metrics")
    has(metrics, ('coxswain_attempts_total{kind="INFERENCE",result="succeeded"} %d\n'):format(count), "coxswain_stale_results_total 0\n")
  end)
end)
