-- The fleet carried from one daemon to another: coxswain export and import.

local json_text = require "dkjson"
local system    = require "support.system"

local nodes = [==[[
  { "id": "node1", "host": "127.0.0.1", "inference_port": 5000, "poc_port": 8080, "max_concurrent": 5, "models": { "m": { "args": [] } } },
  { "id": "a b/ä", "host": "127.0.0.1", "inference_port": 5001, "poc_port": 8081, "max_concurrent": 7, "models": { "m": { "args": ["--x", "1"] } },
    "hardware": [{ "type": "H100", "count": 8 }] },
  { "id": "node3", "host": "127.0.0.1", "inference_port": 5002, "poc_port": 8082, "max_concurrent": 5, "models": { "m": { "args": [] } } }]]==]

local function daemon_of(file, store)
  local config = system.config(file, ("admin = { listen = '127.0.0.1:0', socket = %q },"):format(store .. ".sock"))
  return system.daemon(config)
end

local function export(daemon, ...)
  local code, out, err = system.run("export", "--admin", daemon.url, ...)
  assert.equal(0, code, err)
  return assert(json_text.decode(out)), out
end

describe("export and import", function()
  teardown(system.clean)

  it("carry nodes and admin states with their epochs and reasons over, and change nothing the second time", function()
    local from = daemon_of(system.write("nodes.json", nodes), "from")
    assert.equal(200, (system.http("POST", from.url .. "/admin/v1/nodes/node1/disable", { reason = "disk" })))
    assert.equal("done", system.command(from, "new_block", system.block(350, 3, 300)).status)
    assert.equal(200, (system.http("POST", from.url .. "/admin/v1/nodes/node3/disable", { expires_s = 3600 })))
    local exported, text = export(from)
    local actor = "http anonymous 127.0.0.1"
    assert.same({ enabled = false, epoch = 0, reason = "disk", actor = actor }, exported.admin_states.node1)
    assert.same({ enabled = true, epoch = 0 }, exported.admin_states["a b/ä"])
    local ending = exported.admin_states.node3
    assert.truthy(ending.expires_at:match "^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d%.%d%d%dZ$")
    assert.same({ enabled = false, epoch = 3, actor = actor, expires_at = ending.expires_at }, ending)

    local to = daemon_of(system.write("none.json", "[]"), "to")
    assert.equal("done", system.command(to, "new_block", system.block(450, 4, 400)).status)
    local file = system.write("export.json", text)
    for _ = 1, 2 do
      local code, out, err = system.run("import", "--admin", to.url, file)
      assert.equal(0, code, err)
      assert.equal("3 nodes were imported\n", out)
      local imported = export(to)
      for id, admin in pairs(imported.admin_states) do admin.actor = exported.admin_states[id].actor end -- who brought it is who set it
      assert.same(exported, imported)
    end
    assert.equal("STOPPED", system.states(to).node1.intended_status) -- disabled since an epoch that is over
    local _, events = system.http("GET", to.url .. "/v1/events?format=json&kind=admin&max=100")
    local changes = 0
    for _, event in ipairs(events.events) do changes = changes + (event.node_id == "node1" and 1 or 0) end
    assert.equal(2, changes) -- at its registration, and once more
  end)

  it("take a disable whose time is over since the export for none", function()
    local daemon = daemon_of(system.write("nodes.json", nodes), "over")
    local exported = export(daemon)
    exported.admin_states.node1 = { enabled = false, epoch = 0, reason = "disk", expires_at = "2020-01-01T00:00:00.000Z" }
    local code, _, err = system.run("import", "--admin", daemon.url, system.write("over.json", json_text.encode(exported)))
    assert.equal(0, code, err)
    assert.is_true(export(daemon).admin_states.node1.enabled)
  end)

  it("know the network's own shape, and refuse what is neither", function()
    local daemon = daemon_of(system.write("nodes.json", nodes), "shapes")
    local list, text = export(daemon, "--node-config")
    assert.equal("node1", list[1].id)
    assert.is_nil(list[1].node_num)
    local code, out = system.run("import", "--admin", daemon.url, system.write("list.json", text))
    assert.equal(0, code)
    assert.equal("3 nodes were imported\n", out)
    for _, bad in ipairs { "{}", '{"format":"coxswain-export","version":2,"nodes":[]}', '{"format":"coxswain-export","version":1}', "5", "[", "" } do
      local bad_code, _, err = system.run("import", "--admin", daemon.url, system.write("bad.json", bad))
      assert.equal(1, bad_code, bad)
      assert.not_equal("", err)
    end
    local pipe = assert(io.popen(("echo '{}' | %s import --admin %s - 2>&1"):format(os.getenv("COXSWAIN_BIN") or "build/coxswain", daemon.url)))
    local unnamed = pipe:read("a")
    pipe:close()
    assert.truthy(unnamed:find("standard input is no export", 1, true), unnamed)
    assert.equal(1, (system.run("import", "--admin", daemon.url, "/nowhere.json")))
    assert.equal(3, (system.run("import", "--admin", "http://127.0.0.1:1", system.write("list.json", text))))
  end)

  it("set what is good and name what is not", function()
    local daemon = daemon_of(system.write("none.json", "[]"), "partly")
    local mixed = json_text.decode(nodes)
    mixed[2].max_concurrent = 0
    local file = system.write("mixed.json", json_text.encode { format = "coxswain-export", version = 1, nodes = mixed,
      admin_states = { node3 = { enabled = false, epoch = 2 }, ["a b/ä"] = { enabled = false, epoch = 2 } } })
    local code, _, err = system.run("import", "--admin", daemon.url, file)
    assert.equal(1, code)
    assert.truthy(err:find("node a b/ä: max_concurrent must be greater than 0", 1, true), err)
    assert.truthy(err:find("2 of 3 nodes were imported", 1, true), err)
    local states = system.states(daemon)
    assert.is_nil(states["a b/ä"])
    assert.same({ enabled = false, epoch = 2, actor = "http anonymous 127.0.0.1" }, states.node3.admin_state)
  end)
end)
