-- Runs one file of cases for `coxswain test`. C (trial.c) calls open and run; everything that a case does to the scripts goes through
-- `native`, which answers questions to the broker on trial.

local check   = require "coxswain.testing.assert"
local testing = require "coxswain.testing"

local M = {}

local block -- the describe that is being read; { name, parent, before, after, items }
local file  -- { name, only, native }

local function block_of(name, parent) return { name = name, parent = parent, before = {}, after = {}, setups = {}, teardowns = {}, items = {} } end

-- "policy/phases.lua:12: words" → its place and the words. The place of what no file says is `line` of the cases.
local function place_of(message, line)
  message = type(message) == "table" and message.message or tostring(message)
  local name, at, words = message:match "^([%w_./-]+%.lua):(%d+): (.*)$"
  if not name then return file.name, line, message end
  if name:find "^coxswain/" then return file.name, line, words end
  return name, math.tointeger(tonumber(at)), words
end

local function report(case, outcome, message)
  local name, line, words = file.name, case.line, nil
  if message ~= nil then name, line, words = place_of(message, case.line) end
  file.native("report", { name = case.name, file = name, line = line, outcome = outcome, message = words })
end

-- Who called the function that calls this.
local function line_here()
  local _, message = pcall(error, "", 4)
  return math.tointeger(tonumber(message:match ":(%d+): $")) or 0
end

-- ---- what a file of cases calls ----

local function require_block()
  if not block then error("this is called while the file is read, not inside of a case", 4) end
end

local function add(name, body)
  require_block()
  block.items[#block.items + 1] = { name = tostring(name), body = body, line = line_here() }
end

local function it(name, body) add(name, body) end

local function pending(name) add(name, nil) end

local function show(...)
  local words = table.pack(...)
  for i = 1, words.n do words[i] = tostring(words[i]) end
  file.native("print", { text = table.concat(words, "\t") })
end

local function describe(name, body)
  if not block then error("describe is called while the file is read, not inside of a case", 2) end
  local inner = block_of(tostring(name), block)
  block.items[#block.items + 1] = inner
  block = inner
  body()
  block = inner.parent
end

local function into(list)
  return function(body)
    if not block then error("this is called while the file is read, not inside of a case", 2) end
    block[list][#block[list] + 1] = body
  end
end

--- The globals of cases.
function M.open()
  return {
    describe = describe,
    it = it,
    pending = pending,
    before_each = into "before",
    after_each = into "after",
    setup = into "setups",
    teardown = into "teardowns",
    assert = check,
    print = show,
    log = testing.log,
  }
end

-- ---- running ----

local function names_of(item)
  local names = { item.name }
  local outer = item.parent
  while outer and outer.name do
    table.insert(names, 1, outer.name)
    outer = outer.parent
  end
  return table.concat(names, " ")
end

local function call_all(list)
  for _, body in ipairs(list) do body() end
end

local function prepare(of)
  if of.parent then prepare(of.parent) end
  call_all(of.before)
end

-- The innermost first; all of them, whatever fails.
local function clean(of)
  local first
  while of do
    local is_good, message = pcall(call_all, of.after)
    if not is_good then first = first or message end
    of = of.parent
  end
  return first
end

local function run_case(case, of)
  if not case.body then return report(case, "pending") end
  file.native("begin", { name = case.name })
  testing.begin()
  local is_good, message = pcall(function()
    prepare(of)
    case.body()
  end)
  local after = clean(of)
  if not is_good then report(case, "not ok", message)
  elseif after ~= nil then report(case, "not ok", after)
  else report(case, "ok") end
end

local function run_block(of)
  testing.begin()
  local is_good, message = pcall(call_all, of.setups)
  if not is_good then
    return report({ name = of.name and names_of(of) or file.name, line = 0 }, "not ok", message)
  end
  for _, item in ipairs(of.items) do
    item.parent = of
    if item.items then run_block(item)
    else
      item.name = names_of(item)
      if not file.only or item.name:find(file.only, 1, true) then run_case(item, of) end
    end
  end
  is_good, message = pcall(call_all, of.teardowns)
  if not is_good then report({ name = of.name and names_of(of) or file.name, line = 0 }, "not ok", message) end
end

--- Reads a file of cases, and runs them.
---@param native fun(operation: string, args: table?): table
---@param body function the file
---@param name string as scripts know it: "spec/phases_spec.lua"
---@param only string? part of the names of those to run
function M.run(native, body, name, only)
  file = { name = name, only = only, native = native }
  testing.bind(native)
  local whole = block_of(nil, nil)
  block = whole
  local is_good, message = pcall(body)
  block = nil
  if not is_good then return report({ name = name, line = 0 }, "not ok", message) end
  run_block(whole)
end

return M
