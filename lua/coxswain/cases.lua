-- The cases beside the policy: small examples of node and world with what must come out. They must hold before a set of scripts
-- may go live.

local differences = require "coxswain.differences"

local M = {}

local FIELDS = { node = true, world = true, call = true, expect = true }

-- Why it is no case at all, or nil. A misspelled field would make a case that holds whatever comes out.
local function why_no_case(module, case)
  if type(case) ~= "table" or type(case[1]) ~= "string" then return "a case begins with a sentence that says what must hold" end
  local name = ('case "%s"'):format(case[1])
  for field in pairs(case) do
    if field ~= 1 and not FIELDS[field] then return ("%s: unknown field %s (known are call, expect, node, world)"):format(name, tostring(field)) end
  end
  if case.expect == nil then return name .. ": it expects nothing at all: add expect = { … }, or false where nil or false must come out" end
  if type(module[case.call or "intent"]) ~= "function" then
    return ("%s: there is no function %s to call"):format(name, tostring(case.call or "intent"))
  end
end

-- What is wrong with one case, or nil.
local function failure(module, case)
  local why = why_no_case(module, case)
  if why then return why end
  local is_good, got, reason = pcall(module[case.call or "intent"], case.node, case.world)
  if not is_good then return ('case "%s" failed: %s'):format(case[1], tostring(got)) end
  if case.expect == false then
    if not got then return nil end
    return ('case "%s": expected nothing, got %s'):format(case[1], differences.show(got))
  end
  if got == nil then
    local because = type(reason) == "string" and (" (%s)"):format(reason) or ""
    return ('case "%s": expected %s, got nothing%s'):format(case[1], differences.show(case.expect), because)
  end
  local found = differences.list(case.expect, got, { is_partial = true })
  return #found > 0 and ('case "%s":\n    %s'):format(case[1], table.concat(found, "\n    ")) or nil
end

-- What a module hands over at an exchange and what it takes belong together: half of it would lose what is remembered.
local function why_no_state(module)
  for _, name in ipairs { "save", "restore" } do
    local is_wanted = module.save ~= nil or module.restore ~= nil
    if is_wanted and type(module[name]) ~= "function" then return ("save and restore belong together: %s must be a function"):format(name) end
  end
end

--- Looks at a policy module and runs its cases.
---@param file string "policy/phases", without the ending
---@return string[] faults
function M.run(file)
  local faults, module, seen = {}, require(file:gsub("/", ".")), {}
  if type(module) ~= "table" then return json.array { "a policy module returns a table" } end
  local cases = module.cases or {}
  faults[1] = why_no_state(module)
  if type(cases) ~= "table" then
    faults[#faults + 1] = ("cases must be a list of cases, not a %s"):format(type(cases))
    return json.array(faults)
  end
  for _, case in ipairs(cases) do
    faults[#faults + 1] = failure(module, case)
    if type(case) == "table" and case[1] ~= nil then
      if seen[case[1]] then faults[#faults + 1] = ('case "%s": there are two of that sentence'):format(tostring(case[1])) end
      seen[case[1]] = true
    end
  end
  return json.array(faults)
end

return M
