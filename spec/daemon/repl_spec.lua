-- `coxswain repl` at a terminal: keys are pressed in tmux, and what stands on the screen is read.
local system = require "support.system"

local nodes = [==[[
  { "id": "node1", "host": "127.0.0.1", "inference_port": 5000, "poc_port": 8080, "max_concurrent": 5, "models": { "m": { "args": [] } } },
  { "id": "node-2", "host": "127.0.0.1", "inference_port": 5001, "poc_port": 8081, "max_concurrent": 5, "models": { "m": { "args": [] } } }
]]==]

describe("the console at a terminal", function()
  local server, daemon, configuration
  local source, program = os.getenv "COXSWAIN_SOURCE" or ".", os.getenv "COXSWAIN_BIN" or "build/coxswain"

  local function tmux(...)
    local words = { "tmux", "-S", server }
    for _, word in ipairs { ... } do words[#words + 1] = "'" .. word:gsub("'", "'\\''") .. "'" end
    local pipe = assert(io.popen(table.concat(words, " ") .. " 2>&1"))
    local out = pipe:read "a"
    pipe:close()
    return out
  end

  local function keys(...) tmux("send-keys", "-t", "repl", ...) end
  local function type_in(text) tmux("send-keys", "-t", "repl", "-l", text) end
  local function screen() return tmux("capture-pane", "-p", "-S", "-200", "-t", "repl") end

  -- Waits until the screen shows `text` at least `times` times.
  local function see(text, times, seconds)
    system.wait(("%q on the screen"):format(text), function()
      local count, at, shown = 0, 1, screen()
      while true do
        local first, last = shown:find(text, at, true)
        if not first then break end
        count, at = count + 1, last + 1
      end
      return count >= (times or 1), "\n" .. shown
    end, seconds or 40)
  end
  local function shows(text, seconds) return (pcall(see, text, 1, seconds)) end

  local function prompt(line)
    type_in(line)
    keys "Enter"
  end

  setup(function()
    os.execute(("cp -r %s/scripts %s/scripts"):format(source, system.folder()))
    configuration = system.config(system.write("nodes.json", nodes), "scripts = 'scripts', admin = { socket = 'c.sock' },")
    daemon = system.daemon(configuration)
    server = system.folder() .. "/tmux"
    tmux("-f", "/dev/null", "new-session", "-d", "-s", "repl", "-x", "100", "-y", "40",
      ("env XDG_STATE_HOME=%s/state %s repl --socket %s/c.sock; echo left with $?; exec sleep 60"):format(system.folder(), program, system.folder()))
    see "coxswain>"
  end)
  teardown(function()
    tmux "kill-server"
    system.clean()
  end)

  it("greets", function() see "2 nodes. `help` tells what there is; Ctrl-D leaves." end)
  it("completes by Tab what the daemon knows", function()
    type_in "why node1"
    keys("BSpace", "Tab") -- node1 and node-2 begin alike
    keys "Tab"
    see "node-2"
    type_in "1"
    keys "Enter"
    see "number 0, registration 1, driver mlnode"
    type_in "nodes.node1.curr"
    keys "Tab"
    see "nodes.node1.current_status"
    keys "Enter"
    type_in "nodes.nod"
    keys "Tab"
    see '["node-2"]'
    keys "C-c"
  end)
  it("takes a function over several lines", function()
    prompt "function double(n)"
    see(">>", 1)
    prompt "  return 2 * n"
    see(">>", 2)
    prompt "end"
    prompt "double(2100)"
    see "4200"
  end)
  it("gives up a chunk at Ctrl-C", function()
    prompt "for i = 1, 3 do"
    see(">>", 3)
    type_in "print(i)"
    keys "C-c"
    see "^C"
    prompt "3000 + 33"
    see "3033"
  end)
  it("cuts an endless loop at Ctrl-C", function()
    -- Ctrl-C also throws away what was pressed and is not read yet: then the line was only given up, and is typed again.
    for times = 1, 10 do
      prompt "while true do end"
      see("while true do end", times)
      keys "C-c"
      if shows("cancelled", 3) then break end
    end
    see "cancelled"
    prompt "'still ' .. 'here'"
    see "still here"
  end)
  it("follows one node until Ctrl-C", function()
    prompt "trace node1"
    see "target    none yet"
    prompt "" -- what is typed meanwhile is not lost, and does no harm
    keys "C-c"
    prompt "'after ' .. 'trace'"
    see "after trace"
  end)
  it("draws the fleet anew until Ctrl-C", function()
    prompt "watch"
    see "no block has come yet"
    keys "C-c"
    prompt "'after ' .. 'watch'"
    see "after watch"
  end)
  it("refuses a broken script with its place, and loads a good one", function()
    local phases = system.read(source .. "/scripts/policy/phases.lua")
    system.write("scripts/policy/phases.lua", "x = = 1\n" .. phases)
    prompt "reload"
    see "policy/phases.lua:1: "
    see "the present ones go on"
    system.write("scripts/policy/phases.lua", "-- Another first line.\n" .. phases)
    prompt "reload"
    see "is live"
    type_in "roll"
    keys "Tab"
    see "rollback"
    keys "Enter"
    see("is live", 2)
    prompt "scripts"
    see "policy/phases.lua"
    prompt "plan"
    see "nothing was changed and no node was called"
  end)
  it("knows the lines of before by the arrow", function()
    prompt "'first ' .. 'line'"
    see "first line"
    keys("Up", "Enter")
    see('"first line"', 2)
  end)
  it("outlives its daemon, and goes on with the next", function()
    prompt "kept = 'of the old daemon'"
    prompt "kept"
    see '"of the old daemon"'
    system.signal(daemon, "KILL")
    system.wait("the daemon's end", function() return not system.is_running(daemon) end)
    prompt "1 + 1"
    see "the next line tries to reach it again"
    for _ = 1, 20 do -- its threads end one after the other, and for so long its socket may still take a connection
      prompt "1 + 1"
      if shows("no daemon at ", 2) then break end
    end
    see "no daemon at "
    daemon = system.daemon(configuration)
    prompt "type(kept) .. ' again'"
    see "connected again, with a new session"
    see '"nil again"'
  end)
  it("leaves at quit, and keeps its history for its owner only", function()
    prompt "quit"
    see "left with 0"
    local pipe = assert(io.popen(("stat -c %%a %s/state/coxswain/history"):format(system.folder())))
    assert.equal("600\n", pipe:read "a")
    pipe:close()
    assert.truthy(system.read(system.folder() .. "/state/coxswain/history"):find("double", 1, true))
  end)
  it("leaves at a Ctrl-D that is typed while a line runs", function()
    tmux("respawn-pane", "-k", "-t", "repl", ("%s repl --socket %s/c.sock; echo then left with $?; exec sleep 60"):format(program, system.folder()))
    system.wait("its prompt", function()
      local shown = screen()
      return shown:find "Ctrl%-D leaves%.%s*coxswain>%s*$" ~= nil, shown
    end, 40)
    prompt "for i = 1, 1e8 do end"
    -- The terminal reads lines while one runs. Where that is over before it was looked at, this shows less, and does not fail.
    local terminal = tmux("display-message", "-p", "-t", "repl", "#{pane_tty}"):gsub("%s", "")
    pcall(system.wait, "a line that runs", function()
      local pipe = assert(io.popen(("stty -a -F %s"):format(terminal)))
      local modes = pipe:read "a"
      pipe:close()
      return modes:find " icanon" ~= nil, modes
    end, 3)
    keys "C-d"
    see "then left with 0"
  end)
end)
