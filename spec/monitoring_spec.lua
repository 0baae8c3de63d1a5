-- Dashboard and alerts against the real promtool and the metrics of a running daemon.

local json_text = require "dkjson"
local system = require "support.system"

local folder = (os.getenv "COXSWAIN_SOURCE" or ".") .. "/tools/monitoring/"

local function run(command)
  local pipe = assert(io.popen("{ " .. command .. "; } 2>&1 </dev/null"))
  local output = pipe:read "a"
  return pipe:close() and true or false, output
end

local rules, dashboard = system.read(folder .. "coxswain.rules.yml"), system.read(folder .. "grafana.json")

-- Named already, and not there yet.
local coming = { coxswain_store_degraded = true, coxswain_world_stale_seconds = true }

-- Names of the metrics in a query, without what histograms append.
local function collect(text, names)
  for name in text:gmatch "[%w_]+" do
    if name:find "^coxswain_%l" or name:find "^workqueue_%l" then names[name:gsub("_bucket$", "")] = true end
  end
  return names
end

local function alerts()
  local list = {}
  for name in rules:gmatch "%- alert: (%w+)" do list[#list + 1] = name end
  return list
end

describe("what is watched", function()
  teardown(system.clean)
  local daemon, metrics

  setup(function()
    daemon = system.daemon(system.config(system.write("nodes.json", "[]")))
    system.command(daemon, "new_block", system.block(50, 1, 0))
    local _, text = system.http("GET", daemon.url .. "/metrics")
    metrics = text
  end)

  it("exists in a running daemon, every metric of dashboard and alerts", function()
    local names = collect(("\n" .. rules):gsub("\n%s*#[^\n]*", ""), {})
    local panels = assert(json_text.decode(dashboard)).panels
    assert.is_true(#panels >= 10)
    for _, panel in ipairs(panels) do
      for _, target in ipairs(panel.targets) do collect(target.expr, names) end
    end
    local missing, count = {}, 0
    for name in pairs(names) do
      count = count + 1
      if not metrics:find("# TYPE " .. name .. " ", 1, true) and not coming[name] then missing[#missing + 1] = name end
    end
    table.sort(missing)
    assert.is_true(count >= 15)
    assert.same({}, missing)
  end)

  it("has a panel for every query, each with a place of its own", function()
    local seen = {}
    for _, panel in ipairs(json_text.decode(dashboard).panels) do
      local place = ("%d/%d"):format(panel.gridPos.x, panel.gridPos.y)
      assert.is_nil(seen[place], place)
      assert.is_true(panel.gridPos.x + panel.gridPos.w <= 24)
      seen[place] = true
    end
  end)

  if not run "command -v promtool" then
    pending "promtool is not installed (Debian package prometheus)"
    return
  end

  it("is good for promtool: alerts, and the daemon's metrics", function()
    local is_good, output = run("promtool check rules " .. folder .. "coxswain.rules.yml")
    assert.is_true(is_good, output)
    is_good, output = run("promtool check metrics <" .. system.write("metrics.txt", metrics))
    assert.is_true(is_good, output)
    assert.equal("", output)
  end)

  it("fires when it should, and never while all is well", function()
    local is_good, output = run("cd " .. folder .. " && promtool test rules coxswain_test.yml")
    assert.is_true(is_good, output)
  end)

  it("has a test for each alert, which fails without it", function()
    local names = alerts()
    assert.is_true(#names >= 8)
    system.write("coxswain_test.yml", system.read(folder .. "coxswain_test.yml"))
    system.write("coxswain.rules.yml", (rules:gsub("%- alert: ", "- alert: Other")))
    local _, output = run("cd " .. system.folder() .. " && promtool test rules coxswain_test.yml")
    for _, name in ipairs(names) do assert.matches("alertname: " .. name .. ",", output, 1, true) end
  end)
end)
