-- `coxswain report`: the past from the journal, of a file and of a running daemon.

local json_text = require "dkjson"
local system = require "support.system"

local seq = 0
local function record(second, kind, fields)
  seq = seq + 1
  fields.seq, fields.kind, fields.time = seq, kind, ("2026-01-02T10:%02d:%02d.000Z"):format(second // 60, second % 60)
  return json_text.encode(fields)
end
local function command(second, name) return record(second, "command", { name = name, caller = "new_block", outcome = "done" }) end
local function target(second, id, generation, status, poc)
  return record(second, "target", { node_id = id, generation = generation, target = { status = status, poc = poc } })
end
local function attempt(second, id, generation, status, poc, outcome, ms, why)
  return record(second, "attempt", { node_id = id, fence = { generation = generation }, status = status, poc_status = poc or "IDLE",
    outcome = outcome, duration_ms = ms, error = why })
end
local function status(second, id, from, to, poc)
  return record(second, "status", { node_id = id, from = from, to = to, poc_from = "IDLE", poc_to = poc or "IDLE", by = "attempt" })
end

-- Two nodes through one PoC: good reaches all, <bad> never generates.
local evil = '<script>alert("x")</script>'
local function journal()
  return table.concat({
    record(0, "start", { version = "0" }),
    target(1, "good", 1, "INFERENCE"), target(1, evil, 1, "INFERENCE"),
    command(1, "inference_up_all"),
    attempt(5, "good", 1, "INFERENCE", nil, "succeeded", 4000), status(5, "good", "UNKNOWN", "INFERENCE"),
    attempt(9, evil, 1, "INFERENCE", nil, "succeeded", 8000), status(9, evil, "UNKNOWN", "INFERENCE"),
    command(60, "start_poc"),
    target(60, "good", 2, "POC", "GENERATING"), target(60, evil, 2, "POC", "GENERATING"),
    attempt(61, "good", 2, "POC", "GENERATING", "succeeded", 900), status(61, "good", "INFERENCE", "POC", "GENERATING"),
    attempt(62, evil, 2, "POC", "GENERATING", "refused", 3, '=cmd|"& <b>nobody</b> listens'), status(62, evil, "INFERENCE", "FAILED"),
    command(90, "init_validate"),
    target(90, "good", 3, "POC", "VALIDATING"), target(90, evil, 3, "POC", "VALIDATING"),
    attempt(91, "good", 3, "POC", "VALIDATING", "succeeded", 900), status(91, "good", "POC", "POC", "VALIDATING"),
    record(100, "gap", { count = 7 }),
    attempt(101, evil, 3, "POC", "VALIDATING", "succeeded", 900), status(101, evil, "FAILED", "POC", "VALIDATING"),
    target(110, "good", 4, "INFERENCE"), target(110, evil, 4, "INFERENCE"), -- still under way: not missed
  }, "\n") .. "\n"
end

local function report(...) return system.run("report", "--events", system.write("events", journal()), "--since", "2026-01-02T10:00:00Z", ...) end

describe("coxswain report", function()
  teardown(system.clean)

  it("finds what was missed, and only that", function()
    local code, out = report "--json"
    local data = json_text.decode(out)
    assert.equal(0, code)
    assert.equal(1, #data.missed)
    assert.equal(evil, data.missed[1].node_id)
    assert.equal("POC/GENERATING", data.missed[1].asks)
    assert.equal("FAILED", data.missed[1].was)
    assert.equal(30000, data.missed[1].to_ms - data.missed[1].from_ms)
    assert.equal(7, data.lost)
    assert.same({ succeeded = 2 }, data.attempts.INFERENCE)
    assert.same({ succeeded = 1, refused = 1 }, data.attempts["POC/GENERATING"])
    assert.equal(3, #data.phases)
    assert.equal("good", data.nodes[2].id)
    assert.same({ 4000 }, data.nodes[2].loads_ms)
    assert.equal(3, #data.nodes[2].spans)
  end)

  it("knows the reason when the attempt ended only after the target had changed", function()
    local events = table.concat({ target(1, "n", 1, "INFERENCE"), target(9, "n", 2, "POC", "GENERATING"),
      attempt(10, "n", 1, "INFERENCE", nil, "cancelled", 9000), attempt(11, "n", 2, "POC", "GENERATING", "succeeded", 10) }, "\n")
    local _, out = system.run("report", "--events", system.write("late", events), "--since", "2026-01-02T10:00:00Z", "--json")
    local data = json_text.decode(out)
    assert.equal(1, #data.missed)
    assert.equal("cancelled", data.missed[1].why)
  end)

  it("begins where it is asked to, with what was then", function()
    local _, out = system.run("report", "--events", system.write("events", journal()), "--since", "2026-01-02T10:01:10Z", "--json")
    local data = json_text.decode(out)
    assert.equal("POC/GENERATING", data.nodes[2].spans[1].status)
    assert.equal(data.since_ms, data.nodes[2].spans[1].from_ms)
    assert.is_nil(data.attempts.INFERENCE)
    assert.equal(1, #data.missed)
  end)

  it("draws one page that needs nothing and runs nothing, whatever the journal says", function()
    local path = system.folder() .. "/r.html"
    assert.equal(0, (report("-o", path)))
    local page = system.read(path)
    assert.is_nil(page:find("<script", 1, true))
    assert.is_nil(page:find("<b>", 1, true))
    assert.is_nil(page:find "https?://")
    for _, wanted in ipairs { "&lt;script&gt;", "Missed phases: 1", "nobody&lt;/b&gt; listens", "prefers-color-scheme:dark", "default-src 'none'", "7 records",
      'class="INFERENCE"', 'class="band GENERATING"', "8.0s" } do
      assert.is_truthy(page:find(wanted, 1, true), wanted .. " is missing")
    end
    local opened, closed = select(2, page:gsub("<rect", "")), select(2, page:gsub("</rect>", ""))
    assert.equal(opened, closed)
    assert.is_true(opened >= 15)
  end)

  it("gives rows for a spreadsheet, none of which is a formula", function()
    local code, out = report("--format", "csv")
    assert.equal(0, code)
    assert.matches('missed,"<script>alert(""x"")</script>",2026-01-02T10:01:00.000Z,2026-01-02T10:01:30.000Z,"POC/GENERATING","\'=cmd|', out, 1, true)
    for line in out:gmatch "[^\r\n]+" do assert.is_nil(line:find '"[=+@-]', line) end
  end)

  it("asks a running daemon for its journal", function()
    local fleet = system.fleet("--count", "2")
    local daemon = system.daemon(system.config(fleet.nodes_file))
    system.command(daemon, "new_block", system.block(50, 1, 0))
    system.converged(daemon, "INFERENCE")
    local code, out = system.run("report", "--admin", daemon.url, "--since", "1h", "--json")
    local data = json_text.decode(out)
    assert.equal(0, code)
    assert.equal(2, #data.nodes)
    assert.same({ succeeded = 2 }, data.attempts.INFERENCE)
    assert.equal("INFERENCE", data.nodes[1].spans[#data.nodes[1].spans].status)
    assert.equal(1, #data.starts)
  end)

  it("refuses what it does not understand", function()
    assert.equal(2, (system.run("report", "--since", "yesterday")))
    assert.equal(2, (system.run("report", "--since", "2999-01-01T00:00:00Z")))
    assert.equal(2, (system.run("report", "--format", "pdf")))
    assert.equal(3, (system.run("report", "--admin", "http://127.0.0.1:1")))
    local code, _, err = system.run("report", "--events", system.write("broken", "{}\nnonsense\n"))
    assert.equal(1, code)
    assert.matches("broken:2: not a record", err, 1, true)
    code, _, err = report("-o", "/nowhere/r.html")
    assert.equal(1, code)
    assert.matches("writing /nowhere/r.html failed", err, 1, true)
  end)
end)
