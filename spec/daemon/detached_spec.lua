-- The daemon in the background: who called knows how it went, the pidfile is locked, a second start is told who holds what.
local system = require "support.system"

local function has(text, ...)
  for _, part in ipairs { ... } do assert.truthy(text:find(part, 1, true), ("%q is not in: %s"):format(part, text)) end
end

describe("a detached daemon", function()
  local config, pidfile, log, process
  before_each(function()
    config = system.write("coxswain.lua", system.config(system.write("nodes.json", "[]"), "admin = { listen = '127.0.0.1:0', socket = 'c.sock' },"))
    pidfile, log = system.folder() .. "/pid.coxswain", system.folder() .. "/coxswain.log"
  end)
  after_each(function()
    if process then
      system.signal(process, "TERM")
      system.wait("the daemon's end", function() return not system.is_running(process) end)
      process = nil
    end
    system.clean()
  end)

  local function start(...) return system.run("run", "-c", config, "--daemon", "--pidfile", pidfile, "--log-file", log, ...) end

  local function start_well(...)
    local code, out, err = start(...)
    assert.equal(0, code, err)
    process = { pid = math.tointeger(tonumber(system.read(pidfile))) } -- known before anything can fail: it is to be ended
    assert.equal("", out .. err)
    assert.is_true(system.is_running(process))
  end

  it("returns 0 when it is ready, and serves", function()
    start_well()
    local code, out = system.run("repl", "-c", config, "-e", "#nodes")
    assert.equal(0, code)
    assert.equal("0\n", out)
    has(system.read(log), "msg=ready")
    local stat = system.read(("/proc/%d/stat"):format(process.pid))
    local session = stat:match "%) %a %d+ %d+ (%d+)"
    assert.not_equal(tostring(process.pid), session) -- no leader: it can never get a terminal again
  end)
  it("takes all the open files that it may, and has its memory in few places however many threads it has", function()
    process = system.spawn(("sh -c 'ulimit -Sn 512; exec \"%s\" run -c \"%s\"'"):format(os.getenv("COXSWAIN_BIN") or "build/coxswain", config))
    system.wait("the daemon", function() return system.read(process.log):find("msg=ready", 1, true) end)
    local soft, hard = system.read(("/proc/%d/limits"):format(process.pid)):match "Max open files%s+(%d+)%s+(%d+)"
    assert.equal(hard, soft)
    local maps = system.read(("/proc/%d/maps"):format(process.pid))
    if maps:find "san%.so" then return end -- a sanitizer has memory of its own
    local arenas = 0 -- of glibc: heaps of threads begin at multiples of 64 MiB; it makes up to eight for each processor
    for address in maps:gmatch "(%x+)%-%x+ rw%-p 00000000 00:00 0 *\n" do
      if tonumber(address, 16) % (64 << 20) == 0 then arenas = arenas + 1 end
    end
    assert.is_true(arenas <= 2, arenas .. " arenas")
  end)
  it("ends at SIGTERM, and leaves neither pidfile nor socket", function()
    start_well()
    system.signal(process, "TERM")
    system.wait("its end", function() return not system.is_running(process) end)
    assert.is_nil(io.open(pidfile))
    assert.is_nil(io.open(system.folder() .. "/c.sock"))
    has(system.read(log), "msg=stopping signal=SIGTERM", "msg=stopped")
    process = nil
  end)
  it("returns 1 with the reason when it does not get ready", function()
    local code, _, err = start("-D", "admin.socket=" .. system.folder() .. "/no/such/folder/c.sock")
    assert.equal(1, code)
    has(err, "no/such/folder", "cannot be opened")
    assert.is_nil(io.open(pidfile))
    code, _, err = start("-D", "workers=0")
    assert.equal(2, code)
    has(err, "workers")
    code, _, err = system.run("run", "-c", config, "--daemon", "--log-file", system.folder() .. "/none/log")
    assert.equal(1, code)
    has(err, "log file", "No such file")
    code, _, err = system.run("run", "-c", config, "--daemon")
    assert.equal(2, code)
    has(err, "--log-file")
  end)
  it("tells a second start who holds the pidfile, the socket, the port", function()
    start_well()
    local holder = ("process %d (coxswain)"):format(process.pid)
    local code, _, err = start()
    assert.equal(1, code)
    has(err, pidfile, holder)
    code, _, err = system.run("run", "-c", config)
    assert.equal(1, code)
    has(err, "c.sock", holder)
    local port = system.read(log):match "msg=ready[^\n]*port=(%d+)"
    code, _, err = system.run("run", "-c", config, "-D", "admin.socket=" .. system.folder() .. "/d.sock", "-D", "admin.listen=127.0.0.1:" .. port)
    assert.equal(1, code)
    has(err, port, holder)
    assert.is_nil(io.open(system.folder() .. "/d.sock"))
    assert.is_true(system.is_running(process))
  end)
  it("takes over a pidfile and a socket that a killed daemon left", function()
    start_well()
    system.signal(process, "KILL")
    system.wait("its end", function() return not system.is_running(process) end)
    assert.truthy(io.open(pidfile))
    -- The system lets go of a killed process's locks a moment after its first thread has ended.
    system.wait("the new daemon", function()
      local code, _, err = start()
      return code == 0, err
    end)
    process = { pid = math.tointeger(tonumber(system.read(pidfile))) }
    assert.is_true(system.is_running(process))
  end)
  it("opens its log anew at SIGHUP", function()
    start_well()
    assert.is_true(os.rename(log, log .. ".1"))
    system.signal(process, "HUP")
    system.wait("the new log", function() return system.read(log):find("nodes declared", 1, true) end)
  end)
  it("writes a pidfile in the foreground, too", function()
    local foreground = system.start("run", "-c", config, "--pidfile", pidfile)
    system.wait("the pidfile", function() return system.read(pidfile) == foreground.pid .. "\n" end)
    system.wait("the daemon", function() return system.read(foreground.log):find("msg=ready", 1, true) end)
    system.signal(foreground, "TERM")
    system.wait("its end", function() return not system.is_running(foreground) end)
    assert.is_nil(io.open(pidfile))
  end)
end)
