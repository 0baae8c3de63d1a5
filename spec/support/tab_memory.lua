-- The memory of the dashboard's tab under a stream of events: `tools/page memory`. Every figure is taken after a forced collection, on the
-- same view, and from when the page's own journal is full on. A young tab still grows for some minutes (compiled code, caches): the second
-- half of the time decides.

local browser = require "support.browser"
local system = require "support.system"

local M = {}

local JOURNAL_MAX = 2000 -- as in src/api/page/model.js
local NODES = 40
local VIEWS = { "#/nodes/node2", "#/journal", "#/scripts", "#/" } -- the last one is measured
local SAMPLE_S = 15

local function measure(tab)
  tab:devtools "HeapProfiler.collectGarbage"
  local figures = {}
  for _, metric in ipairs(tab:devtools("Performance.getMetrics").metrics) do figures[metric.name] = metric.value end
  return { heap = figures.JSHeapUsedSize / 1024, elements = figures.Nodes, listeners = figures.JSEventListeners }
end

--- One round of events: a block that changes the phase, nodes that are disabled and enabled, one that fails and comes back.
local function make_events(daemon, fleet, round)
  local epoch = 1 + round // 4
  local height = epoch * 100 + ({ 0, 23, 40, 60 })[round % 4 + 1]
  assert(system.command(daemon, "new_block", system.block(height, epoch, epoch * 100)).status)
  local id = "node" .. round % NODES + 1
  local reason = { reason = ("round %d: %s"):format(round, ("why "):rep(20)) }
  system.http("POST", ("%s/admin/v1/nodes/%s/disable"):format(daemon.url, id), reason)
  system.http("POST", ("%s/admin/v1/nodes/%s/enable"):format(daemon.url, id), reason)
  system.http("POST", fleet.control .. "/sim/faults", { faults = { round % 8 < 4 and "3:refuse" or "none" } })
end

local function last_record(daemon)
  local _, page = system.http("GET", daemon.url .. "/v1/events?format=json&since=0&max=1")
  return page.last
end

--- The slope of a figure by least squares, per minute.
local function slope(samples, key)
  local n, sx, sy, sxx, sxy = #samples, 0, 0, 0, 0
  for _, sample in ipairs(samples) do
    local x, y = sample.minute, sample[key]
    sx, sy, sxx, sxy = sx + x, sy + y, sxx + x * x, sxy + x * y
  end
  return (n * sxy - sx * sy) / (n * sxx - sx * sx)
end

local function say(sample)
  print(("%5.1f min %8.0f KiB %6d elements %5d listeners %7d records"):format(sample.minute, sample.heap, sample.elements, sample.listeners, sample.records))
  io.stdout:flush()
end

local function live(minutes, tab)
  local fleet = system.fleet("--count", tostring(NODES), "--load-ms", "30")
  local daemon = system.daemon(system.config(fleet.nodes_file))
  tab:devtools "Performance.enable"
  tab:go(daemon.url)
  local samples, round, begun, due = {}, 0, nil, 0
  repeat
    make_events(daemon, fleet, round)
    tab:run("location.hash = arguments[0]", VIEWS[round % #VIEWS + 1])
    round = round + 1
    if not begun and round % 20 == 0 then
      local records = last_record(daemon)
      io.stderr:write(("# %d records, of %d before the measuring begins\n"):format(records, JOURNAL_MAX))
      if records > JOURNAL_MAX then begun = os.time() end
    end
    if begun and round % #VIEWS == 0 and os.time() >= due then
      local sample = measure(tab)
      sample.minute, sample.records = (os.time() - begun) / 60, last_record(daemon)
      samples[#samples + 1] = sample
      say(sample)
      due = os.time() + SAMPLE_S
    end
    os.execute "sleep 0.1"
  until begun and os.time() - begun >= 60 * minutes and #samples > 2
  return { samples = samples, faults = tab:faults() }
end

--- Prints the samples and what they say; whether the memory is flat: in its second half, less than a tenth more in ten minutes.
function M.run(minutes)
  local tab = browser.new()
  tab:start()
  local is_good, result = xpcall(live, debug.traceback, minutes, tab)
  tab:close()
  system.clean()
  assert(is_good, result)
  local samples = result.samples
  local first, last = samples[1], samples[#samples]
  local half = table.move(samples, #samples // 2 + 1, #samples, 1, {})
  local heap, elements = slope(half, "heap"), slope(half, "elements")
  print(("heap %.0f → %.0f KiB, elements %d → %d; in the second half %+.1f KiB and %+.1f elements a minute; %d records in %.1f minutes, %d errors"):format(
    first.heap, last.heap, first.elements, last.elements, heap, elements, last.records - first.records, last.minute - first.minute, #result.faults))
  return heap * 10 < 0.1 * first.heap and elements * 10 < 0.1 * first.elements and #result.faults == 0
end

return M
