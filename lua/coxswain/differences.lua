-- Says in what two plain values differ, key by key, for people.

local M = {}

local DEPTH_MAX, LISTED_MAX = 4, 12

local function sorted_keys(value)
  local keys = {}
  for key in pairs(value) do keys[#keys + 1] = key end
  table.sort(keys, function(left, right)
    if type(left) == type(right) and type(left) ~= "boolean" and type(left) ~= "table" then return left < right end
    return tostring(left) < tostring(right)
  end)
  return keys
end

local function show(value, depth)
  if value == nil then return "nothing" end
  if type(value) == "string" then return (("%q"):format(value):gsub("\\\n", "\\n")) end
  if type(value) ~= "table" then return tostring(value) end
  if next(value) == nil then return "{}" end
  if depth > DEPTH_MAX then return "{…}" end
  local parts = {}
  for i, key in ipairs(sorted_keys(value)) do
    local is_item = key == i
    local name = type(key) == "string" and key:find("^[%a_][%w_]*$") and key or ("[%s]"):format(show(key, depth))
    parts[#parts + 1] = is_item and show(value[key], depth + 1) or name .. " = " .. show(value[key], depth + 1)
  end
  return "{ " .. table.concat(parts, ", ") .. " }"
end

--- A value on one line, keys sorted.
function M.show(value) return show(value, 1) end

local function join(path, key)
  if type(key) ~= "string" then return ("%s[%s]"):format(path, tostring(key)) end
  return path == "" and key or path .. "." .. key
end

local compare

local function compare_keys(expected, got, path, is_partial, found)
  for _, key in ipairs(sorted_keys(expected)) do compare(expected[key], got[key], join(path, key), is_partial, found) end
  for _, key in ipairs(sorted_keys(got)) do
    local is_extra = expected[key] == nil
    if is_extra and not (is_partial and type(key) == "string") then
      found[#found + 1] = ("%s: expected nothing, got %s"):format(join(path, key), show(got[key], 1))
    end
  end
end

function compare(expected, got, path, is_partial, found)
  if type(expected) == "table" and type(got) == "table" then return compare_keys(expected, got, path, is_partial, found) end
  if expected == got then return end
  local name = path == "" and "" or path .. ": "
  found[#found + 1] = ("%sexpected %s, got %s"):format(name, show(expected, 1), show(got, 1))
end

--- What is not as expected, one line for each key.
---@param expected any
---@param got any
---@param options { is_partial: boolean }? partial: names that `expected` does not mention may be anything; lists must be whole
---@return string[] found empty: they are equal
function M.list(expected, got, options)
  local found = {}
  compare(expected, got, "", options and options.is_partial or false, found)
  if #found > LISTED_MAX then
    local rest = #found - LISTED_MAX
    for i = #found, LISTED_MAX + 1, -1 do found[i] = nil end
    found[#found + 1] = ("and %d more"):format(rest)
  end
  return found
end

return M
