-- The hardware list: the difference against one made by hand, the message, and what is sent when.

local hardware = require "coxswain.hardware"

local function node_of(id, changes)
  local node = { id = id, host = "10.0.0.1", inference_port = 5000, poc_port = 8080, models = { b = {}, a = {} },
    hardware = { { type = "H100", count = 8 }, { type = "A100", count = 2 } } }
  for name, value in pairs(changes or {}) do node[name] = value end
  return { node = node, state = { current_status = changes and changes.status or "INFERENCE" } }
end

local function registered_of(id, changes)
  local entry = { local_id = id, status = "INFERENCE", models = { "a", "b" }, hardware = { { type = "A100", count = 2 }, { type = "H100", count = 8 } },
    host = "10.0.0.1", port = "8080" }
  for name, value in pairs(changes or {}) do entry[name] = value end
  return entry
end

local function read(list) return assert(hardware.read_registered { nodes = { hardware_nodes = list } }) end

local function ids(list)
  local names = {}
  for i, node in ipairs(list) do names[i] = node.local_id end
  return names
end

local function fleet_of(...)
  local fleet = {}
  for i, entry in ipairs { ... } do fleet[i] = hardware.from_node(entry) end
  return fleet
end

describe("the difference", function()
  it("names the added, the changed and the removed, and leaves the unchanged out", function()
    local fleet = fleet_of(node_of "added", node_of "same", node_of("status", { status = "POC" }), node_of("host", { host = "h2" }),
      node_of("port", { poc_port = 8081 }), node_of("models", { models = { a = {} } }), node_of("count", { hardware = { { type = "H100", count = 4 } } }),
      node_of("none", { hardware = {} }))
    local new_or_modified, removed = hardware.difference(fleet, read { registered_of "same", registered_of "status", registered_of "host",
      registered_of "port", registered_of "models", registered_of "count", registered_of "none", registered_of "gone2", registered_of "gone1" })
    assert.are.same({ "added", "count", "host", "models", "none", "port", "status" }, ids(new_or_modified))
    assert.are.same({ "gone1", "gone2" }, ids(removed))
    assert.are.same({ local_id = "added", status = "INFERENCE", models = { "a", "b" }, hardware = { { type = "A100", count = 2 },
      { type = "H100", count = 8 } }, host = "10.0.0.1", port = "8080" }, new_or_modified[1])
  end)

  it("takes no order for a difference, and a count as text for a number", function()
    local registered = read { registered_of("n", { models = { "b", "a" }, hardware = { { type = "H100", count = "8" }, { type = "A100", count = 2 } } }) }
    assert.are.same({}, (hardware.difference(fleet_of(node_of "n"), registered)))
  end)

  it("takes not knowing a status for no news", function()
    local fleet = fleet_of(node_of("n", { status = "UNKNOWN" }), node_of("m", { status = "UNKNOWN", host = "h2" }))
    local changed = hardware.difference(fleet, read { registered_of "n", registered_of "m" })
    assert.are.same({ "m" }, ids(changed))
    assert.are.equal("INFERENCE", changed[1].status)
  end)

  it("tells versions only to a chain that knows of them", function()
    local fleet = fleet_of(node_of("n", { version = "v2" }))
    assert.are.same({}, (hardware.difference(fleet, read { registered_of "n" })))
    local changed = hardware.difference(fleet, read { registered_of("n", { version = "" }) })
    assert.are.equal("v2", changed[1].version)
    assert.are.same({}, (hardware.difference(fleet, read { registered_of("n", { version = "v2" }) })))
  end)

  it("is everything when nothing is registered", function()
    for _, answer in ipairs { {}, { nodes = {} }, { nodes = { hardware_nodes = {} } } } do
      assert.are.same({ "n" }, ids((hardware.difference(fleet_of(node_of "n"), assert(hardware.read_registered(answer))))))
    end
  end)
end)

it("a registered list that cannot be understood is refused whole", function()
  for _, list in ipairs { "x", { "x" }, { {} }, { { local_id = 1 } }, { registered_of("n", { status = "WHAT" }) }, { registered_of("n", { status = 1 }) },
    { registered_of("n", { models = { 1 } }) }, { registered_of("n", { hardware = { "x" } }) },
    { registered_of("n", { hardware = { { type = "H", count = "x" } } }) },
    { registered_of("n", { hardware = { { count = 1 } } }) }, { x = 1 } } do
    local registered, why = hardware.read_registered { nodes = { hardware_nodes = list } }
    assert.is_nil(registered)
    assert.are.equal("string", type(why))
  end
  assert.is_nil((hardware.read_registered { nodes = "x" }))
end)

it("the message is what the network's definition says, byte by byte", function()
  local message = hardware.message("gonka1x", { { local_id = "n", status = "POC", models = { "m" }, hardware = { { type = "H", count = 300 } },
    host = "h", port = "1", version = "v" } }, { { local_id = "o", status = "UNKNOWN", models = {}, hardware = {}, host = "", port = "" } })
  assert.are.equal("/inference.inference.MsgSubmitHardwareDiff", message.type_url)
  local text = message.value:gsub(".", function(byte) return ("%02x"):format(byte:byte()) end)
  assert.are.equal("0a07676f6e6b613178" .. -- creator = 1
    "1219" .. "0a016e" .. "1002" .. "1a016d" .. "2206" .. "0a0148" .. "10ac02" .. "2a0168" .. "320131" .. "3a0176" .. -- newOrModified = 2
    "1a03" .. "0a016f", text) -- removed = 3
end)

describe("a sync", function()
  local entries, answer, sent, noted, real
  local config = { feed = { kind = "cometbft", rpc = "http://rpc", rest = "http://rest" }, participant = { address = "gonka1me" } }

  before_each(function()
    real = { sleep = time.sleep, send = require("coxswain.tx").send }
    sent, noted = {}, {}
    _G.broker = { nodes = function()
      local i = 0
      return function()
        i = i + 1
        return entries[i]
      end
    end, note = function(fields, node_id)
      noted[#noted + 1] = { node_id = node_id, change = fields.change, sent = fields.sent, hash = fields.hash, host = fields.host }
      assert.are.equal("hardware", fields.op)
      return true
    end }
    _G.wallet = { public_key = function() return "key" end }
    _G.http = { get = function(url)
      assert.are.equal("http://rest/productscience/inference/inference/hardware_nodes/gonka1me", url)
      return { status = 200, body = "", json = answer }
    end }
    require("coxswain.tx").send = function(_, _, messages)
      sent[#sent + 1] = messages
      return { hash = "AB", height = 3 }
    end
  end)
  after_each(function()
    _G.broker, _G.http, _G.wallet = nil, nil, nil
    require("coxswain.tx").send = real.send
    time.sleep = real.sleep
  end)

  it("sends the difference, and nothing when there is none", function()
    entries, answer = { node_of "n" }, { nodes = { hardware_nodes = { registered_of "o" } } }
    local result = assert(hardware.sync(config, {}))
    assert.are.same({ "n" }, result.new_or_modified)
    assert.are.same({ "o" }, result.removed)
    assert.is_true(result.sent)
    assert.are.equal("AB", result.hash)
    answer = { nodes = { hardware_nodes = { registered_of "n" } } }
    assert.is_false(assert(hardware.sync(config, {})).sent)
    assert.are.equal(1, #sent)
  end)

  it("only shows it without a key", function()
    _G.wallet.public_key = function() return nil, "no key: set one" end
    entries, answer = { node_of "n" }, {}
    local result = assert(hardware.sync(config, {}))
    assert.are.same({ "n" }, result.new_or_modified)
    assert.is_false(result.sent)
    assert.is_truthy(result.reason:find("no key", 1, true))
    assert.are.equal(0, #sent)
  end)

  it("is journaled with a line per node: once while it cannot be sent, and whenever it is", function()
    entries, answer = { node_of "n", node_of("o", { host = "h2" }) }, { nodes = { hardware_nodes = { registered_of "o", registered_of "p" } } }
    _G.wallet.public_key = function() return nil, "no key: set one" end
    for _ = 1, 3 do hardware.sync(config, {}) end
    assert.are.same({ { node_id = "n", change = "new", sent = false, host = "10.0.0.1" }, { node_id = "o", change = "modified", sent = false, host = "h2" },
      { node_id = "p", change = "removed", sent = false } }, noted)
    entries[2] = node_of("o", { host = "h3" })
    hardware.sync(config, {})
    assert.are.equal(6, #noted)
    _G.wallet.public_key = function() return "key" end
    hardware.sync(config, {})
    assert.are.same({ node_id = "p", change = "removed", sent = true, hash = "AB" }, noted[9])
    answer = { nodes = { hardware_nodes = { registered_of "n", registered_of("o", { host = "h3" }) } } }
    hardware.sync(config, {})
    assert.are.equal(9, #noted)
  end)

  it("is journaled as not sent when sending fails, and goes on without the journal", function()
    entries, answer = { node_of "n" }, {}
    require("coxswain.tx").send = function() return nil, "out of gas" end
    local result, why = hardware.sync(config, {})
    assert.is_nil(result)
    assert.are.equal("out of gas", why)
    assert.are.equal(false, noted[1].sent)
    _G.broker.note = function() return nil, "too many" end
    require("coxswain.tx").send = function() return { hash = "AB", height = 3 } end
    assert.is_true(assert(hardware.sync(config, {})).sent)
  end)

  it("does not empty the chain's list because nothing is known here, unless it is told to", function()
    entries, answer = {}, { nodes = { hardware_nodes = { registered_of "o" } } }
    assert.is_nil((hardware.sync(config, {})))
    assert.are.equal(0, #sent)
    assert.is_true(assert(hardware.sync(config, { may_empty = true })).sent)
  end)

  it("says what is wrong, and can be asked again after that", function()
    entries, answer = { node_of "n" }, { nodes = { hardware_nodes = { "x" } } }
    local result, why = hardware.sync(config, {})
    assert.is_nil(result)
    assert.is_truthy(why:find("hardware_nodes[1]", 1, true))
    answer = {}
    assert.is_truthy(hardware.sync(config, {}))
    assert.is_truthy(select(2, hardware.sync({ feed = { kind = "clock" } }, {})):find("cometbft", 1, true))
    assert.is_truthy(select(2, hardware.sync({ feed = config.feed }, {})):find("participant.address", 1, true))
  end)
end)
