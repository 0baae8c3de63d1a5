-- The folders of scripts that the configuration of a running daemon names: others are taken at each reload that somebody asks for.
local system = require "support.system"

local function has(text, ...)
  for _, part in ipairs { ... } do assert.truthy(text:find(part, 1, true), ("%q is not in: %s"):format(part, text)) end
end

describe("the folders of scripts of a running daemon", function()
  local place, daemon

  local function config(folders) return system.config(place .. "/nodes.json", ("scripts = %s, admin = { socket = 'c.sock' },"):format(folders)) end
  local function name(folders) system.write("coxswain.lua", config(folders)) end
  local function says(greeting) return ('return { help = "Greets.", run = function() return { hello = %q } end }'):format(greeting) end
  local function reload() return system.run("reload", "--admin", daemon.url) end
  local function log() return system.read(daemon.log) end

  local function greeting()
    local answer = system.command(daemon, "hello")
    return answer.result and answer.result.hello
  end

  local function folders()
    local _, shown = system.http("GET", daemon.url .. "/v1/scripts")
    return table.concat(shown.folders, " "), shown.generation
  end

  before_each(function()
    place = system.folder()
    os.execute(("cp -r scripts %s/scripts && mkdir -p %s/over/commands %s/over/policy"):format(place, place, place))
    system.write("nodes.json", "[]")
    system.write("over/commands/hello.lua", says "over")
    daemon = system.daemon(config "'scripts'")
  end)
  after_each(system.clean)

  it("are others after SIGHUP, and watched from then on", function()
    name "{ 'over', 'scripts' }"
    system.signal(daemon, "HUP")
    system.wait("the command of the new folder", function() return greeting() == "over" end)
    has(folders(), place .. "/over " .. place .. "/scripts")
    has(log(), "the configuration names other folders of scripts")
    system.write("over/commands/hello.lua", says "edited")
    system.wait("an edit in the new folder", function() return greeting() == "edited" end)
  end)

  it("are others after a reload that was asked for, also with the same content", function()
    os.execute(("cp -r %s/scripts %s/copy"):format(place, place))
    name "'copy'"
    local code, out = reload()
    assert.equal(0, code)
    has(out, "generation 2")
    assert.equal(place .. "/copy", (folders()))
    code, out = reload()
    assert.equal(0, code)
    has(out, "unchanged")
    system.write("copy/commands/hello.lua", says "copy")
    system.wait("an edit in the new folder", function() return greeting() == "copy" end)
  end)

  it("are planned with, and stay as they were", function()
    name "{ 'over', 'scripts' }"
    system.write("over/policy/phases.lua", "return {")
    local code, _, err = system.run("plan", "--admin", daemon.url)
    assert.equal(1, code)
    has(err, place .. "/over/policy/phases.lua:1: ")
    assert.equal(place .. "/scripts", (folders()))
  end)

  it("stay as they were when the configuration is broken, which a reload says", function()
    system.write("coxswain.lua", "return {\n  scripts = 'over,\n}")
    local code, _, err = reload()
    assert.equal(1, code)
    has(err, daemon.config .. ":2: ", "the configuration is broken now")
    system.signal(daemon, "HUP")
    system.wait("SIGHUP", function() return log():find("the configuration is broken now: nothing was changed", 1, true) end)
    system.write("scripts/commands/hello.lua", says "scripts") -- edits are nobody's question
    system.wait("an edit in the present folder", function() return greeting() == "scripts" end)
    assert.equal(place .. "/scripts", (folders()))
  end)

  it("may come to be later than their name", function()
    name "'later'"
    local code, _, err = reload()
    assert.equal(1, code)
    has(err, place .. "/later", "cannot be read")
    assert.equal(place .. "/scripts", (folders())) -- what is live
    os.execute(("cp -r %s/scripts %s/made && mv %s/made %s/later"):format(place, place, place, place))
    system.wait("the folder", function() return (folders()) == place .. "/later" end)
  end)
end)
