-- What `coxswain check` asks of a set of scripts beyond what keeps it from loading. Runs in a machine of the context that the scripts
-- are for, so that it knows what they see.

local lexer   = require "coxswain.lexer"
local lint    = require "coxswain.lint"
local samples = require "coxswain.testing.samples"

local M = {}

-- ---- single files ----

local checked_classes = { -- an unknown field of these raises; other shapes may have more fields than we know
  ["coxswain.Broker"] = true, ["coxswain.Node"] = true, ["coxswain.DriverNode"] = true, ["coxswain.Connection"] = true,
}

local by_place = { -- what a function gets that stands there in the returned table
  commands = { run = { "coxswain.Broker" } },
  drivers = { probe = { "coxswain.DriverNode" }, ["reach.*"] = { "coxswain.DriverNode" } },
}

local spec_globals = { "describe", "it", "pending", "before_each", "after_each", "setup", "teardown", "assert", "json", "log", "time" }

local function classes_of(apis)
  local classes = {}
  for _, api in ipairs(apis) do
    if checked_classes[api.name] then
      local names = {}
      for _, list in ipairs { api.functions, api.fields } do
        for _, each in ipairs(list) do names[each.name] = true end
      end
      classes[api.name] = names
    end
  end
  return classes
end

local function globals_of(folder)
  local globals = {}
  for name, value in pairs(_ENV) do globals[name] = value end
  if folder ~= "spec" then return globals end
  for _, name in ipairs { "broker", "http", "ws", "wallet" } do globals[name] = nil end
  for _, name in ipairs(spec_globals) do globals[name] = true end -- tables of them have more fields there
  return globals
end

--- Faults in the text of one file.
---@param args { name: string, text: string, waits: boolean?, modules: string[], apis: table[] } a name as in "policy/phases.lua"
---@return { line: integer, message: string }[]
function M.file(args)
  local folder, stem = args.name:match "^([^/]+)/(.*)%.lua$"
  local modules = {}
  for _, name in ipairs(args.modules) do modules[name] = true end
  local is_good, found = pcall(lint.inspect, args.text, {
    globals = globals_of(folder),
    modules = modules,
    classes = classes_of(args.apis),
    parameters = not args.waits and by_place[folder] or nil,
    module = folder == "policy" and "policy." .. stem:gsub("/", ".") or nil,
  })
  if not is_good then -- it does compile
    log.warn("a script's text could not be looked at", { file = args.name, error = found })
    found = {}
  end
  return json.array(found)
end

--- The line that a message about a file is about.
---@param args { text: string, message: string }
---@return { line: integer }
function M.locate(args) return { line = lexer.locate(args.text, args.message) } end

-- ---- the policy as a whole ----

local moments = { -- a command due, and the phases in which it can be
  { "start_poc", "PoCGenerate" }, { "init_validate", "PoCGenerateWindDown" }, { "init_validate", "PoCValidate" },
  { "inference_up_all", "PoCValidateWindDown" }, { "inference_up_all", "Inference" },
}

local statuses = { INFERENCE = true, POC = true, STOPPED = true, TRAINING = true }

local function node_of(config, admin_state)
  local node = samples.node(config)
  node.admin_state, node.is_operational = admin_state, admin_state.enabled
  return node
end

local enabled, disabled = { enabled = true, epoch = 0 }, { enabled = false, epoch = 0 }

-- What the policy asks of an enabled node at each moment, and of a disabled one.
local function ask_all(intent, config, add)
  local asked = {}
  local function ask(command, phase, admin_state)
    local is_good, target, reason = pcall(intent, node_of(config, admin_state), samples.world(command, { phase = phase }))
    if not is_good then return add(("command due %s in %s: intent failed: %s"):format(command, phase, tostring(target))) end
    if target == nil and admin_state == disabled then return end
    if target == nil then
      local why = type(reason) == "string" and (" (%s)"):format(reason) or ""
      return add(("command due %s in %s: it is not mapped: an enabled node keeps what it has%s"):format(command, phase, why))
    end
    if type(target) ~= "table" or not statuses[target.status] then
      local status = type(target) == "table" and target.status or target
      return add(("command due %s in %s: a target has a status INFERENCE, POC, STOPPED or TRAINING, not %s"):format(command, phase, tostring(status)))
    end
    asked[target.status] = asked[target.status] or command
  end
  for _, moment in ipairs(moments) do
    ask(moment[1], moment[2], enabled)
    ask(moment[1], moment[2], disabled)
  end
  return asked
end

local function is_reached(reaches, status)
  for _, reach in pairs(reaches) do
    if reach[status] then return true end
  end
  return false
end

local function check_node(node, asked, reaches, add)
  local kind = node.kind or "mlnode"
  if not reaches[kind] then return add(("node %s: there is no driver of kind %s: add drivers/%s.lua"):format(node.id, kind, kind)) end
  for status, command in pairs(asked) do
    if not reaches[kind][status] then
      add(("command due %s asks node %s for %s, which drivers/%s.lua does not reach: add reach.%s, or map nodes of that kind otherwise"):format(
        command, tostring(node.id), status, kind, status))
    end
  end
end

--- Faults of the policy against the phases and the drivers.
---@param args { module: string, reaches: table<string, table<string, boolean>>?, commands: table<string, table>, nodes: table[] } reaches nil: not all
---drivers load, so that nothing can be said about them
---@return string[] messages, for policy/phases.lua
function M.policy(args)
  local messages, seen = {}, {}
  local function add(message)
    if not seen[message] then messages[#messages + 1] = message end
    seen[message] = true
  end
  local phases = require(args.module)
  if type(phases) ~= "table" or type(phases.intent) ~= "function" then
    add "policy/phases.lua returns a table with a function intent(node, world)"
    return json.array(messages)
  end
  local asked = ask_all(phases.intent, {}, add)
  if not args.reaches then return json.array(messages) end
  if args.commands.start_training then asked.TRAINING = "start_training" end
  for status, command in pairs(asked) do
    if not is_reached(args.reaches, status) then
      add(("command due %s asks for %s, and no driver reaches it: add reach.%s to one in drivers/"):format(command, status, status))
    end
  end
  for _, node in ipairs(args.nodes) do
    check_node(node, ask_all(phases.intent, node, function() end), args.reaches, add)
  end
  table.sort(messages)
  return json.array(messages)
end

--- How many cases the policy modules have.
---@param args { modules: string[] }
---@return { cases: integer }
function M.count(args)
  local count = 0
  for _, name in ipairs(args.modules) do
    local module = name:find("^policy%.") and require(name)
    if type(module) == "table" and type(module.cases) == "table" then count = count + #module.cases end
  end
  return { cases = count }
end

--- What each driver reaches.
---@param args { names: string[] }
---@return table<string, table<string, boolean>>
function M.reaches(args)
  local reaches = {}
  for _, name in ipairs(args.names) do
    local reach = {}
    for status in pairs(require(("drivers.%s"):format(name)).reach) do reach[status] = true end
    reaches[name] = reach
  end
  return reaches
end

return M
