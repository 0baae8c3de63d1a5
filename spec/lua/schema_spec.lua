local schema = require "coxswain.schema"

local function message_of(spec, value, path)
  local is_good, message = schema.check(spec, value, path)
  assert.is_nil(is_good)
  return message
end

describe("a value", function()
  local rows = { -- type, accepted, refused
    { "integer", { 0, -3, 3.0, math.maxinteger }, { 1.5, "3", true, {}, 0 / 0, math.huge, 2.0 ^ 64 } },
    { "number", { 0, 1.5, -2 }, { "1", false, {} } },
    { "string", { "", "x" }, { 1, false, {} } },
    { "boolean", { true, false }, { 0, "true", {} } },
    { "table", { {}, { 1 }, { a = 1 } }, { 1, "x" } },
    { "object", { {}, { a = 1 }, { 1, a = 2 } }, { { 1 }, 1, "x" } },
    { "list", { {}, { 1, 2 } }, { { a = 1 }, { 1, a = 2 }, { [2] = 1 }, { [1.5] = 1 }, "x" } },
    { "any", { 0, false, "", {} }, {} },
    { "string|integer", { "x", 3 }, { 1.5, true, {} } },
  }
  for _, row in ipairs(rows) do
    it(("of type %s is told from others"):format(row[1]), function()
      for _, value in ipairs(row[2]) do assert.is_true(schema.check(row[1], value)) end
      for _, value in ipairs(row[3]) do
        assert.is_truthy(message_of(row[1], value, "x"):find("^x must be "), tostring(value))
      end
      assert.is_truthy(message_of(row[1], nil, "x"):find("not nothing", 1, true))
    end)
  end

  it("with an integral float becomes an integer in its table, where an integer was asked for", function()
    local value = { a = 3.0, b = 3.0, c = { 4.0 }, d = 5.0, e = { x = 6.0 }, f = 7.0 }
    assert.is_true(schema.check({ a = "integer", b = "number", c = { "list", "integer" }, d = "string|integer",
      e = { "map", "integer" }, f = "integer|number" }, value))
    assert.are.equal("integer", math.type(value.a))
    assert.are.equal("float", math.type(value.b))
    assert.are.equal("integer", math.type(value.c[1]))
    assert.are.equal("integer", math.type(value.d))
    assert.are.equal("integer", math.type(value.e.x))
    assert.are.equal("float", math.type(value.f))
  end)
end)

describe("an object", function()
  local spec = { name = "string", ["size?"] = "integer", ["inner?"] = { list = { "list", { id = "string" } } } }

  it("is accepted with and without its optional fields", function()
    assert.is_true(schema.check(spec, { name = "x" }))
    assert.is_true(schema.check(spec, { name = "x", size = 1, inner = { list = { { id = "a" } } } }))
  end)

  it("is refused with the path of its first fault", function()
    assert.are.equal("name is required", message_of(spec, {}))
    assert.are.equal("name must be a string, not 3", message_of(spec, { name = 3 }))
    assert.are.equal('size must be an integer, not "1"', message_of(spec, { name = "x", size = "1" }))
    assert.are.equal("inner.list[2].id must be a string, not 7", message_of(spec, { name = "x", inner = { list = { { id = "a" }, { id = 7 } } } }))
    assert.are.equal("inner.list is required", message_of(spec, { name = "x", inner = {} }))
    assert.are.equal("inner.list must be a list, not an object", message_of(spec, { name = "x", inner = { list = { a = 1 } } }))
    assert.are.equal("the arguments must be an object, not a list", message_of(spec, { 1 }))
    assert.are.equal("the arguments must be an object, not 5", message_of(spec, 5))
  end)

  it("is refused with fields that nobody knows, and the known ones are told", function()
    assert.are.equal("unknown argument nme (known are inner, name, size)", message_of(spec, { nme = "x" }))
    assert.are.equal("unknown argument node.extra (none is known here)", message_of({}, { extra = 1 }, "node"))
    assert.is_truthy(message_of(spec, { name = "x", [true] = 1 }):find("unknown argument true", 1, true))
  end)

  it("of any keys has values of one spec", function()
    assert.is_true(schema.check({ "map", "integer" }, { a = 1, b = 2 }))
    assert.are.equal("ranks.b must be an integer, not true", message_of({ "map", "integer" }, { a = 1, b = true }, "ranks"))
    assert.are.equal("ranks must be an object, not a list", message_of({ "map", "integer" }, { 1 }, "ranks"))
  end)
end)

describe("a message", function()
  it("shows a long text cut between two characters", function()
    for pad = 0, 3 do
      local message = message_of("integer", ("x"):rep(pad) .. ("é€😀"):rep(30), "x")
      assert.is_truthy(utf8.len(message), message)
      assert.is_true(#message < 120)
    end
  end)

  it("quotes what would break its line", function()
    assert.is_falsy(message_of("integer", "a\0b", "x"):find("\0", 1, true))
  end)
end)

local function noop() end

local function faults_of(check, file, name) return table.concat(schema[check](file, name or "x"), "\n") end

describe("a command file", function()
  local good = { help = "Does.", run = noop, priority = "low", synced = true, phases = { "Inference" },
    args = { ["a?"] = "integer", b = { "list", { c = "string|number" } }, d = { "map", "any" } } }

  local function with(name, value)
    local file = {}
    for key, other in pairs(good) do file[key] = other end
    file[name] = value
    return file
  end

  it("without faults has none", function()
    assert.are.equal("", faults_of("command", good))
    assert.are.equal("", faults_of("command", { help = "Does.", run = noop }))
  end)

  local rows = {
    { "help", "", "help" },
    { "help", 5, "help" },
    { "run", "x", "run must be a function" },
    { "priority", "urgent", 'priority must be "high" or "low"' },
    { "scope", "root", 'scope must be "operate" or "admin", not "root"' },
    { "scope", true, 'scope must be' },
    { "synced", 1, "synced must be true or false" },
    { "phases", "Inference", "phases must be a list" },
    { "phases", {}, "phases must be a list" },
    { "phases", { "Dreaming" }, 'unknown phase "Dreaming"' },
    { "args", "integer", "args must be a table" },
    { "args", { a = "int" }, 'args.a: unknown type "int"' },
    { "args", { a = "" }, "unknown type" },
    { "args", { a = 5 }, "args.a must be a type name or a table" },
    { "args", { a = { "list" } }, "args.a[] must be a type name" },
    { "args", { [5] = "string" }, "field names are strings" },
    { "extra", 1, "unknown field extra" },
  }
  for _, row in ipairs(rows) do
    it(("with %s = %s is refused"):format(row[1], tostring(row[2])), function()
      assert.is_truthy(faults_of("command", with(row[1], row[2])):find(row[3], 1, true))
    end)
  end

  it("lists all its faults at once, and is no other value than a table", function()
    assert.are.equal(4, #schema.command({ priority = 1, phases = 1, run = 1, help = 1 }, "x"))
    for _, file in ipairs { "x", 5, true, noop } do assert.is_truthy(faults_of("command", file):find("must return a table", 1, true)) end
    assert.is_truthy(table.concat(schema.command(nil, "x")):find("must return a table, not nothing", 1, true))
  end)

  it("with arguments that hold themselves is refused in finite time", function()
    local endless = {}
    endless.again, endless.twice = endless, endless
    assert.is_truthy(faults_of("command", with("args", endless)):find("nested deeper", 1, true))
  end)
end)

describe("a driver file", function()
  local function driver(changes)
    local file = { help = "Talks.", deadline = { STOPPED = 10 }, probe_deadline = 5, reach = { STOPPED = noop }, probe = noop }
    for name, value in pairs(changes or {}) do file[name] = value end
    return file
  end

  it("is refused for each fault", function()
    assert.are.equal("", faults_of("driver", driver()))
    local rows = {
      { { probe = 1 }, "probe must be a function" },
      { { reach = {} }, "reach must be a table" },
      { { reach = 1 }, "reach must be a table" },
      { { reach = { STOPPED = 1 } }, "reach.STOPPED must be a function" },
      { { reach = { RUNNING = noop } }, "reach.RUNNING: unknown status" },
      { { reach = { STOPPED = noop, POC = noop } }, "deadline.POC is missing" },
      { { deadline = 5 }, "deadline must be a table" },
      { { deadline = { STOPPED = 0 } }, "deadline.STOPPED must be seconds" },
      { { deadline = { STOPPED = math.huge } }, "deadline.STOPPED must be seconds" },
      { { deadline = { STOPPED = 0 / 0 } }, "deadline.STOPPED must be seconds" },
      { { deadline = { STOPPED = 5, WALKING = 5 } }, "deadline.WALKING: unknown status" },
      { { probe_deadline = "5" }, "probe_deadline must be seconds" },
      { { extra = 1 }, "unknown field extra" },
      { { help = false }, "help" },
    }
    for _, row in ipairs(rows) do assert.is_truthy(faults_of("driver", driver(row[1])):find(row[2], 1, true), row[2]) end
  end)
end)

describe("a job file", function()
  it("is refused for each fault", function()
    assert.are.equal("", faults_of("job", { help = "Feeds.", feed = "clock", run = noop }))
    assert.are.equal("", faults_of("job", { help = "Works.", run = noop }))
    assert.is_truthy(faults_of("job", { help = "Feeds.", feed = 1, run = noop }):find("feed must be", 1, true))
    assert.is_truthy(faults_of("job", { help = "Feeds.", feed = "", run = noop }):find("feed must be", 1, true))
    assert.is_truthy(faults_of("job", { help = "Feeds." }):find("run must be a function", 1, true))
    assert.is_truthy(faults_of("job", { run = noop }):find("help", 1, true))
    assert.is_truthy(faults_of("job", { help = "x", run = noop, every = 5 }):find("unknown field every", 1, true))
  end)
end)

describe("the scripts that come with Coxswain", function()
  local commands = { "inference_up_all", "init_validate", "new_block", "probe", "reconcile", "register_node", "remove_node",
    "set_admin_state", "start_poc", "start_training", "stop_training", "update_node" }

  it("have no faults", function()
    for _, name in ipairs(commands) do assert.are.same({}, schema.command(require("commands." .. name), name)) end
    assert.are.same({}, schema.driver(require "drivers.mlnode", "mlnode"))
    assert.are.same({}, schema.job(require "jobs.clock", "clock"))
  end)
end)
