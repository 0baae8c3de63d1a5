-- The dashboard's view of the scripts, in a real browser against a real daemon with a folder of its own scripts before a whole set; and
-- what the dashboard says while the daemon's store cannot be written.

local page = require "support.page"
local system = require "support.system"

local source = os.getenv "COXSWAIN_SOURCE" or "."
local spare_rule = '  if node.id == "node2" then return { status = "STOPPED" }, "a spare node rests" end\n'

page.describe("the scripts' view", function(tab)
  local fleet, daemon, folder

  --- Puts a rule into the own copy of phases.lua, which takes the place of the whole set's.
  local function edit(rule)
    local phases = system.read(source .. "/scripts/policy/phases.lua")
    local changed, count = phases:gsub("(function M%.intent%(node, world%)\n)", function(head) return head .. rule end)
    assert.equal(1, count)
    system.write("own/policy/phases.lua", changed)
  end

  --- A limit of its files' sizes is a disk that is full, if the signal that comes with it is ignored.
  local function start()
    local config = system.config(fleet.nodes_file, 'scripts = { "own", "whole" }, reload = { watch = false }, admin = { socket = "c.sock" },')
    local path = system.write("coxswain.lua", (config:gsub('":memory:"', '"page.db"')))
    daemon = system.spawn(([[sh -c 'trap "" XFSZ; exec %s run -c %s -D admin.listen=127.0.0.1:0']]):format(os.getenv "COXSWAIN_BIN" or "build/coxswain", path))
    daemon.url = "http://127.0.0.1:" .. system.wait("the daemon", function()
      return system.read(daemon.log):match "msg=ready[^\n]*port=(%d+)", system.read(daemon.log)
    end)
  end

  local function limit(bytes) assert.is_true(os.execute(("prlimit --fsize=%s: --pid %d"):format(bytes, daemon.pid))) end
  local function text_of(css) return tab:run("return document.querySelector(arguments[0]).innerText", css) end
  local function wait_for(what, css, pattern)
    tab:wait(what, ("new RegExp(String.raw`%s`).test([...document.querySelectorAll('%s')].map((e) => e.innerText).join('\\n'))"):format(pattern, css))
  end
  local function live_is(generation) wait_for("generation " .. generation, "#view-scripts .list", "generation " .. generation .. " · ") end
  local function confirm(button, title)
    tab:press_button(button)
    tab:wait("the question", ("document.querySelector('dialog[open] h2')?.textContent === '%s'"):format(title))
    tab:press "Enter"
    tab:wait("the end of the question", "!document.querySelector('dialog')")
  end
  local function intended(id) return system.states(daemon)[id].intended_status end

  setup(function()
    folder = system.folder()
    os.execute(("cp -r %s/scripts %s/whole && mkdir -p %s/own/policy"):format(source, folder, folder))
    edit ""
    fleet = system.fleet("--count", "2", "--load-ms", "30")
    start()
    tab:devtools("Page.addScriptToEvaluateOnNewDocument", { source = page.answers })
    tab:go(daemon.url .. "/#/scripts")
    assert.equal("done", system.command(daemon, "new_block", system.block(150, 1, 100)).status)
  end)

  it("shows the generation, the folders, and where each file comes from", function()
    live_is(1)
    wait_for("the folders", "#view-scripts .list", "own, then .*whole")
    wait_for("how many are from where", "#view-scripts .hint", "1 file from .*/own, \\d+ from .*/whole")
    assert.matches("policy/phases%.lua\t" .. folder:gsub("%p", "%%%0") .. "/own%s+instead of the one in [^\n]+/whole", text_of "tr.own")
    assert.matches("policy/fleet%.lua\t" .. folder:gsub("%p", "%%%0") .. "/whole\t", text_of "#view-scripts table")
    wait_for("no difference", "#view-scripts", "There is no generation before this one")
    assert.is_true(tab:run("return [...document.querySelectorAll('button')].find((b) => b.textContent === 'Go back…').disabled"))
  end)

  it("plans a reload node by node, with the reason, and changes nothing", function()
    tab:press_button "What would change?"
    wait_for("the empty plan", ".outcome", "A reload would change no node.s target")
    edit(spare_rule)
    tab:press_button "What would change?"
    wait_for("the plan", ".outcome tbody", "^node2\\s+Inference · .+\\s+Stopped\\s+a spare node rests$")
    assert.equal("What would change?", tab:run("return document.activeElement.textContent")) -- the keyboard stays where it was
    assert.equal("INFERENCE", intended "node2")
    live_is(1)
  end)

  it("shows why a reload would be refused, and was, by FILE:LINE, and what is to be done", function()
    edit "  x = = '<b>'\n"
    tab:press_button "What would change?"
    wait_for("the fault", ".outcome", "a reload would be refused\\.\\s+/\\S+/own/policy/phases\\.lua:\\d+: unexpected symbol")
    confirm("Load anew…", "Load the scripts anew?")
    wait_for("the refusal", ".rejected", "were refused: generation 1 goes on\\.\\s+/\\S+/own/policy/phases\\.lua:\\d+: unexpected symbol")
    wait_for("the journal's record", "#view-scripts .records li.bad", "reload by http .* refused: ")
    tab:run("location.hash = '#/'")
    wait_for("what is to be done", ".advice", "scripts on disk were refused; generation 1 goes on\\..*own/policy/phases\\.lua:\\d+: ")
    tab:run("location.hash = '#/scripts'")
    live_is(1)
  end)

  it("loads what was corrected, shows the difference line by line, and forgets the refusal", function()
    edit(spare_rule .. "  -- <b>not bold</b>\n")
    confirm("Load anew…", "Load the scripts anew?")
    live_is(2)
    wait_for("the notice", "#notices", "Generation 2 is live")
    wait_for("what was before", "#view-scripts .list", "Before\\s+generation 1 · ")
    wait_for("the journal's record", "#view-scripts .records", "reload by http .*: generation 2 is live, 1 target changed")
    assert.same({ '  if node.id == "node2" then return { status = "STOPPED" }, "a spare node rests" end', "  -- <b>not bold</b>" },
      tab:run "return [...document.querySelectorAll('.diff .in .text')].map((line) => line.textContent)")
    assert.equal("policy/phases.lua 2 added, 0 removed", text_of ".diff summary")
    assert.equal("", text_of ".rejected")
    assert.equal("STOPPED", intended "node2")
    confirm("Load anew…", "Load the scripts anew?")
    wait_for("the notice", "#notices", "Unchanged: generation 2 goes on")
  end)

  it("is for everybody while it shows a plan, a refusal and a difference", function()
    edit "  x = = 1\n"
    assert.equal(1, (system.run("reload", "--admin", daemon.url)))
    wait_for("the refusal", ".rejected", "were refused: generation 2 goes on")
    edit ""
    tab:press_button "What would change?"
    wait_for("the plan", ".outcome tbody", "node2")
    for _, scheme in ipairs { "light", "dark" } do
      tab:prefers(scheme)
      for _, width in ipairs { 1280, 390 } do
        tab:size(width, 844)
        assert.same({}, tab:run(page.contrast), ("%s at %d"):format(scheme, width))
        assert.is_true(tab:run "return document.documentElement.scrollWidth <= innerWidth")
      end
    end
    if page.has_axe then assert.same({}, page.barriers(tab)) end
    tab:size(1280, 900)
    edit(spare_rule .. "  -- <b>not bold</b>\n") -- the live ones
    assert.equal(0, (system.run("reload", "--admin", daemon.url)))
    live_is(3)
  end)

  it("goes back, and says that the scripts on disk are not the live ones", function()
    confirm("Go back…", "Go back to generation 1?")
    live_is(1)
    wait_for("why", ".rejected", "are not live: rolled back by http .*Only “Load anew” loads them again")
    wait_for("the journal's record", "#view-scripts .records", "rollback by http .*: generation 1 is live again")
    tab:wait("the focus on a button that can be pressed", "document.activeElement.textContent === 'Load anew…'")
    assert.equal("INFERENCE", intended "node2")
  end)

  it("sees somebody else's reload without being asked, and the journal tells of it", function()
    edit(spare_rule)
    assert.equal(0, (system.run("reload", "--admin", daemon.url)))
    live_is(4)
    tab:run("location.hash = '#/journal'")
    wait_for("the record", "#view-journal .records", "generation 4 is live")
    edit ""
    assert.equal(0, (system.run("reload", "--admin", daemon.url)))
    wait_for("the next one, live", "#view-journal .records", "generation 5 is live")
    tab:run("location.hash = '#/scripts'")
    live_is(5)
  end)

  it("is worked by the keyboard alone", function()
    tab:run "document.querySelector('#main').focus()"
    local seen = {}
    for _ = 1, 6 do
      tab:press "Tab"
      seen[tab:run "return document.activeElement.textContent.slice(0, 20) || document.activeElement.tagName"] = true
    end
    for _, name in ipairs { "What would change?", "Go back…", "Load anew…" } do assert.is_true(seen[name], name .. " is not reached") end
  end)

  it("says on every view, in words, when the store cannot be written, and when it can again", function()
    limit(1)
    system.command(daemon, "new_block", system.block(151, 1, 100)) -- something to write
    wait_for("the line", "#store", "The store cannot be written.*: changes that must last are refused; the fleet goes on")
    tab:run("location.hash = '#/'")
    wait_for("what is to be done", ".advice .bad", "The store cannot be written since \\d\\d:\\d\\d: .*Look at the disk")
    assert.is_false(tab:run "return document.querySelector('#store').checkVisibility()")
    tab:run("location.hash = '#/scripts'")
    wait_for("the line again", "#store", "The store cannot be written")
    limit "unlimited"
    tab:wait("the end of it", "document.querySelector('#store').hidden", 60)
  end)

  it("says in words when a daemon does not offer its scripts", function()
    tab:run([[window.answers["/v1/scripts?difference=1"] = [503, '{"error": "no"}']; location.hash = '#/journal']])
    tab:wait("another view", "!document.querySelector('#view-scripts').checkVisibility()")
    tab:run("location.hash = '#/scripts'")
    wait_for("the words", "#view-scripts", "does not offer its scripts over the API \\(GET .v1.scripts answers 503\\)")
  end)

  it("has written no error to the browser's console but what was refused", function()
    local faults = {}
    for _, line in ipairs(tab:faults()) do
      if not line:match "/v1/scripts/%l+ .* 422 " then faults[#faults + 1] = line end
    end
    assert.same({}, faults)
  end)
end)
