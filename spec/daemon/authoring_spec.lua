-- What an author of scripts uses: check, test, new, meta, and the guide's own examples.

local json_text = require "dkjson"
local guide     = require "support.guide"
local system    = require "support.system"

after_each(system.clean)

local copies = 0

-- A copy of the shipped scripts to spoil.
local function copy()
  copies = copies + 1
  local folder = ("%s/scripts%d"):format(system.folder(), copies)
  assert.is_truthy(os.execute(("cp -r scripts '%s'"):format(folder)))
  return folder
end

local function write(path, text)
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
end

-- Replaces the one place where `old` stands.
local function edit(path, old, new)
  local text = system.read(path)
  local at = assert(text:find(old, 1, true), path .. " has no " .. old)
  write(path, text:sub(1, at - 1) .. new .. text:sub(at + #old))
end

local function check(folder)
  local code, out, err = system.run("check", "-D", "scripts=" .. folder)
  return code, out, err
end

-- The line of a file with that text.
local function line_of(path, text)
  local count = 1
  for line in (system.read(path) .. "\n"):gmatch "(.-)\n" do
    if line:find(text, 1, true) then return count end
    count = count + 1
  end
  error(path .. " has no " .. text)
end

describe("coxswain check", function()
  it("finds the shipped scripts good, in one line", function()
    local code, out, err = system.run("check")
    assert.equal(0, code, err)
    assert.equal("", err)
    assert.matches("^the shipped scripts: good: %d+ commands, %d+ drivers?, %d+ jobs; %d+ cases hold\n$", out)
  end)

  it("finds the configuration where clients find it, and so does `coxswain test`", function()
    local place = system.folder() .. "/usual"
    os.execute(("mkdir -p '%s/s/policy'"):format(place))
    write(place .. "/s/policy/phases.lua", "return {")
    write(place .. "/coxswain.lua", 'return { scripts = { "s", "default" }, store = ":memory:" }\n')
    local program = assert(io.popen("realpath " .. (os.getenv "COXSWAIN_BIN" or "build/coxswain"))):read "l"
    for _, command in ipairs { "cd '%s' && '%s' check 2>&1", "cd '%s' && '%s' test 2>&1", "cd / && COXSWAIN_CONFIG='%s/coxswain.lua' '%s' check 2>&1" } do
      local pipe = assert(io.popen(command:format(place, program)))
      assert.matches("s/policy/phases.lua:1: unexpected symbol", pipe:read "a", 1, true)
      assert.is_nil(pipe:close())
    end
  end)

  local probe = '  help = "Probes a node, or all nodes, now.",'
  local reach_training = '    TRAINING = reach_training,' .. "\n"
  local rows = { -- what, file, old, new, the text whose line is named, the message
    { "a name that nothing declares, in a line that no case runs", "policy/phases.lua", "  local verdict, why =",
      "  if node.kind == 'never' then return foo.bar end\n  local verdict, why =", "foo.bar", "unknown global 'foo'" },
    { "a global that would be set", "jobs/clock.lua", "  local params, block_s,", "  blocks = 1\n  local params, block_s,",
      "blocks = 1", "'blocks' would be a global" },
    { "a library that the context does not have", "drivers/mlnode.lua",
      "local function reach_stopped(node)", "local function reach_stopped(node)\n  http.get('x')",
      "http.get('x')", "unknown global 'http'" },
    { "a field that a library does not have", "jobs/clock.lua", "time.sleep(math.max(wait_s, 0))", "time.sleeps(0)",
      "time.sleeps", "time has no field sleeps" },
    { "a function that a module does not have", "commands/start_poc.lua", "fleet.apply", "fleet.aply", "fleet.aply", "module policy.fleet has no field aply" },
    { "a method that our objects do not have", "commands/probe.lua", "broker:probe(", "broker:prob(", "broker:prob(", "Broker has no field prob" },
    { "a module that is not there", "jobs/cometbft.lua", '"coxswain.chain"', '"coxswain.chian"', "chian", "there is no module 'coxswain.chian'" },
    { "a command without help", "commands/probe.lua", probe, "", "return {", "command probe: help is missing" },
    { "a key given twice", "commands/probe.lua", probe, probe .. "\n" .. probe:gsub("Probes", "Asks"), "Asks", "the key help twice" },
    { "a status nobody knows", "drivers/mlnode.lua", reach_training, (reach_training:gsub("TRAINING", "TRANING")), "TRANING", "reach.TRANING: unknown status" },
    { "a status without a driver", "drivers/mlnode.lua", reach_training, "", nil, "no driver reaches it: add reach.TRAINING" },
    { "a command due that is not mapped", "policy/phases.lua", '  init_validate    = { status = "POC", poc = "VALIDATING" },\n', "", nil,
      "command due init_validate in PoCValidate: it is not mapped" },
    { "a case with a misspelled field", "policy/phases.lua", "world = world_of(\"inference_up_all\"), expect = false", "world = {}, expct = false",
      "is left alone by inference_up_all", "unknown field expct" },
    { "a text that does not compile", "jobs/clock.lua", "local BEHIND_MAX = 10", "local BEHIND_MAX = = 10", "BEHIND_MAX = =", "unexpected symbol near '='" },
  }
  for _, row in ipairs(rows) do
    it("finds " .. row[1], function()
      local folder = copy()
      local path = folder .. "/" .. row[2]
      edit(path, row[3], row[4])
      local code, out, err = check(folder)
      assert.equal(1, code)
      assert.equal("", out)
      local place = row[5] and ("%s:%d: "):format(path, line_of(path, row[5])) or folder .. "/policy/phases.lua:"
      local is_found = false
      for line in err:gmatch "[^\n]+" do
        is_found = is_found or line:sub(1, #place) == place and line:find(row[6], 1, true) ~= nil
      end
      assert.is_true(is_found, "expected " .. place .. row[6] .. "\ngot " .. err)
    end)
  end

  it("lists all faults at once, each once, and as JSON", function()
    local folder = copy()
    edit(folder .. "/policy/fleet.lua", "local M = {}", "local M = {}\nlocal x = y.z")
    edit(folder .. "/commands/probe.lua", "broker:probe(", "broker:prob(")
    local code, out = system.run("check", "-D", "scripts=" .. folder, "--json")
    assert.equal(1, code)
    local faults = json_text.decode(out).faults
    assert.equal(2, #faults, out)
    assert.equal(folder .. "/commands/probe.lua", faults[1].file)
    assert.equal(line_of(folder .. "/commands/probe.lua", "broker:prob("), faults[1].line)
    assert.equal(line_of(folder .. "/policy/fleet.lua", "y.z"), faults[2].line)
  end)

  it("says key by key what a case expected and got", function()
    local folder = copy()
    edit(folder .. "/policy/phases.lua", "block_height = 700, block_hash = \"AB01\", public_key", "block_height = 701, block_hash = \"AB02\", public_key")
    local _, _, err = check(folder)
    assert.matches('case "an eligible node generates when start_poc is due":\n    block_hash: expected "AB02", got "AB01"\n'
      .. "    block_height: expected 701, got 700\n", err, 1, true)
  end)

  it("asks of configured nodes what the policy asks", function()
    local folder = copy()
    write(folder .. "/drivers/calm.lua", [[
      local function nothing() end
      return { help = "Only stops.", deadline = { STOPPED = 1 }, reach = { STOPPED = nothing }, probe = nothing }]])
    local config = system.config(system.write("nodes.json", json_text.encode { { id = "n1", host = "h", inference_port = 1, poc_port = 2,
      max_concurrent = 1, models = { m = { args = {} } }, kind = "calm" } }), ("scripts = %q,"):format(folder))
    local code, _, err = system.run("check", "-c", system.write("c.lua", config))
    assert.equal(1, code)
    assert.matches("start_poc asks node n1 for POC, which drivers/calm.lua does not reach", err, 1, true)
  end)
end)

describe("coxswain new", function()
  it("writes skeletons that pass check and test as they are", function()
    local folder = copy()
    for _, kind in ipairs { "command", "driver", "job", "policy" } do
      local code, out, err = system.run("new", kind, "my_" .. kind, "--dir", folder)
      assert.equal(0, code, err)
      assert.matches("my_" .. kind, out, 1, true)
    end
    local code, _, err = check(folder)
    assert.equal(0, code, err)
    local out
    code, out, err = system.run("test", folder, "--only", "my_")
    assert.equal(0, code, out .. err)
    assert.matches("7 of 7 cases hold", err, 1, true)
    assert.is_table(json_text.decode(system.read(folder .. "/.luarc.json")))
  end)

  it("writes into a folder that is laid over the shipped one", function()
    local folder = system.folder() .. "/own"
    assert.is_truthy(os.execute("mkdir " .. folder))
    assert.equal(0, (system.run("new", "command", "my_command", "--dir", folder)))
    local code, out, err = system.run("test", folder)
    assert.equal(0, code, out .. err)
    assert.matches("2 of 2 cases hold", err, 1, true) -- the shipped ones are not run
  end)

  it("refuses what is there, bad names, unknown kinds and a missing folder", function()
    local folder = copy()
    local before = system.read(folder .. "/commands/probe.lua")
    local code, _, err = system.run("new", "command", "probe", "--dir", folder)
    assert.equal(1, code)
    assert.matches("is there already", err, 1, true)
    assert.equal(before, system.read(folder .. "/commands/probe.lua"))
    assert.equal("", system.read(folder .. "/spec/commands/probe_spec.lua")) -- nothing half done
    for _, name in ipairs { "", "Probe", "../x", "a-b", "1a", ("a"):rep(65), "a.b" } do
      assert.equal(2, (system.run("new", "command", name, "--dir", folder)), name)
    end
    assert.equal(2, (system.run("new", "thing", "x", "--dir", folder)))
    assert.equal(1, (system.run("new", "job", "x", "--dir", folder .. "/nowhere")))
  end)
end)

describe("coxswain test", function()
  it("runs the shipped scripts' cases", function()
    local code, out, err = system.run("test")
    assert.equal(0, code, out .. err)
    assert.matches("\n1%.%.%d+\n$", out)
  end)

  it("says ok or not ok, with file, line and difference", function()
    local folder = copy()
    os.execute(("rm -r '%s/spec'; mkdir '%s/spec'"):format(folder, folder))
    local path = folder .. "/spec/a_spec.lua"
    write(path, table.concat({
      'local testing = require "coxswain.testing"',
      'describe("a", function()',
      '  it("holds", function() assert.equal(1, 1) end)',
      '  it("differs", function() assert.same({ x = 1, y = { 2 } }, { x = 1, y = { 3 } }) end)',
      '  it("raises in a script", function() require("policy.eligibility").is_operational(nil) end)',
      '  it("asks for what cannot be", function() testing.fleet { { host = 5 } } end)',
      '  it("uses a name that nothing declares", function() nothing() end)',
      '  pending "comes later"',
      '  it("sees a new broker each time", function() assert.is_nil(testing.state "node1") end)',
      "end)",
    }, "\n"))
    write(folder .. "/spec/b_spec.lua", "local x = = 1")
    local code, out, err = system.run("test", folder)
    assert.equal(1, code)
    local function has(text) assert.matches(text, out, 1, true) end
    has "ok 1 - a holds\n"
    has("not ok 2 - a differs\n# " .. path .. ":4: y[1]: expected 2, got 3\n")
    has("not ok 3 - a raises in a script\n# " .. folder .. "/policy/eligibility.lua:")
    has("not ok 4 - a asks for what cannot be\n# " .. path .. ":6: ")
    has("not ok 5 - a uses a name that nothing declares\n# " .. path .. ":7: unknown global 'nothing'")
    has "ok 6 - a comes later # TODO\n"
    has "ok 7 - a sees a new broker each time\n"
    has("not ok 8 - spec/b_spec.lua\n# " .. folder .. "/spec/b_spec.lua:1: ")
    assert.matches("2 of 8 cases hold", err, 1, true)
    local _, json = system.run("test", folder, "--json", "--only", "differs")
    local result = json_text.decode(json)
    assert.equal(2, result.failed)
    assert.equal(4, result.cases[1].line)
  end)

  it("runs one file of cases, with helpers in spec/support, on the scripts beside it or the shipped ones", function()
    local folder = copy()
    os.execute(("rm -r '%s/spec'; mkdir -p '%s/spec/support' '%s/apart/spec/support'"):format(folder, folder, folder))
    local cases = table.concat({
      'local helper = require "spec.support.helper"',
      'it("finds its helper", function() assert.equal(7, helper.seven, "seven") end)',
      'it("says\\nwhy", function() assert.equal(8, helper.seven, "the helper") end)',
      'it("raises in a script", function() require("policy.eligibility").is_operational(nil) end)',
      'it("finds no other file", function() require("spec.other") end)',
    }, "\n")
    for _, place in ipairs { folder, folder .. "/apart" } do
      write(place .. "/spec/a_spec.lua", cases)
      write(place .. "/spec/b_spec.lua", "local x = = 1")
      write(place .. "/spec/support/helper.lua", "return { seven = 7 }")
    end
    for place, scripts in pairs { [folder] = folder, [folder .. "/apart"] = "" } do
      local code, out, err = system.run("test", place .. "/spec/a_spec.lua")
      assert.equal(1, code)
      assert.matches("ok 1 - finds its helper\n", out, 1, true)
      assert.matches("not ok 2 - says why\n# " .. place .. "/spec/a_spec.lua:3: the helper: expected 8, got 7\n", out, 1, true)
      assert.matches(scripts .. "/policy/eligibility.lua:", out, 1, true)
      assert.is_nil(out:find("apart/policy", 1, true))
      assert.matches("there is no module 'spec.other'", out, 1, true)
      assert.matches("1 of 4 cases hold", err, 1, true)
    end
  end)

  it("refuses a file that holds no cases, and says where they stand", function()
    local folder = copy()
    for _, file in ipairs { "/policy/phases.lua", "/phases_spec.lua" } do
      if file == "/phases_spec.lua" then write(folder .. file, "") end
      local code, _, err = system.run("test", folder .. file)
      assert.is_true(code ~= 0)
      assert.matches("is no file of cases: those are called …_spec.lua, and stand in a folder spec", err, 1, true)
    end
  end)

  it("gives chance another seed each time, says which, and repeats one that is given", function()
    local folder = copy()
    os.execute(("rm -r '%s/spec'; mkdir '%s/spec'"):format(folder, folder))
    write(folder .. "/spec/a_spec.lua", 'it("draws", function() error("drew " .. math.random(1000000000)) end)')
    local _, out, err = system.run("test", folder)
    local seed, drew = err:match "%-%-seed (%d+)", out:match "drew %d+"
    local _, again = system.run("test", folder, "--seed", seed)
    assert.equal(drew, again:match "drew %d+")
    local _, other = system.run("test", folder, "--seed", "5")
    assert.is_true(drew ~= other:match "drew %d+")
    for _, wrong in ipairs { "x", "-1", "1.5", "99999999999999999999" } do
      local code, _, why = system.run("test", folder, "--seed", wrong)
      assert.is_true(code ~= 0)
      assert.matches("is no whole number", why, 1, true)
    end
  end)

  it("shows a case what the scripts that it calls have logged", function()
    local folder = copy()
    os.execute(("rm -r '%s/spec'; mkdir '%s/spec'"):format(folder, folder))
    write(folder .. "/policy/says.lua", 'return { say = function() log.warn("this", { a = 1 }) end }')
    write(folder .. "/spec/a_spec.lua", table.concat({
      'local testing = require "coxswain.testing"',
      'it("hears it", function()',
      '  require("policy.says").say()',
      '  assert.same({ { level = "warn", message = "this", fields = { a = 1 } } }, testing.logged())',
      "end)",
      'it("hears nothing of the case before", function() assert.same({}, testing.logged()) end)',
    }, "\n"))
    local code, out = system.run("test", folder)
    assert.equal(0, code, out)
  end)

  it("cuts a case that never ends, and goes on with the next file", function()
    local folder = copy()
    os.execute(("rm -r '%s/spec'; mkdir '%s/spec'"):format(folder, folder))
    write(folder .. "/spec/a_spec.lua", 'it("never ends", function()\n  while true do pcall(function() while true do end end) end\nend)')
    write(folder .. "/spec/b_spec.lua", 'it("holds", function() assert(true) end)')
    local code, out = system.run("test", folder)
    assert.equal(1, code)
    assert.matches("not ok 1 - never ends\n# " .. folder .. "/spec/a_spec.lua:2: ", out, 1, true)
    assert.matches("ok 2 - holds\n", out, 1, true)
  end)

  it("fails without cases, and with scripts that do not load", function()
    local folder = copy()
    os.execute(("rm -r '%s/spec'"):format(folder))
    local code, _, err = system.run("test", folder)
    assert.equal(1, code)
    assert.matches("no cases", err, 1, true)
    os.execute(("cp -r scripts/spec '%s'"):format(folder))
    edit(folder .. "/commands/probe.lua", "return {", "return [")
    code, _, err = system.run("test", folder)
    assert.equal(1, code)
    assert.matches("commands/probe.lua:1: ", err, 1, true)
  end)
end)

describe("the author's guide", function()
  it("has examples that pass check and test, word for word", function()
    local folder = system.folder() .. "/guide"
    local blocks = guide.write(folder)
    assert.equal(6, #blocks)
    local code, _, err = check(folder)
    assert.equal(0, code, err)
    local out
    code, out, err = system.run("test", folder)
    assert.equal(0, code, out .. err)
    assert.matches("ok %d+ %- the driver of a vLLM server goes on after an attempt that was cancelled", out)
    assert.matches("ok %d+ %- a fleet of two kinds proves with those that can", out)
  end)
end)

describe("the descriptions of the bindings", function()
  local made
  before_each(function()
    local code, out, err = system.run("meta", "--json")
    assert.equal(0, code, err)
    made = json_text.decode(out)
  end)

  it("are what lua/meta and the guide's reference were made from", function()
    local count = 0
    for name, text in pairs(made.files) do
      count = count + 1
      assert.equal(text, system.read("lua/meta/" .. name), "lua/meta/" .. name .. " is not what tools/meta makes now")
      assert(load(text, "@" .. name, "t", {}))
    end
    local listed = 0
    for name in require("lfs").dir "lua/meta" do listed = listed + (name:match "%.lua$" and 1 or 0) end
    assert.equal(count, listed)
    local reference = system.read("scripts/README.md"):match "<!%-%- reference: [^\n]*\n(.-)<!%-%- end of the reference"
    assert.equal("\n" .. made.reference .. "\n", reference, "run tools/meta")
  end)

  it("are written into a folder, which is made when it is not there", function()
    local folder = system.folder() .. "/types"
    local code, _, err = system.run("meta", folder)
    assert.equal(0, code, err)
    assert.equal(made.files["global_broker.lua"], system.read(folder .. "/global_broker.lua"))
    assert.equal(0, (system.run("meta", folder))) -- and again
    code, _, err = system.run("meta", folder .. "/no/such")
    assert.equal(1, code)
    assert.matches("making the folder", err)
  end)

  it("name everything that a live machine of each context shows, and nothing else", function()
    local of_lua = { coroutine = true, math = true, string = true, table = true, utf8 = true }
    for context, seen in pairs(made.contexts) do
      local described = {}
      for _, api in ipairs(made.apis) do
        for _, where in ipairs(api.contexts) do
          if where == context then
            described[api.name] = described[api.name] or {}
            for _, list in ipairs { api.functions, api.fields } do
              for _, each in ipairs(list) do described[api.name][each.name] = true end
            end
          end
        end
      end
      for name, fields in pairs(seen) do
        if type(fields) == "table" and not of_lua[name] then
          local live = {}
          for _, field in ipairs(fields) do live[field] = true end
          assert.same(live, described[name], context .. ": " .. name)
        elseif type(fields) ~= "table" then
          assert.is_function(_G[name], context .. ": " .. name .. " is neither described nor Lua's own")
        end
        described[name] = nil
      end
      assert.same({}, described, context)
    end
  end)

  it("give each function a help, and types to all that it takes and gives", function()
    for _, api in ipairs(made.apis) do
      assert.matches("%.$", api.help, api.name)
      for _, binding in ipairs(api.functions) do
        assert.is_true(#binding.help > 0, binding.name)
        assert.matches("^%(.*%)", binding.signature)
        for part in binding.signature:match("^%((.-)%)"):gmatch "[^,]+" do assert.matches("^ ?[%w_]+%??: ", part, 1) end
      end
    end
  end)
end)
