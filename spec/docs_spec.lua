-- The documentation does what it says: the README's tour is executed line by line, every other code block is parsed and its commands
-- are looked up, and the pages that are made from the daemon are as it would make them now. COXSWAIN_MAKE_DOCS=1 (tools/docs) writes these.

local json_text = require "dkjson"
local pages = require "support.pages"
local system = require "support.system"

local source = os.getenv "COXSWAIN_SOURCE" or "."
local program = os.getenv "COXSWAIN_BIN" or "build/coxswain"

local function shell(command)
  local pipe = assert(io.popen("{ " .. command .. "\n} 2>&1 </dev/null"))
  local output = pipe:read "a"
  return pipe:close() and true or false, output
end

local function lines_of(command)
  local list = {}
  for line in (select(2, shell(command))):gmatch "[^\n]+" do list[#list + 1] = line end
  return list
end

local function documents() return lines_of(("cd %s && find . -name build\\* -prune -o -name '*.md' -print | sort"):format(source)) end

-- { language, text, line } of each fenced block.
local function blocks_of(text)
  local list, open, number = {}, nil, 0
  for line in (text .. "\n"):gmatch "([^\n]*)\n" do
    number = number + 1
    local fence = line:match "^%s*```(.*)$"
    if fence and open then
      open.text = table.concat(open, "\n") .. "\n"
      list[#list + 1], open = open, nil
    elseif fence then
      open = { language = fence:match "^%w*", line = number }
    elseif open then
      open[#open + 1] = line
    end
  end
  assert(not open, "a block is not closed")
  return list
end

-- A block's statements: lines, joined while the shell wants more.
local function statements(text)
  local list, rest = {}, ""
  for line in text:gmatch "[^\n]+" do
    rest = rest == "" and line or rest .. "\n" .. line
    local path = system.write("statement", rest)
    if shell("bash -n " .. path) then list[#list + 1], rest = rest, "" end
  end
  assert(rest == "", "not a statement: " .. rest)
  return list
end

describe("the README's tour", function()
  teardown(system.clean)

  it("works as it is written", function()
    local folder = system.folder()
    local text = system.read(source .. "/README.md")
    text = text:match "\n## Five minutes\n(.-)\n## "
    local bin = (select(2, shell("realpath " .. program))):match "^(.*)/[^/\n]*\n"
    -- Free ports instead of those written, and a folder of its own instead of /tmp.
    local prelude = ("unset COXSWAIN_CONFIG COXSWAIN_ADMIN; export PATH=%s:$PATH COXSWAIN_ADMIN__LISTEN=127.0.0.1:0 " ..
      "COXSWAIN_SOCKET=%s/tour/coxswain.sock; "):format(bin, folder)
    local cwd, outputs, tour = folder, {}, {}
    for _, block in ipairs(blocks_of(text)) do
      assert.equal("sh", block.language)
      for _, statement in ipairs(statements(block.text)) do tour[#tour + 1] = statement:gsub("/tmp/", folder .. "/"):gsub("%-%-port 20000", "--port 0") end
    end
    assert.is_true(#tour >= 10)

    local function converged()
      local _, out = shell(prelude .. "coxswain nodes --json")
      local nodes = json_text.decode(out)
      for _, entry in ipairs(nodes or {}) do
        local state = entry.state
        if state.current_status ~= state.intended_status or state.poc_current_status ~= state.poc_intended_status then return nil, out end
      end
      return nodes and #nodes > 0, out
    end
    local function ready(process, statement)
      system.wait(statement, function()
        assert(system.is_running(process), statement .. ": " .. system.read(process.log))
        return system.read(process.log):match "ready"
      end)
    end

    for _, statement in ipairs(tour) do
      if statement:find("^cd ") then
        cwd = statement:match "^cd (%S+)"
      elseif statement:find("# in a terminal of its own", 1, true) then
        local script = system.write("terminal" .. #outputs, prelude .. "cd " .. cwd .. " && exec " .. statement)
        outputs[#outputs + 1] = ""
        ready(system.spawn("bash " .. script), statement)
      elseif statement:find("# .*Ctrl%-C") then
        system.wait("the fleet", converged)
        shell(prelude .. ("cd %s && timeout -s INT 1 %s"):format(cwd, statement))
      else
        local is_good, out = shell(prelude .. ("cd %s && %s"):format(cwd, statement))
        assert.is_true(is_good, statement .. "\n" .. out)
        outputs[#outputs + 1] = out
        if statement:find "new_block" then system.wait("the fleet after " .. statement, converged) end
      end
    end
    local all = table.concat(outputs, "\n")
    for _, wanted in ipairs { "next: coxswain run", "node3", "POC/GENERATING", "start_poc", '"phase"' } do
      assert.is_truthy(all:find(wanted, 1, true), wanted .. " was not seen in:\n" .. all)
    end
    assert.matches("<svg", system.read(folder .. "/tour/report.html"), 1, true)
  end)
end)

describe("the code blocks of the documentation", function()
  teardown(system.clean)

  -- Every `coxswain SUB [SUB] --option` exists.
  local help = {}
  local function help_of(name)
    if not help[name] then
      local is_good, out = shell(("%s %s --help"):format(program, name))
      help[name] = is_good and out or false
    end
    return help[name]
  end
  local function check_command(words, where)
    local name = words:match "^([%l]+)"
    if not name then return end
    assert.is_truthy(help_of(name), ("%s: there is no coxswain %s"):format(where, name))
    local child = words:match "^%l+ (%l+)"
    local text = (name == "node" or name == "sim") and child and help_of(name .. " " .. child) or help_of(name)
    for option in words:gmatch "%s(%-%-[%l-]+)" do
      assert.is_truthy(text:find(option, 1, true), ("%s: coxswain %s has no %s"):format(where, name, option))
    end
  end

  local check = {}
  function check.sh(block, where)
    local is_good, out = shell("bash -n " .. system.write("block.sh", block.text))
    assert.is_true(is_good, where .. ": " .. out)
    for _, statement in ipairs(statements(block.text)) do
      local plain = statement:gsub("%s#[^\n]*", "")
      for command in plain:gmatch "%f[%w/]coxswain (%l[^|;&>]*)" do check_command(command, where) end
      local tool = plain:match "^(tools/%S+)"
      if tool then assert.is_true((shell(("test -x %s/%s"):format(source, tool))), where .. ": " .. tool) end
    end
  end
  function check.lua(block, where)
    for _, frame in ipairs { "%s", "return %s", "return {\n%s\n}" } do
      if load(frame:format((block.text:gsub("%%", "%%%%"))):gsub("%%%%", "%%"), where) then return end
    end
    error(where .. ": this is no Lua:\n" .. block.text)
  end
  function check.json(block, where) assert(json_text.decode(block.text), where .. ": this is no JSON") end
  function check.yaml(block, where) assert(not block.text:find "\t", where .. ": YAML knows no tabs") end
  function check.ini(block, where)
    for line in block.text:gmatch "[^\n]+" do
      assert(line:find "^#" or line:find "^%[%w+%]$" or line:find "^%w+=", where .. ": no line of a unit: " .. line)
    end
  end
  check.c = function(block, where)
    local is_good, out = shell(("cc -fsyntax-only -I%s/include -x c %s"):format(source, system.write("block.c", block.text)))
    assert.is_true(is_good, where .. ": " .. out)
  end
  check[""] = function() end -- pictures and output
  check.text = check[""]

  for _, path in ipairs(documents()) do
    it("are good in " .. path, function()
      for _, block in ipairs(blocks_of(system.read(source .. "/" .. path))) do
        local where = ("%s:%d"):format(path, block.line)
        assert(check[block.language], where .. ": nobody checks blocks of " .. block.language)(block, where)
      end
    end)
  end
end)

describe("the pages made from the daemon", function()
  teardown(system.clean)
  local daemon

  setup(function()
    daemon = system.daemon(system.config(system.write("nodes.json", "[]")))
    system.command(daemon, "new_block", system.block(50, 1, 0))
  end)

  local function compare(name, wanted)
    local path = source .. "/docs/" .. name
    if os.getenv "COXSWAIN_MAKE_DOCS" then
      local file = assert(io.open(path, "w"))
      file:write(wanted)
      file:close()
    end
    assert.is_true(system.read(path) == wanted, "docs/" .. name .. " is not what this daemon would make: run tools/docs")
  end

  it("describe every route, as the OpenAPI document does", function()
    local _, document = system.http("GET", daemon.url .. "/openapi.json")
    compare("http.md", pages.http(document))
  end)

  it("describe every metric", function()
    local _, text = system.http("GET", daemon.url .. "/metrics")
    compare("metrics.md", pages.metrics(text))
  end)
end)
