-- Lua's words: what lua/coxswain/lint.lua reads, and where the words of a message stand in a file.

local M = {}

local keywords = {}
for word in ([[and break do else elseif end false for function goto if in local nil not or repeat return then true until while]]):gmatch "%a+" do
  keywords[word] = true
end

local signs = { -- the longest first
  { ["..."] = true },
  { [".."] = true, ["::"] = true, ["=="] = true, ["~="] = true, ["<="] = true, [">="] = true, ["//"] = true, ["<<"] = true, [">>"] = true },
}

local escapes = { a = "\a", b = "\b", f = "\f", n = "\n", r = "\r", t = "\t", v = "\v" }

-- What a short string says, as far as people compare it: exact but for \x, \ddd and \u, which stay as they are written.
local function unescape(body)
  if not body:find("\\", 1, true) then return body end
  body = body:gsub("\\z%s*", "")
  return (body:gsub("\\([abfnrtv\\\"'\n])", function(c) return escapes[c] or c end))
end

local function count_lines(text, from, to)
  local count, at = 0, from
  while true do
    at = text:find("\n", at, true)
    if not at or at > to then return count end
    count, at = count + 1, at + 1
  end
end

-- The end of a long bracket that begins at `at`: its text and the place behind it. nil: none begins there.
local function long_bracket(text, at)
  local level = text:match("^%[(=*)%[", at)
  if not level then return nil end
  local _, behind = text:find("]" .. level .. "]", at, true)
  behind = behind or #text
  return text:sub(at + #level + 2, behind - #level - 2), behind + 1
end

local function short_string(text, at)
  local quote, from = text:sub(at, at), at + 1
  while true do
    local found = text:find("[\\" .. quote .. "]", from)
    if not found then return text:sub(at + 1), #text + 1 end
    if text:sub(found, found) == quote then return unescape(text:sub(at + 1, found - 1)), found + 1 end
    from = found + (text:match("^\\z%s*()", found) or found + 2) - found
  end
end

local function number(text, at)
  local behind = text:match("^0[xX][%x.]*()", at)
  if behind then return text:match("^[pP][+-]?%d+()", behind) or behind end
  behind = text:match("^[%d.]+()", at)
  return text:match("^[eE][+-]?%d+()", behind) or behind
end

local function sign(text, at)
  for i, set in ipairs(signs) do
    local word = text:sub(at, at + 3 - i)
    if #word == 4 - i and set[word] then return word end
  end
  return text:sub(at, at)
end

--- Reads a text that compiles.
---@param text string
---@return { kinds: string[], values: string[], lines: integer[], comments: table<integer, string> } tokens kinds are name, string,
---number, sign (keywords too), and one end; comments by the line in which one begins
function M.read(text)
  local kinds, values, lines, comments = {}, {}, {}, {}
  local at, line = 1, 1
  local function add(kind, value) kinds[#kinds + 1], values[#values + 1], lines[#lines + 1] = kind, value, line end
  if text:sub(1, 3) == "\xEF\xBB\xBF" then at = 4 end -- a byte order mark
  if text:sub(at, at) == "#" then at = text:find("\n", at, true) or #text + 1 end
  while true do
    local begin = text:match("^[ \t\r\f\v]*()", at)
    if begin > #text then break end
    local c = text:sub(begin, begin)
    local behind
    if c == "\n" then
      line, behind = line + 1, begin + 1
    elseif text:find("^%-%-", begin) then
      local _, long_end = long_bracket(text, begin + 2)
      behind = long_end or text:find("\n", begin, true) or #text + 1
      comments[line] = text:sub(begin, behind - 1)
      if long_end then line = line + count_lines(text, begin, behind - 1) end
    elseif text:find("^[%a_]", begin) then
      local word
      word, behind = text:match("^([%w_]+)()", begin)
      add(keywords[word] and "sign" or "name", word)
    elseif c == '"' or c == "'" then
      local value
      value, behind = short_string(text, begin)
      add("string", value)
      line = line + count_lines(text, begin, behind - 1)
    elseif text:find("^%.?%d", begin) then
      behind = number(text, begin)
      add("number", text:sub(begin, behind - 1))
    elseif text:find("^%[=*%[", begin) then
      local value
      value, behind = long_bracket(text, begin)
      add("string", value)
      line = line + count_lines(text, begin, behind - 1)
    else
      local word = sign(text, begin)
      add("sign", word)
      behind = begin + #word
    end
    at = behind
  end
  add("end")
  return { kinds = kinds, values = values, lines = lines, comments = comments }
end

-- The line of `name = ` with that path of keys before it ("reach.STOPPED"): the deepest key that is there.
local function line_of_path(tokens, path)
  local found, at = nil, 1
  for key in path:gmatch "[%w_]+" do
    local place
    for i = at, #tokens.kinds - 1 do
      local is_key = tokens.values[i] == key and (tokens.kinds[i] == "name" or tokens.kinds[i] == "string")
      local follows = tokens.values[i + 1]
      if is_key and tokens.kinds[i + 1] == "sign" and (follows == "=" or follows == "]") then
        place = i
        break
      end
    end
    if not place then break end
    found, at = tokens.lines[place], place + 1
  end
  return found
end

local function line_of_text(tokens, wanted)
  for i, value in ipairs(tokens.values) do
    if value == wanted and tokens.kinds[i] == "string" then return tokens.lines[i] end
  end
end

local opens = { ["function"] = true, ["do"] = true, ["if"] = true, ["repeat"] = true }
local closes = { ["end"] = true, ["until"] = true }

-- The line of the return that stands in no function and no block.
local function line_of_return(tokens)
  local depth, line = 0, 1
  for i, value in ipairs(tokens.values) do
    if tokens.kinds[i] == "sign" then
      if opens[value] then depth = depth + 1
      elseif closes[value] then depth = depth - 1
      elseif value == "return" and depth == 0 then line = tokens.lines[i] end
    end
  end
  return line
end

--- The line of a file that a message about what it returned is about: that of the case it quotes, of the field it names, or of
--- what is returned.
---@param text string
---@param message string
---@return integer line
function M.locate(text, message)
  local tokens = M.read(text)
  local case, field = message:match '^case "(.-)"[: ]', message:match "^%l+ [%w_]+: unknown field ([%w_]+)"
  field = field or message:match "^%l+ [%w_]+: ([%w_.]+)"
  local line = case and line_of_text(tokens, case) or field and line_of_path(tokens, field)
  return line or line_of_return(tokens)
end

return M
