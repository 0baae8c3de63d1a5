-- A disk without room while something is chosen or declared: it is in force or refused, people are told, and when there is room again
-- nothing more has to be asked for. The disk is played by a limit on the size of files.
local system = require "support.system"

local function node(most)
  return ([=[[{ "id": "a", "host": "127.0.0.1", "inference_port": 5000, "poc_port": 8080, "max_concurrent": %d,
    "models": { "m": { "args": [] } } }]]=]):format(most)
end

describe("a disk that was full", function()
  local daemon, scripts
  after_each(system.clean)

  local function start()
    system.write("nodes.json", node(5))
    scripts = system.folder() .. "/scripts"
    os.execute(("cp -r %s/scripts %s"):format(os.getenv "COXSWAIN_SOURCE" or ".", scripts))
    local config = system.config(system.folder() .. "/nodes.json", ("scripts = %q,\n  reload = { watch = false },"):format(scripts))
    daemon = system.daemon((config:gsub('store = ":memory:"', 'store = "full.db"')))
  end

  local function again()
    system.signal(daemon, "KILL")
    system.wait("the end of the daemon", function() -- with all of its threads: the last one has the store's lock
      return not system.is_running(daemon) and not os.execute(("test -n \"$(ls /proc/%d/task 2>/dev/null | sed 1d)\""):format(daemon.pid))
    end)
    daemon = system.daemon(system.read(daemon.config))
  end

  local function limit(bytes) assert.is_true(os.execute(("prlimit --fsize=%s: --pid %d"):format(bytes, daemon.pid))) end

  local function metric(name)
    local _, text = system.http("GET", daemon.url .. "/metrics")
    return tonumber(text:match("\n" .. name .. " (%d+)"))
  end

  local function fill()
    limit "1"
    system.command(daemon, "reconcile") -- its line is the first that finds no room
    system.wait("degraded mode", function() return metric "coxswain_store_degraded" == 1 end)
  end

  local function shown() return select(2, system.http("GET", daemon.url .. "/v1/scripts")) end

  it("has the scripts that were chosen meanwhile, before anybody asks again", function()
    start()
    os.execute(("sed -i '1s/^/-- edited\\n/' %s/policy/phases.lua"):format(scripts))
    assert.equal(200, (system.http("POST", daemon.url .. "/v1/scripts/reload")))
    assert.equal(2, shown().generation)
    fill()
    local status, answer = system.http("POST", daemon.url .. "/v1/scripts/rollback") -- the files still hold what was left
    assert.equal(200, status)
    assert.equal(1, answer.generation)
    assert.truthy(answer.unstored:find("a start would not know of it", 1, true))
    assert.truthy(shown().unstored)
    assert.equal(1, metric "coxswain_scripts_unstored")
    limit "unlimited"
    system.wait("the choice to be stored", function() return metric "coxswain_scripts_unstored" == 0 end)
    assert.is_nil(shown().unstored)
    again()
    assert.equal(1, shown().generation)
    assert.truthy(shown().rejected)
  end)

  it("has the nodes that were declared meanwhile", function()
    start()
    fill()
    system.write("nodes.json", node(9))
    system.signal(daemon, "HUP")
    system.wait("its end", function() return metric 'coxswain_script_reloads_total{outcome="unchanged"}' == 1 end) -- the log has no room, either
    local function most() return select(2, system.http("GET", daemon.url .. "/admin/v1/nodes/a")).node.max_concurrent end
    assert.equal(5, most())
    limit "unlimited"
    system.wait("the declared node", function() return most() == 9 end)
    again()
    assert.equal(9, most())
  end)
end)
