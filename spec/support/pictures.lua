-- Pictures of every view and state of the dashboard, at two sizes and in both themes: `tools/page pictures FOLDER`. They are for eyes, not
-- for comparing; contrast, overflow and what axe-core finds are written down beside them.

local browser = require "support.browser"
local page = require "support.page"
local system = require "support.system"

local M = {}

local SIZES = { { "desktop", 1280, 900 }, { "phone", 390, 844 } }
local SCHEMES = { "light", "dark" }
local source = os.getenv "COXSWAIN_SOURCE" or "."

local folder, tab
local faults, count = {}, 0

local function note(name, words)
  faults[#faults + 1] = name .. ": " .. words
end

local function judge(name)
  for _, words in ipairs(tab:run(page.contrast)) do note(name, "contrast " .. words) end
  local width = tab:run "return [document.documentElement.scrollWidth, innerWidth]"
  if width[1] > width[2] then note(name, ("is %d wide on a screen of %d"):format(width[1], width[2])) end
  if page.has_axe then
    for _, words in ipairs(page.barriers(tab)) do note(name, words) end
  end
end

--- Takes the state that the page is in now, four times. whole: all of the page, not only what a screen shows of it.
local function take(state, options)
  for _, size in ipairs(SIZES) do
    for _, scheme in ipairs(SCHEMES) do
      local name = ("%s-%s-%s"):format(state, size[1], scheme)
      tab:prefers(scheme)
      tab:size(size[2], size[3])
      if options and options.whole then
        tab:size(size[2], math.min(4000, math.max(size[3], tab:run "return document.documentElement.scrollHeight")))
      end
      judge(name)
      tab:picture(("%s/%s.png"):format(folder, name))
      count = count + 1
    end
  end
  tab:size(1280, 900)
  tab:run "scrollTo(0, 0)"
end

local whole = { whole = true }

local function show(hash, ready)
  tab:run("location.hash = arguments[0]", hash)
  tab:wait("the view " .. hash, ready)
end

local function block(daemon, height, epoch, start, more)
  local args = system.block(height, epoch, start)
  for key, value in pairs(more or {}) do args[key] = value end
  local answer, status = system.command(daemon, "new_block", args)
  assert(status == 200, answer.error)
end

local function make_faults(fleet, list) assert(system.http("POST", fleet.control .. "/sim/faults", { faults = list }) == 200) end

local function ask(button, name)
  tab:press_button(button)
  tab:wait("the question", "document.querySelector('dialog[open]')")
  take(name)
  tab:press "Escape"
  tab:wait("its end", "!document.querySelector('dialog')")
end

--- A set of scripts of its own that can be edited: its folder, and a function that puts a rule into its phases.lua.
local function own_scripts()
  local place = system.folder() .. "/scripts"
  assert(os.execute(("cp -r '%s/scripts' '%s'"):format(source, place)))
  local phases = system.read(place .. "/policy/phases.lua")
  return place, function(rule)
    system.write("scripts/policy/phases.lua", (phases:gsub("(function M%.intent%(node, world%)\n)", function(head) return head .. rule end)))
  end
end

local function take_scripts(daemon, edit)
  show("#/scripts", "/generation 1 · /.test(document.querySelector('#view-scripts').innerText)")
  take("scripts-first", whole)
  edit '  if node.id == "node2" then return { status = "STOPPED" }, "a spare node rests" end\n'
  tab:press_button "What would change?"
  tab:wait("the plan", "document.querySelector('.outcome tbody')")
  take("scripts-plan", whole)
  assert(system.run("reload", "--admin", daemon.url) == 0)
  tab:wait("the new ones", "document.querySelector('.diff .in')")
  edit "  x = = 1\n"
  assert(system.run("reload", "--admin", daemon.url) == 1)
  tab:wait("the refusal", "document.querySelector('.rejected .verdict')")
  take("scripts-difference", whole)
  ask("Load anew…", "scripts-load")
  ask("Go back…", "scripts-back")
  show("#/", "document.querySelector('.advice').textContent.includes('scripts on disk')")
  take "fleet-scripts-refused"
end

local function take_small()
  local fleet = system.fleet("--count", "10", "--load-ms", "30")
  local scripts, edit = own_scripts()
  edit ""
  local config = system.config(fleet.nodes_file, ("scripts = { %q }, reload = { watch = false }, admin = { socket = 'small.sock' },"):format(scripts))
  local daemon = system.daemon(config)
  tab:go(daemon.url)
  tab:wait("no block", "/No block has come yet/.test(document.querySelector('.advice').textContent)")
  take "fleet-no-block"
  make_faults(fleet, { "2:load_never", "3:refuse", "5:refuse", "7:hang" })
  local models = {}
  for i = 1, 9 do models["node" .. i] = { { id = "Qwen/Qwen2.5-7B-Instruct" } } end
  block(daemon, 150, 1, 100, { epoch_models = models })
  tab:wait("the failures", "/node3 and node5 refuse/.test(document.querySelector('.advice').textContent)")
  system.http("POST", daemon.url .. "/admin/v1/nodes/node4/disable", { reason = "a fan is broken" })
  block(daemon, 151, 1, 100)
  system.http("POST", daemon.url .. "/v1/leases", { model = "Qwen/Qwen2.5-7B-Instruct" })
  take("fleet-10", whole)
  show("#/nodes/node3", "document.querySelectorAll('#view-node .records li').length > 2")
  take("node-failed", whole)
  show("#/nodes/node2", "document.querySelector('#node-title').textContent === 'node2'")
  take("node-loading", whole)
  make_faults(fleet, { "none", "2:restart=0" })
  block(daemon, 200, 2, 200)
  show("#/", "document.querySelectorAll('.grid [href=\"#g-generating\"]').length > 5")
  take("fleet-10-poc", whole)
  for _, height in ipairs { 223, 240 } do block(daemon, height, 2, 200) end
  show("#/nodes/node1", "/Serving/.test(document.querySelector('#view-node').innerText) && document.querySelectorAll('.lane .span').length > 3")
  take("node-serving", whole)
  ask("Drain and disable…", "node-drain")
  tab:press_button "Probe now"
  tab:wait("the notice", "document.querySelector('.notice')")
  take "node-notice"
  show("#/nodes/node4", "/disabled/.test(document.querySelector('#view-node').innerText)")
  take("node-disabled", whole)
  ask("Enable", "node-enable")
  show("#/nodes/nobody", "document.querySelector('#view-node').innerText.includes('No node')")
  take "node-unknown"
  show("#/journal", "document.querySelectorAll('#view-journal .records li').length > 20")
  tab:click "#view-journal .records li summary"
  take "journal"
  tab:type("#journal-node", "nobody")
  tab:wait("nothing", "document.querySelectorAll('#view-journal .records li summary').length === 0")
  take "journal-nothing"
  take_scripts(daemon, edit)
  system.signal(daemon, "TERM")
  tab:wait("the loss", "/No connection to the daemon since/.test(document.querySelector('.advice .bad')?.textContent)")
  take "lost"
  show("#/journal", "document.querySelector('#view-journal').checkVisibility()")
  take "lost-journal"
end

local function take_empty()
  system.write("none.json", "[]")
  local daemon = system.daemon(system.config("none.json", [[admin = { token = "s3cret-token", socket = "empty.sock" },]]))
  tab:go(daemon.url)
  tab:wait("the question", "document.querySelector('dialog[open] #token')")
  take "login"
  tab:type("#token", "wrong")
  tab:press "Enter"
  tab:wait("what is wrong", "document.querySelector('.fault').textContent !== ''")
  take "login-wrong"
  tab:run "document.querySelector('#token').value = ''"
  tab:type("#token", "s3cret-token")
  tab:press "Enter"
  tab:wait("the fleet", "/No node is registered/.test(document.querySelector('.found').textContent)")
  take "fleet-empty"
end

local function take_large()
  local fleet = system.fleet("--count", "1000", "--fault", "7:refuse", "--fault", "300:refuse", "--fault", "500:hang")
  local daemon = system.daemon((system.config(fleet.nodes_file, [[admin = { socket = "large.sock" },]]):gsub("interval_s = 1,", "interval_s = 10,")))
  block(daemon, 150, 1, 100)
  tab:go(daemon.url)
  tab:wait("most of them serving", "Number(document.querySelector('.chip[data-key=serving] b')?.textContent.replace(',', '')) > 990", 120)
  local paint = tab:run "return performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? -1"
  print(("1 000 nodes: first paint after %.0f ms"):format(paint))
  take "fleet-1000"
  tab:run "scrollTo(0, document.documentElement.scrollHeight / 2)"
  take "fleet-1000-middle"
end

local function take_all()
  for _, part in ipairs { take_small, take_empty, take_large } do part() end
end

--- Writes the pictures into the folder; whether nothing is to be mended, as far as a machine can tell.
function M.run(into)
  folder = into
  assert(os.execute(("mkdir -p '%s'"):format(folder)))
  tab = browser.new()
  tab:start()
  local is_good, problem = xpcall(take_all, debug.traceback)
  tab:close()
  system.clean()
  print(("%d pictures are in %s%s"):format(count, folder, page.has_axe and "" or "; axe-core was not here: tools/axe fetches it"))
  for _, words in ipairs(faults) do print(words) end
  assert(is_good, problem)
  return #faults == 0
end

return M
