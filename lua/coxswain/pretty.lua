--- Values for people: tables with sorted keys, strings quoted and cleaned, everything cut to a size that can be read.

local M = {}

local keywords = {}
for word in ("and break do else elseif end false for function goto if in local nil not or repeat return then true until while"):gmatch "%a+" do
  keywords[word] = true
end

---@class coxswain.pretty.Limits
---@field depth? integer  tables inside of tables that are opened; 4
---@field items? integer  of one table; 64
---@field text? integer   bytes of one string; 400
---@field total? integer  values altogether; 2000
---@field width? integer  columns; 0: any number; 80

local defaults = { depth = 4, items = 64, text = 400, total = 2000, width = 80 }

--- Can it stand behind a dot, or before a = in a table?
---@return boolean
function M.is_name(key)
  return type(key) == "string" and key:find "^[%a_][%w_]*$" ~= nil and not keywords[key]
end

local escapes = { ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t", ['"'] = '\\"', ["\\"] = "\\\\" }
local function escape(byte) return escapes[byte] or ("\\x%02x"):format(byte:byte()) end

--- Cut behind a whole character.
local function cut(text, bytes)
  while bytes > 0 and (text:byte(bytes + 1) or 0) & 0xC0 == 0x80 do bytes = bytes - 1 end
  return text:sub(1, bytes)
end

--- A string in double quotes in which nothing acts on a terminal.
function M.quote(text, most)
  local rest = ""
  if #text > most then
    rest = ("… (%d bytes)"):format(#text)
    text = cut(text, most)
  end
  if not utf8.len(text) then return '"' .. text:gsub('[%c"\\\x7f-\xff]', escape) .. '"' .. rest end
  text = text:gsub('[%c"\\\x7f]', escape)
  text = text:gsub("\u{85}", "\\u{85}"):gsub("\xc2[\x80-\x9f]", function(code) return ("\\u{%x}"):format(utf8.codepoint(code)) end)
  text = text:gsub("\xe2\x80[\x8e\x8f\xa8-\xae]", function(code) return ("\\u{%x}"):format(utf8.codepoint(code)) end)
  text = text:gsub("\xe2\x81[\xa6-\xa9]", function(code) return ("\\u{%x}"):format(utf8.codepoint(code)) end)
  return '"' .. text .. '"' .. rest
end

local order = { number = 1, string = 2, boolean = 3 }

--- Numbers before strings before the rest, each in its order.
local function before(left, right)
  local a, b = order[type(left)] or 4, order[type(right)] or 4
  if a ~= b then return a < b end
  if a <= 2 then return left < right end
  return tostring(left) < tostring(right)
end

-- A read-only view of the sandbox is empty by itself; its pairs() shows what is behind it.
local function is_view(value) return getmetatable(value) == false end

local function each(value)
  if is_view(value) then return pairs(value) end
  return next, value
end

--- The keys of a table, sorted.
---@return any[] keys
function M.keys(value)
  local keys = {}
  for key in each(value) do keys[#keys + 1] = key end
  table.sort(keys, before)
  return keys
end

local function is_list(value, keys) return not is_view(value) and #keys > 0 and #keys == rawlen(value) end

local show -- (state, value, depth, indent): text on one line, or on several

local function show_key(state, key)
  if M.is_name(key) then return key end
  if type(key) == "string" then return "[" .. M.quote(key, state.limits.text) .. "]" end
  return "[" .. show(state, key, state.limits.depth, "") .. "]"
end

--- The items of a table as texts, without the braces.
local function items_of(state, value, depth, indent)
  local items, keys = {}, M.keys(value)
  local list, get = is_list(value, keys), is_view(value) and function(t, key) return t[key] end or rawget
  for i, key in ipairs(keys) do
    if i > state.limits.items or state.left <= 0 then
      items[i] = ("… %d more"):format(#keys - i + 1)
      break
    end
    local text = show(state, get(value, key), depth + 1, indent)
    items[i] = list and text or show_key(state, key) .. " = " .. text
  end
  return items
end

local function show_table(state, value, depth, indent)
  if state.open[value] then return "{ … itself }" end
  if not is_view(value) and next(value) == nil then return "{}" end
  if depth >= state.limits.depth then return "{ … }" end
  state.open[value] = true
  local inner = indent .. "  "
  local items = items_of(state, value, depth, inner)
  state.open[value] = nil
  local line = "{ " .. table.concat(items, ", ") .. " }"
  local is_short = state.limits.width == 0 and #line <= 400 or #line + #indent <= state.limits.width
  if is_short and not line:find("\n", 1, true) then return line end
  return "{\n" .. inner .. table.concat(items, ",\n" .. inner) .. "\n" .. indent .. "}"
end

show = function(state, value, depth, indent)
  state.left = state.left - 1
  local kind = type(value)
  if kind == "string" then return M.quote(value, state.limits.text) end
  if kind == "table" then return show_table(state, value, depth, indent) end
  if kind == "number" or kind == "boolean" or kind == "nil" then return tostring(value) end
  if value == json.null then return "null" end
  return "<" .. kind .. ">"
end

--- A value as text. A table's metatable is not asked: what is shown is what is in it.
---@param value any
---@param limits? coxswain.pretty.Limits
---@return string
function M.show(value, limits)
  local chosen = {}
  for key, fallback in pairs(defaults) do chosen[key] = limits and limits[key] or fallback end
  return show({ limits = chosen, open = {}, left = chosen.total }, value, 0, "")
end

return M
