-- What cases assert: assert(value, message), assert.equal, assert.same, assert.is_true, assert.has_error and their like, by the names
-- that luassert gives them. Words such as is, are and has only make them read well; not and no turn them around.

local differences = require "coxswain.differences"

local show = differences.show

-- Each returns whether it holds, and what to say if it does not. A text behind what it takes is said, too.
local checks = {}

function checks.equal(expected, got) return expected == got, ("expected %s, got %s"):format(show(expected), show(got)) end

function checks.same(expected, got)
  local found = differences.list(expected, got)
  return #found == 0, table.concat(found, "\n")
end

function checks.near(expected, got, tolerance)
  local is_near = type(got) == "number" and math.abs(got - expected) <= tolerance
  return is_near, ("expected %s within %s, got %s"):format(show(expected), show(tolerance), show(got))
end

function checks.matches(pattern, text)
  local is_match = type(text) == "string" and (text:find(pattern, 1, true) or text:find(pattern)) ~= nil
  return is_match, ("expected a text with %s, got %s"):format(show(pattern), show(text))
end

function checks.error(call, text)
  local is_good, message = pcall(call)
  if is_good then return false, "expected an error, got none" end
  local said = type(message) == "table" and message.message or tostring(message)
  return text == nil or said:find(text, 1, true) ~= nil, ("expected an error with %s, got %s"):format(show(text), show(said))
end

checks["true"] = function(got) return got == true, "expected true, got " .. show(got) end
checks["false"] = function(got) return got == false, "expected false, got " .. show(got) end
checks["nil"] = function(got) return got == nil, "expected nothing, got " .. show(got) end
function checks.truthy(got) return got and true or false, "expected something true, got " .. show(got) end
function checks.falsy(got) return not got, "expected nil or false, got " .. show(got) end

for _, kind in ipairs { "table", "string", "number", "boolean", "function" } do
  checks[kind] = function(got) return type(got) == kind, ("expected a %s, got %s"):format(kind, show(got)) end
end

checks.equals, checks.match, checks.errors = checks.equal, checks.matches, checks.error

local takes = { equal = 2, equals = 2, same = 2, near = 3, matches = 2, match = 2, error = 2, errors = 2 } -- all others: 1

local fillers = { is = true, are = true, has = true, a = true, an = true, be = true, to = true }

local chain

-- "is_not_nil" → the check, and whether it is turned around.
local function resolve(key, is_negated)
  local words = {}
  for word in key:gmatch "[^_]+" do
    if word == "not" or word == "no" then is_negated = not is_negated
    elseif not fillers[word] then words[#words + 1] = word end
  end
  if #words == 0 then return chain(is_negated) end
  local name = table.concat(words, "_")
  local check = checks[name]
  if not check then error(("assert.%s: there is no such check"):format(key), 3) end
  return function(...)
    local holds, why = check(...)
    local remark = select((takes[name] or 1) + 1, ...)
    if is_negated then holds, why = not holds, ("assert.%s: it should not hold of %s"):format(key, show((...))) end
    if not holds then error(remark ~= nil and ("%s: %s"):format(tostring(remark), why) or why, 2) end
  end
end

function chain(is_negated)
  return setmetatable({}, {
    __index = function(_, key)
      local check = resolve(key, is_negated) -- no tail call: an error names who called
      return check
    end,
    __call = function(_, value, message, ...)
      if value then return value, message, ... end
      error(message == nil and "assertion failed!" or message, 2)
    end,
  })
end

return chain(false)
