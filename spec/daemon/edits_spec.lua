-- What people, editors and tools do to the folder of scripts of a running daemon.
local system = require "support.system"

local function has(text, ...)
  for _, part in ipairs { ... } do assert.truthy(text:find(part, 1, true), ("%q is not in: %s"):format(part, text)) end
end

local function says(greeting) return ('return { help = "Greets.", run = function() return { hello = %q } end }\n'):format(greeting) end

describe("a running daemon, whose scripts are edited,", function()
  local place, daemon

  local function sh(text) assert(os.execute(("cd %s && %s"):format(place, text)), text) end
  local function log() return system.read(daemon.log) end

  local function shown()
    local _, scripts = system.http("GET", daemon.url .. "/v1/scripts")
    return scripts
  end

  local function start(folder)
    system.write("nodes.json", "[]")
    daemon = system.daemon(system.config(place .. "/nodes.json", ("scripts = %q, admin = { socket = 'c.sock' },"):format(place .. "/" .. folder)))
    return daemon
  end

  local function wait_for_greeting(greeting)
    return system.wait("the greeting " .. greeting, function()
      local answer = system.command(daemon, "hello")
      return answer.result and answer.result.hello == greeting
    end)
  end

  local function wait_for_refusal(...)
    local parts = { ... }
    local reason = system.wait("a refusal", function()
      local rejected = shown().rejected
      return rejected and rejected.reason:find(parts[1], 1, true) and rejected.reason, rejected and rejected.reason
    end)
    has(reason, ...)
  end

  before_each(function()
    place = system.folder()
    sh(("cp -r %s/scripts scripts"):format(os.getenv "COXSWAIN_SOURCE" or (io.popen("pwd"):read "l")))
    system.write("scripts/commands/hello.lua", says "first")
  end)
  after_each(system.clean)

  it("follows editors that keep a copy, and those that put another file in its place", function()
    start "scripts"
    system.write("new", says "a copy is kept") -- as vim does it
    sh "mv scripts/commands/hello.lua scripts/commands/hello.lua~ && cat new > scripts/commands/hello.lua && rm scripts/commands/hello.lua~"
    wait_for_greeting "a copy is kept"
    system.write("scripts/commands/.hello.lua.tmp", says "replaced") -- as rsync does it
    sh "mv scripts/commands/.hello.lua.tmp scripts/commands/hello.lua"
    wait_for_greeting "replaced"
    local before = shown().generation
    sh "ln -s me@here.1 scripts/commands/.#hello.lua && touch scripts/commands/#hello.lua# scripts/commands/hello.lua~" -- what Emacs leaves
    system.write("scripts/commands/hello.lua", says "in place")
    wait_for_greeting "in place"
    assert.equal(before + 1, shown().generation)
  end)

  it("says what cannot be read, until that is gone", function()
    start "scripts"
    sh "ln -s nowhere scripts/policy/dangling.lua"
    wait_for_refusal("policy/dangling.lua", "No such file")
    assert.equal("unreadable", shown().rejected.hash)
    local _, out = system.run("scripts", "--admin", daemon.url)
    has(out, "unreadable", "policy/dangling.lua")
    sh "rm scripts/policy/dangling.lua && head -c 10000000 /dev/zero > scripts/policy/large.lua"
    wait_for_refusal("policy/large.lua", "split it")
    sh "rm scripts/policy/large.lua && ln -s .. scripts/policy/loop"
    wait_for_refusal("policy/loop", "leads back")
    sh "rm scripts/policy/loop && mkfifo scripts/policy/pipe.lua"
    wait_for_refusal("policy/pipe.lua", "neither a file nor a folder")
    sh "rm scripts/policy/pipe.lua && mkdir scripts/policy/broken.lua" -- it holds nothing
    system.wait("good scripts", function() return shown().rejected == nil end)
    wait_for_greeting "first"
  end)

  it("outlives its folder and the one above, and goes on with what comes in their place", function()
    sh "mkdir -p etc && mv scripts etc/scripts"
    start "etc/scripts"
    sh "rm -r etc"
    wait_for_refusal("etc/scripts", "cannot be read")
    wait_for_greeting "first"
    sh(("mkdir etc && cp -r %s/scripts etc/scripts"):format(os.getenv "COXSWAIN_SOURCE" or (io.popen("pwd"):read "l")))
    system.wait("the new folder", function() return shown().rejected == nil end)
    system.write("etc/scripts/commands/hello.lua", says "again")
    wait_for_greeting "again"
  end)

  it("notices releases that are exchanged by a link far above", function()
    sh "mkdir -p releases/1 && mv scripts releases/1/scripts && cp -r releases/1 releases/2 && ln -s releases/1 current"
    start "current/scripts"
    wait_for_greeting "first"
    system.write("releases/2/scripts/commands/hello.lua", says "second")
    sh "ln -s releases/2 next && mv -T next current"
    wait_for_greeting "second"
    system.write("releases/2/scripts/commands/hello.lua", says "third")
    wait_for_greeting "third"
  end)

  it("notices files that Kubernetes mounts", function()
    sh "mkdir scripts/commands/..1 && mv scripts/commands/hello.lua scripts/commands/..1/ && ln -s ..1 scripts/commands/..data"
    sh "ln -s ..data/hello.lua scripts/commands/hello.lua"
    start "scripts"
    wait_for_greeting "first"
    sh "mkdir scripts/commands/..2"
    system.write("scripts/commands/..2/hello.lua", says "second")
    sh "ln -s ..2 scripts/commands/..tmp && mv -T scripts/commands/..tmp scripts/commands/..data && rm -r scripts/commands/..1"
    wait_for_greeting "second"
  end)

  it("tells some of very many faults, and how many more there are", function()
    start "scripts"
    sh "mkdir more && for i in $(seq 300); do echo 'return {' > more/x$i.lua; done && mv more/x*.lua scripts/commands/"
    local code, _, err = system.run("reload", "--admin", daemon.url)
    assert.equal(1, code)
    has(err, "and 200 more faults: `coxswain check` lists them all")
    has(log(), "there are more faults than these")
    wait_for_greeting "first"
  end)

  it("comes through a storm of edits and requests to what the files are at its end", function()
    start "scripts"
    local url = daemon.url .. "/v1/scripts/reload"
    local words = "(cd %s; for i in $(seq 10); do curl -s -o answer.%%d.$i -w '%%%%{http_code}\\n' -X POST %s; done) > %s/codes.%%d & "
    words = words:format(place, url, place)
    sh(words:format(1, 1) .. words:format(2, 2))
    for i = 1, 1000 do
      system.write("scripts/policy/t" .. i % 7 .. ".lua", "return {}")
      os.remove(place .. "/scripts/policy/t" .. i % 7 .. ".lua")
    end
    system.wait("the requests' end", function()
      return #system.read(place .. "/codes.1") >= 40 and #system.read(place .. "/codes.2") >= 40
    end)
    system.write("scripts/commands/hello.lua", says "the end")
    wait_for_greeting "the end"
    for i = 1, 2 do
      local codes = system.read(("%s/codes.%d"):format(place, i))
      for code in codes:gmatch "%d+" do assert.truthy(code == "200" or code == "422", code) end -- 422: in the middle of an edit
    end
    assert.is_nil(shown().rejected)
  end)
end)
