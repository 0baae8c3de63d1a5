-- The cases beside the policy: small examples of node and world with what must come out. They must hold before a set of scripts
-- may go live.

local M = {}

local function show(value, depth)
  if type(value) == "string" then return ("%q"):format(value) end
  if type(value) ~= "table" then return tostring(value) end
  if depth > 3 then return "{…}" end
  local keys, parts = {}, {}
  for key in pairs(value) do keys[#keys + 1] = key end
  table.sort(keys, function(left, right) return tostring(left) < tostring(right) end)
  for _, key in ipairs(keys) do
    local name = type(key) == "string" and key .. " = " or ""
    parts[#parts + 1] = name .. show(value[key], depth + 1)
  end
  return "{ " .. table.concat(parts, ", ") .. " }"
end

-- The first place where `got` is not what `expected` asks for, or nil. What is not named in `expected` may be anything;
-- lists must be equal.
local function difference(expected, got, path)
  if type(expected) ~= "table" then
    if expected == got then return nil end
    return ("%s: expected %s, got %s"):format(path, show(expected, 1), show(got, 1))
  end
  if type(got) ~= "table" then return ("%s: expected %s, got %s"):format(path, show(expected, 1), show(got, 1)) end
  if #expected ~= #got then return ("%s: expected %s, got %s"):format(path, show(expected, 1), show(got, 1)) end
  for key, value in pairs(expected) do
    local found = difference(value, got[key], path == "" and tostring(key) or path .. "." .. tostring(key))
    if found then return found end
  end
end

-- What is wrong with one case, or nil.
local function failure(module, case)
  if type(case) ~= "table" or type(case[1]) ~= "string" then return "a case begins with a sentence that says what must hold" end
  local call = module[case.call or "intent"]
  if type(call) ~= "function" then return ("case \"%s\": there is no function %s to call"):format(case[1], case.call or "intent") end
  local is_good, got = pcall(call, case.node, case.world)
  if not is_good then return ("case \"%s\" failed: %s"):format(case[1], tostring(got)) end
  if case.expect == false then
    if got == nil then return nil end
    return ("case \"%s\": expected nothing, got %s"):format(case[1], show(got, 1))
  end
  local found = difference(case.expect, got, "")
  return found and ("case \"%s\": %s"):format(case[1], found)
end

--- Runs the cases of all policy modules.
---@param files string[] "policy/phases", without the ending
---@return { file: string, message: string }[] faults
function M.run(files)
  local faults = {}
  local function add(file, message) faults[#faults + 1] = { file = file .. ".lua", message = message } end
  for _, file in ipairs(files) do
    local module = require(file:gsub("/", "."))
    if type(module) ~= "table" then
      add(file, "a policy module returns a table")
    else
      for _, case in ipairs(module.cases or {}) do
        local message = failure(module, case)
        if message then add(file, message) end
      end
    end
  end
  return json.array(faults)
end

return M
