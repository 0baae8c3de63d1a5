--- What a console session sees: its globals, how values are shown, what Tab offers. The functions of `native` are C's (console.c);
--- all else is here, and runs within the budget of a line.

local pretty = require "coxswain.pretty"

local M = {}

local ROWS, WORDS = 100, 200 -- of a list of nodes; that Tab offers

-- Names of the console itself with one line of help each, in the order in which they are explained.
local helps = {
  { "nodes", 'The nodes as of this line: nodes.node1, nodes["node-2"], nodes[1], #nodes, for id, node in pairs(nodes)' },
  { "world", "Epoch, phase, block and whatever else policy decides from, as of this line" },
  { "broker.command", "(name, args?) Sends a command, as in broker.command(\"reconcile\", { node_id = \"node1\" }); its answer, or nil and why" },
  { "help", "(name?) This, or what a command does" },
  { "print", "(…) Shows values as text" },
  { "require(name)", "A module of the scripts or of the library, as in require \"policy.phases\": the files as they were when the session began" },
}

local keywords = {
  "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "goto", "if", "in", "local", "nil", "not", "or", "repeat",
  "return", "then", "true", "until", "while",
}

local function nodes_of(native)
  local function at(_, key)
    if math.type(key) == "integer" then return native.node_at(key) end
    if type(key) == "string" then return native.node(key) end
  end
  local function each()
    local i = 0
    return function()
      i = i + 1
      local node = native.node_at(i)
      if node then return node.id, node end
    end
  end
  local function refuse() error("nodes are read here; they change by broker.command: see help()", 2) end
  return setmetatable({}, { __index = at, __len = native.count, __pairs = each, __newindex = refuse, __metatable = "nodes" })
end

local function broker_of(native)
  local function command(name, args)
    if type(name) ~= "string" then error("broker.command: the name of a command is a string, as in broker.command(\"reconcile\")", 2) end
    if args ~= nil and type(args) ~= "table" then error("broker.command: arguments are a table, as in { node_id = \"node1\" }", 2) end
    return native.command(name, args)
  end
  return { command = command }
end

-- ---- help ----

local function wrap(text, indent, width)
  if width == 0 then return text end
  local lines, line = {}, ""
  for word in text:gmatch "%S+" do
    if line ~= "" and indent + utf8.len(line) + 1 + utf8.len(word) > width then
      lines[#lines + 1], line = line, word
    else
      line = line == "" and word or line .. " " .. word
    end
  end
  lines[#lines + 1] = line
  return table.concat(lines, "\n" .. (" "):rep(indent))
end

local function help_all(native, width)
  local lines = { "Lua sees these, and your own variables stay from line to line; an expression shows its value:" }
  local function add(name, text) lines[#lines + 1] = ("  %-25s %s"):format(name, wrap(text, 28, width)) end
  for _, entry in ipairs(helps) do add(entry[1], entry[2]) end
  lines[#lines + 1] = "\nCommands, for broker.command or `command NAME key=value…`:"
  for _, command in ipairs(native.commands()) do add(command.name, command.help or "") end
  return table.concat(lines, "\n")
end

-- The names of the arguments, needed ones first; optional ones end with "?".
local function arguments_of(command)
  local names = {}
  for name in pairs(command.args or {}) do names[#names + 1] = name end
  table.sort(names, function(one, other)
    local is_optional = one:find "%?$" ~= nil
    if is_optional ~= (other:find "%?$" ~= nil) then return not is_optional end
    return one < other
  end)
  return #names > 0 and table.concat(names, ", ") or "none"
end

local function help_one(native, name, width)
  for _, command in ipairs(native.commands()) do
    if command.name == name then
      return ("%s\n  %s\n  arguments: %s\n  priority: %s"):format(name, wrap(command.help or "no help", 2, width), wrap(arguments_of(command), 13, width),
        command.priority or "high")
    end
  end
  for _, entry in ipairs(helps) do
    if entry[1] == name or entry[1]:match "^%w+" == name then return entry[1] .. "\n  " .. entry[2] end
  end
end

-- ---- what was meant ----

local reserved = {}
for _, word in ipairs(keywords) do reserved[word] = true end

-- The name that a line begins with when it stands alone, or with arguments as commands have them, and nothing has that name.
local function unknown_name(session, line)
  local name = line:match "^%s*([%a_][%w_]*)%s*$" or line:match "^%s*([%a_][%w_]*)%s+[%a_][%w_]*=[^=]"
  if not name or reserved[name] or name == "world" or session.env[name] ~= nil then return nil end
  return name
end

--- A sentence instead of the line's outcome: a command of the broker was typed as if it were a word of the console. A name that nothing
--- has is nil, as in Lua, with a remark.
function M.advise(session, line)
  local name = unknown_name(session, line)
  if not name then return nil end
  for _, command in ipairs(session.native.commands()) do
    if command.name == name then return ("%s is a command of the broker: send it with `command %s`"):format(name, line:match "^%s*(.-)%s*$") end
  end
  session.remark = ("nothing has the name %s: `help` lists what there is"):format(name)
end

-- ---- showing ----

local function show_nodes(native)
  local lines, count = {}, native.count()
  for i = 1, math.min(count, ROWS) do
    local node = native.node_at(i)
    local current, intended = node.current_status, node.intended_status
    if node.poc_current_status ~= "IDLE" then current = current .. "/" .. node.poc_current_status end
    if node.poc_intended_status ~= "IDLE" then intended = intended .. "/" .. node.poc_intended_status end
    lines[i] = ("%-24s %s%s"):format(node.id, current, current ~= intended and " → " .. intended or "")
  end
  if count > ROWS then lines[#lines + 1] = ("… %d more"):format(count - ROWS) end
  return count == 0 and "no nodes" or table.concat(lines, "\n")
end

-- ---- completion ----

-- What a path such as `nodes["node-1"].models` names, without calling anything of the user's. nil: nothing that is known.
local function resolve(session, path)
  local name, rest = path:match "^([%a_][%w_]*)(.*)$"
  if not name then return nil end
  local value = name == "world" and session.native.world() or rawget(session.env, name)
  if value == nil then value = session.base[name] end
  while rest ~= "" and value ~= nil do
    local key, more = rest:match "^%.([%a_][%w_]*)(.*)$"
    if not key then key, more = rest:match '^%["([^"]*)"%](.*)$' end
    if not key then
      key, more = rest:match "^%[(%d+)%](.*)$"
      key = math.tointeger(key)
    end
    if not key then return nil end
    if value == session.nodes then value = session.nodes[key]
    elseif type(value) ~= "table" then return nil
    elseif getmetatable(value) == false then -- a read-only view of ours raises on unknown names
      local behind
      for known, item in pairs(value) do behind = known == key and item or behind end
      value = behind
    else value = rawget(value, key) end
    rest = more
  end
  return value
end

local function begins(word, beginning) return word:sub(1, #beginning) == beginning end

local function offer(start, words)
  table.sort(words)
  for i = #words, WORDS + 1, -1 do words[i] = nil end
  return { start = start, words = json.array(words) }
end

local function matching(list, beginning, ending)
  local words = {}
  for _, word in ipairs(list) do
    if begins(word, beginning) then words[#words + 1] = word .. ending end
  end
  return words
end

local function command_names(native)
  local names = {}
  for i, command in ipairs(native.commands()) do names[i] = command.name end
  return names
end

-- Inside of a string: an id, or the name of a command.
local function complete_string(session, line)
  local start, beginning = line:match '%f[%a_]nodes%s*%[%s*"()([^"]*)$'
  if start then return offer(start - 1, matching(session.native.ids(), beginning, '"]')) end
  start, beginning = line:match '%f[%a_]broker%.command%s*%(?%s*"()([%w_]*)$'
  if not start then start, beginning = line:match '%f[%a_]help%s*%(?%s*"()([%w_]*)$' end
  if start then return offer(start - 1, matching(command_names(session.native), beginning, '"')) end
end

-- Ids are offered from the dot on: those that are no names need brackets instead.
local function complete_id(session, dot, beginning)
  local words = {}
  for _, id in ipairs(session.native.ids()) do
    if begins(id, beginning) then words[#words + 1] = pretty.is_name(id) and "." .. id or "[" .. pretty.quote(id, 1000) .. "]" end
  end
  return offer(dot - 1, words)
end

local function complete_field(session, path, dot, beginning)
  local value = resolve(session, path)
  if value == session.nodes then return complete_id(session, dot, beginning) end
  if type(value) == "string" then value = session.base.string end
  local words = {}
  if type(value) == "table" then
    for _, key in ipairs(pretty.keys(value)) do
      if pretty.is_name(key) and begins(key, beginning) then words[#words + 1] = key end
    end
  end
  return offer(dot, words)
end

local function complete_name(session, start, beginning)
  local seen, words = {}, {}
  local function add(name)
    if type(name) == "string" and begins(name, beginning) and not seen[name] then
      seen[name] = true
      words[#words + 1] = name
    end
  end
  for name in next, session.env do add(name) end
  for name in next, session.base do add(name) end
  add "world"
  if beginning ~= "" then
    for _, word in ipairs(keywords) do add(word) end
  end
  return offer(start - 1, words)
end

--- What may follow: { start = bytes before what is replaced, words }.
function M.complete(session, line)
  local inside = complete_string(session, line)
  if inside then return inside end
  local path, dot, beginning = line:match '([%a_][%w_%.%[%]"%-]*)()[%.:]([%w_]*)$'
  if path then return complete_field(session, path, dot, beginning) end
  local start, word = line:match "()([%a_][%w_]*)$"
  if start then return complete_name(session, start, word) end
  if line:find "^%s*$" then return complete_name(session, #line + 1, "") end
  return offer(#line, {})
end

-- ---- the session ----

--- A new session. `native`: node(id), node_at(index), count(), ids(), world(), command(name, args), commands(), write(text).
function M.open(native)
  local session = { native = native, nodes = nodes_of(native), base = {}, width = 80 }
  local base = session.base
  for name, value in pairs(_ENV) do base[name] = value end
  base.nodes, base.broker = session.nodes, broker_of(native)
  function base.print(...)
    local texts = table.pack(...)
    for i = 1, texts.n do texts[i] = tostring(texts[i]) end
    native.write(table.concat(texts, "\t") .. "\n")
  end
  function base.help(name)
    local text = name == nil and help_all(native, session.width) or help_one(native, name, session.width)
    native.write((text or ("nothing is known by the name %s: help() lists what there is"):format(tostring(name))) .. "\n")
  end
  local world
  session.env = setmetatable({}, {
    __index = function(_, name)
      if name ~= "world" then return base[name] end
      if world == nil then world = native.world() end
      return world
    end,
    __metatable = "the console's globals",
  })
  --- A line begins: what was read for the last one is old.
  function session.begin(width)
    world = nil
    session.width, session.remark = width, nil
  end
  function session.advise(line) return M.advise(session, line) end
  --- The values of an expression as text.
  function session.show(...)
    local texts = table.pack(...)
    if texts.n == 1 and texts[1] == nil and session.remark then return "nil -- " .. session.remark end
    for i = 1, texts.n do
      texts[i] = rawequal(texts[i], session.nodes) and show_nodes(native) or pretty.show(texts[i], { width = session.width })
    end
    return table.concat(texts, "\n")
  end
  function session.complete(line) return M.complete(session, line) end
  return session
end

return M
