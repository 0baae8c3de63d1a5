-- What is made from the command table (completions, the manual), and what ships beside the program.
local system = require "support.system"

local source = os.getenv "COXSWAIN_SOURCE" or "."
local program = os.getenv "COXSWAIN_BIN" or "build/coxswain"

local function has(text, ...)
  for _, part in ipairs { ... } do assert.truthy(text:find(part, 1, true), ("%q is not in: %s"):format(part, text)) end
end

local function shell(command)
  local pipe = assert(io.popen(command .. " 2>&1"))
  local out = pipe:read "a"
  return pipe:close() == true, out
end

local function is_there(name) return (shell("command -v " .. name)) end

describe("completions", function()
  teardown(system.clean)

  it("are there for bash, zsh and fish, and for nothing else", function()
    for _, name in ipairs { "bash", "zsh", "fish" } do
      local code, out = system.run("completion", name)
      assert.equal(0, code)
      has(out, "repl", "completion", "token-file", "standalone")
    end
    local code, _, err = system.run("completion", "csh")
    assert.equal(2, code)
    has(err, "bash, zsh or fish")
    assert.equal(2, (system.run "completion"))
  end)
  it("work in bash: subcommands, verbs, options, files", function()
    local _, script = system.run("completion", "bash")
    local path = system.write("completion", script)
    local function complete(...)
      local words = { ... }
      for i, word in ipairs(words) do words[i] = ("%q"):format(word) end
      local _, out = shell(([[bash -c 'cd %s; . ./completion; COMP_WORDS=(coxswain %s); COMP_CWORD=%d; _coxswain; printf "%%s\n" "${COMPREPLY[@]}"']])
        :format(system.folder(), table.concat(words, " "), #words))
      return out
    end
    assert.is_true((shell("bash -n " .. path)))
    assert.equal("report\nrepl\n", complete "rep")
    assert.equal("enable\n", complete("node", "en"))
    assert.equal("--standalone\n", complete("repl", "--st"))
    assert.equal("completion\n", complete("repl", "-c", "compl"))
    assert.equal("bash\n", complete("completion", "ba"))
  end)
  it("ask the daemon for ids and commands, and say nothing when there is none", function()
    local nodes = [==[[{ "id": "node1", "host": "127.0.0.1", "inference_port": 5000, "poc_port": 8080, "max_concurrent": 5, "models": { "m": {} } },
      { "id": "$(touch x)", "host": "127.0.0.1", "inference_port": 5001, "poc_port": 8081, "max_concurrent": 5, "models": { "m": { "args": [] } } }]]==]
    nodes = nodes:gsub('"m": {}', '"m": { "args": [] }')
    local daemon = system.daemon(system.config(system.write("nodes.json", nodes)))
    local code, out = system.run("completion", "nodes", "--admin", daemon.url)
    assert.equal(0, code)
    assert.equal("node1\n", out) -- a shell would run the other one
    has(select(2, system.run("completion", "commands", "--admin", daemon.url)), "start_poc\n")
    local err
    code, out, err = system.run("completion", "nodes", "--admin", "http://127.0.0.1:1")
    assert.equal(3, code)
    assert.equal("", out .. err)
  end)
  it("tell in their help what they take themselves, and only for the daemon's words how it is found", function()
    local code, out = system.run("completion", "--help")
    assert.equal(0, code)
    has(out, "bash|zsh|fish", "coxswain completion nodes")
    for _, foreign in ipairs { "--socket", "--admin", "--token-file", "Finding the daemon" } do assert.falsy(out:find(foreign, 1, true), foreign) end
    code, out = system.run("completion", "nodes", "--help")
    assert.equal(0, code)
    has(out, "Usage: coxswain completion nodes\n", "--socket", "Finding the daemon")
    local refused, _, err = system.run("completion", "bash", "--admin", "http://127.0.0.1:1")
    assert.equal(2, refused)
    has(err, "unknown option --admin")
  end)
  it("are good zsh and fish where these are installed", function()
    for name, check in pairs { zsh = "zsh -n", fish = "fish --no-execute" } do
      local _, script = system.run("completion", name)
      if is_there(name) then assert.is_true((shell(check .. " " .. system.write(name, script)))) end
    end
  end)
end)

describe("the manual", function()
  teardown(system.clean)

  it("names every subcommand and option, and troff finds nothing wrong in it", function()
    local code, page = system.run "man"
    assert.equal(0, code)
    has(page, ".TH COXSWAIN 1", ".SS \"run\"", ".SS \"node show\"", ".SS \"repl\"", "\\fB\\-\\-standalone\\fR", ".SH EXIT STATUS", "COXSWAIN_SOCKET")
    if not is_there "groff" then return end
    local _, complaints = shell("groff -man -Tutf8 -ww -z " .. system.write("coxswain.1", page))
    assert.equal("", complaints)
  end)
  it("has a page for the configuration with every key, what it accepts, its default and what it is for", function()
    local code, page = system.run("man", "coxswain.lua")
    assert.equal(0, code)
    has(page, ".TH COXSWAIN.LUA 5", "participant.pubkey", "admin.tls.cert", "probe.interval_s", "seconds from 0.001 to 86400", "Default: 15")
    assert.is_nil(page:find("(nobody said what this is for)", 1, true), "a key of the schema has no words in config_describe.c")
    if not is_there "groff" then return end
    assert.equal("", (select(2, shell("groff -man -Tutf8 -ww -z " .. system.write("coxswain.lua.5", page)))))
  end)
  it("has a page for the authors of scripts, which is their guide", function()
    local code, page = system.run("man", "coxswain-scripts")
    assert.equal(0, code)
    has(page, ".TH COXSWAIN\\-SCRIPTS 7", "node:intend(target, reason)", "policy/phases.lua", ".SH")
    assert.is_nil(page:find("%]%([%w./]+%.%a+%)"), "a link was left in the page")
    if not is_there "groff" then return end
    assert.equal("", (select(2, shell("groff -man -Tutf8 -ww -z " .. system.write("coxswain-scripts.7", page)))))
  end)
  it("says which pages there are", function()
    local code, _, err = system.run("man", "nonsense")
    assert.equal(2, code)
    has(err, "coxswain.lua", "coxswain-scripts")
  end)
end)

describe("the unit for systemd", function()
  teardown(system.clean)

  it("is accepted by systemd-analyze", function()
    if not is_there "systemd-analyze" then return pending "systemd-analyze is not installed" end
    local file = assert(io.open(source .. "/tools/systemd/coxswain.service.in"))
    local text = file:read "a"
    file:close()
    local absolute = select(2, shell("realpath " .. program)):match "^(.*)/[^/]*\n"
    local unit = system.write("coxswain.service", (text:gsub("@COX_BIN@", (absolute:gsub("%%", "%%%%"))):gsub("@COX_ETC@", "/etc")))
    local is_good, out = shell("systemd-analyze verify --man=no " .. unit)
    assert.is_true(is_good, out)
    assert.is_nil(out:find("coxswain.service", 1, true), out)
  end)
end)
