-- Looks for faults in a script's text that running it might never show: names that nothing declares, fields that a library, a module
-- or one of our objects does not have, modules that are not there, keys that a table has twice. It reads the text as Lua's own
-- compiler does, scope by scope; what it cannot be sure of it leaves alone. The text must compile.

local lexer = require "coxswain.lexer"

local M = {}

---@class coxswain.lint.Options
---@field globals table<string, any> what scripts of this context see
---@field modules table<string, boolean> names that require finds
---@field classes table<string, table<string, boolean>>? fields and methods of the objects that annotations name
---@field parameters table<string, string[]>? classes of the parameters of a function that stands in the returned table at that key
---@field module string? name by which the others require this file

local loaders = { require = true } -- globals that give a module

local Reader = {}
Reader.__index = Reader

-- ---- tokens ----

function Reader:next()
  self.at = self.at + 1
  self.kind, self.value, self.line = self.tokens.kinds[self.at], self.tokens.values[self.at], self.tokens.lines[self.at]
end

function Reader:accept(sign)
  if self.kind ~= "sign" or self.value ~= sign then return false end
  self:next()
  return true
end

function Reader:expect(sign)
  if not self:accept(sign) then error(("line %d: %s expected near %s"):format(self.line, sign, tostring(self.value)), 0) end
end

function Reader:name()
  local name = self.value
  if self.kind ~= "name" then error(("line %d: a name expected near %s"):format(self.line, tostring(name)), 0) end
  self:next()
  return name
end

function Reader:is(sign) return self.kind == "sign" and self.value == sign end

function Reader:fault(line, format, ...)
  self.faults[#self.faults + 1] = { line = line, message = format:format(...) }
end

-- ---- scopes ----

function Reader:open() self.scope = setmetatable({}, { __index = self.scope }) end

function Reader:close() self.scope = getmetatable(self.scope).__index end

function Reader:declare(name, known)
  self.scope[name] = known or {}
end

-- ---- what names mean ----

local tested = { ["or"] = true, ["and"] = true, ["=="] = true, ["~="] = true, ["then"] = true, ["do"] = true } -- asks whether it is there

local function list_some(fields)
  local names = {}
  for name in pairs(fields) do names[#names + 1] = tostring(name) end
  table.sort(names)
  if #names > 12 then return "" end
  return " (there are " .. table.concat(names, ", ") .. ")"
end

-- The fields of a library or module; nil when they are not known.
local function fields_of(value)
  if type(value) ~= "table" then return nil end
  local fields = {}
  for name in pairs(value) do fields[name] = true end
  return fields
end

function Reader:module_fields(name)
  if self.loaded[name] == nil then
    local is_good, value = pcall(require, name)
    self.loaded[name] = is_good and type(value) == "table" and getmetatable(value) == nil and value or false
  end
  return self.loaded[name] and fields_of(self.loaded[name])
end

-- `what`: what stands before the dot; `name`: what stands behind it, at `line`.
function Reader:check_field(what, name, line)
  local fields, owner
  if what.global and self.globals[what.global] ~= nil then
    fields, owner = fields_of(self.globals[what.global]), what.global
  elseif what.module then
    fields, owner = self:module_fields(what.module), "module " .. what.module
  elseif what.class then
    fields, owner = self.classes[what.class], what.class:match "[^.]+$"
  end
  if not fields or fields[name] then return end
  if what.module and (tested[self.value] or self:is "=") then return end
  self:fault(line, "%s has no field %s%s", owner, name, list_some(fields))
end

function Reader:check_global(what)
  local name = what.global
  if not name or self.globals[name] ~= nil or name == "_ENV" then return end
  self:fault(what.line, "unknown global '%s': declare it with local, or see scripts/README.md for what there is", name)
end

function Reader:check_module(name, line)
  if self.modules[name] then return end
  local place = name:find "^coxswain%." and "the trusted library" or "the folder of scripts"
  self:fault(line, "require: there is no module '%s': %s.lua is not in %s", name, (name:gsub("%.", "/")), place)
end

-- ---- expressions ----

-- What an expression is known to be: { global, line }, a local's { module, class, path }, or {}.
local unknown = {}

function Reader:primary()
  if self:accept "(" then
    self:expression()
    self:expect ")"
    return unknown
  end
  local line, name = self.line, self:name()
  local known = self.scope[name]
  if known then return known end
  return { global = name, line = line }
end

function Reader:arguments()
  if self.kind == "string" then
    local text = self.value
    self:next()
    return text
  end
  if self:is "{" then
    self:constructor()
    return nil
  end
  self:expect "("
  local text = self.kind == "string" and self.value or nil
  if text and not (self.tokens.kinds[self.at + 1] == "sign" and self.tokens.values[self.at + 1] == ")") then text = nil end
  if not self:is ")" then self:expressions() end
  self:expect ")"
  return text
end

-- What a call gives, as far as it is known.
function Reader:result(what, method, text, line)
  if loaders[what.global or ""] and not method and text then
    self:check_module(text, line)
    return self.modules[text] and { module = text } or unknown
  end
  if what.class == "coxswain.Broker" and method == "node" then return { class = "coxswain.Node" } end
  if what.class == "coxswain.Broker" and method == "nodes" then return { iterates = "coxswain.Node" } end
  return unknown
end

-- Returns what it is, and whether it can be assigned to.
function Reader:suffixed()
  local what = self:primary()
  local is_place, checked = true, what
  while true do
    local line = self.line
    if self:is "." or self:is ":" then
      local is_method = self:is ":"
      self:next()
      local name = self:name()
      self:check_global(checked)
      self:check_field(what, name, line)
      if is_method then
        local text = self:arguments()
        what, is_place = self:result(what, name, text, line), false
      else
        what, is_place = unknown, true
      end
    elseif self:accept "[" then
      self:check_global(checked)
      self:expression()
      self:expect "]"
      what, is_place = unknown, true
    elseif self:is "(" or self:is "{" or self.kind == "string" then
      self:check_global(checked)
      local text = self:arguments()
      what, is_place = self:result(what, nil, text, line), false
    else
      return what, is_place
    end
    checked = unknown
  end
end

function Reader:constructor(path)
  self:expect "{"
  local seen = {}
  while not self:is "}" do
    local key, line
    if self.kind == "name" and self.tokens.values[self.at + 1] == "=" and self.tokens.kinds[self.at + 1] == "sign" then
      line, key = self.line, self:name()
      self:next()
    elseif self:accept "[" then
      local is_text = self.kind == "string" and self.tokens.values[self.at + 1] == "]"
      line, key = self.line, is_text and self.value or nil
      self:expression()
      self:expect "]"
      self:expect "="
    end
    if key and seen[key] then self:fault(line, "this table has the key %s twice: first in line %d", key, seen[key]) end
    if key then seen[key] = line end
    self:expression(key and path and (path == "" and key or path .. "." .. key) or nil)
    if not (self:accept "," or self:accept ";") then break end
  end
  self:expect "}"
end

-- The classes of a function's parameters: of its annotations, else of its place in the returned table.
function Reader:classes_of(line, path)
  local classes = {}
  for i = line - 1, 1, -1 do
    local comment = self.tokens.comments[i]
    if not comment then break end
    local name, class = comment:match "^%-%-%-@param%s+([%a_][%w_]*)%??%s+([%w_.]+)"
    if name then classes[name] = class end
  end
  local by_place = path and (self.parameters[path] or self.parameters[path:gsub("[^.]+$", "*")])
  return classes, by_place or {}
end

function Reader:body(line, path, is_method)
  self.depth = self.depth + 1 -- a return in it is not the file's
  local classes, by_place = self:classes_of(line, path)
  self:open()
  if is_method then self:declare "self" end
  self:expect "("
  local count = 0
  while not self:is ")" do
    if not self:accept "..." then
      local name = self:name()
      count = count + 1
      local class = classes[name] or by_place[count]
      self:declare(name, self.classes[class] and { class = class } or nil)
    end
    if not self:accept "," then break end
  end
  self:expect ")"
  self:block()
  self:expect "end"
  self:close()
  self.depth = self.depth - 1
end

function Reader:simple(path)
  if self.kind == "number" or self.kind == "string" then
    self:next()
    return unknown
  end
  if self:is "nil" or self:is "true" or self:is "false" or self:is "..." then
    self:next()
    return unknown
  end
  if self:is "{" then
    self:constructor(path)
    return { fresh = true }
  end
  local line = self.line
  if self:accept "function" then
    self:body(line, path)
    return unknown
  end
  local what = self:suffixed()
  self:check_global(what)
  return what
end

local unary = { ["not"] = true, ["-"] = true, ["#"] = true, ["~"] = true }
local binary = { ["+"] = true, ["-"] = true, ["*"] = true, ["/"] = true, ["//"] = true, ["^"] = true, ["%"] = true, ["&"] = true, ["~"] = true,
  ["|"] = true, [">>"] = true, ["<<"] = true, [".."] = true, ["<"] = true, ["<="] = true, [">"] = true, [">="] = true, ["=="] = true,
  ["~="] = true, ["and"] = true, ["or"] = true }

-- Precedence does not matter for what names mean.
function Reader:expression(path)
  local is_plain = true
  while self.kind == "sign" and unary[self.value] do
    is_plain = false
    self:next()
  end
  local what = self:simple(path)
  while self.kind == "sign" and binary[self.value] do
    is_plain = false
    self:next()
    self:expression()
  end
  return is_plain and what or unknown
end

function Reader:expressions()
  local list = {}
  repeat list[#list + 1] = self:expression() until not self:accept ","
  return list
end

-- ---- statements ----

local ends = { ["end"] = true, ["else"] = true, ["elseif"] = true, ["until"] = true }

-- `is_open`: the caller closes the scope (repeat … until sees the locals of its block).
function Reader:block(is_open)
  if not is_open then self:open() end
  while self.kind ~= "end" and not (self.kind == "sign" and ends[self.value]) do
    if self:accept "return" then
      if self.kind ~= "end" and not self:is ";" and not (self.kind == "sign" and ends[self.value]) then
        repeat self:expression(self.depth == 0 and "" or nil) until not self:accept ","
      end
      self:accept ";"
      break
    end
    self:statement()
  end
  if not is_open then self:close() end
end

local statements = {}

statements[";"] = function() end
statements["::"] = function(self)
  self:name()
  self:expect "::"
end
statements["goto"] = function(self) self:name() end
statements["break"] = function() end
statements["do"] = function(self)
  self:block()
  self:expect "end"
end
statements["while"] = function(self)
  self:expression()
  self:expect "do"
  self:block()
  self:expect "end"
end
statements["repeat"] = function(self)
  self:open()
  self:block(true)
  self:expect "until"
  self:expression()
  self:close()
end
statements["if"] = function(self)
  self:expression()
  self:expect "then"
  self:block()
  while self:accept "elseif" do
    self:expression()
    self:expect "then"
    self:block()
  end
  if self:accept "else" then self:block() end
  self:expect "end"
end
statements["for"] = function(self)
  local names = { self:name() }
  while self:accept "," do names[#names + 1] = self:name() end
  local values
  if self:accept "=" then values = self:expressions()
  else
    self:expect "in"
    values = self:expressions()
  end
  self:expect "do"
  self:open()
  for i, name in ipairs(names) do self:declare(name, i == 1 and values[1].iterates and { class = values[1].iterates } or nil) end
  self:block()
  self:close()
  self:expect "end"
end
statements["function"] = function(self, line)
  local what = self:primary()
  local is_method, has_field = false, false
  while self:is "." or self:is ":" do
    is_method, has_field = self:is ":", true
    self:next()
    self:name()
  end
  if what.global and not has_field then self:fault(what.line, "function '%s' would be a global: begin with `local function`", what.global)
  else self:check_global(what) end
  self:body(line, nil, is_method)
end
statements["local"] = function(self, line)
  if self:accept "function" then
    self:declare(self:name())
    self:body(line)
    return
  end
  local names = {}
  repeat
    names[#names + 1] = self:name()
    if self:accept "<" then
      self:name()
      self:expect ">"
    end
  until not self:accept ","
  local values = self:accept "=" and self:expressions() or {}
  for i, name in ipairs(names) do
    local what = values[i]
    local known = what and (what.module or what.class or what.iterates) and { module = what.module, class = what.class, iterates = what.iterates }
    if what and what.fresh and name == self.returned then known = { module = self.module } end
    self:declare(name, known)
  end
end

function Reader:assign(what, is_place)
  local places = { what }
  while self:accept "," do
    places[#places + 1], is_place = self:suffixed()
  end
  if not is_place and not self:is "=" then error(("line %d: = expected near %s"):format(self.line, tostring(self.value)), 0) end
  self:expect "="
  for _, place in ipairs(places) do
    if place.global then self:fault(place.line, "'%s' would be a global: declare it with local", place.global) end
    if place ~= unknown then place.module, place.class, place.iterates = nil, nil, nil end -- not what it was any more
  end
  self:expressions()
end

function Reader:statement()
  local line = self.line
  local known = self.kind == "sign" and statements[self.value]
  self.depth = self.depth + 1
  if known then
    self:next()
    known(self, line)
  else
    local what, is_place = self:suffixed()
    if self:is "=" or self:is "," then self:assign(what, is_place) end
  end
  self.depth = self.depth - 1
end

-- `return M` at the end: the name of the module's table, or nil.
local function returned_name(tokens)
  local last = #tokens.kinds - 1 -- before the end
  if tokens.values[last] == ";" then last = last - 1 end
  if tokens.kinds[last] == "name" and tokens.values[last - 1] == "return" then return tokens.values[last] end
end

--- Faults in a script, by line.
---@param text string
---@param options coxswain.lint.Options
---@return { line: integer, message: string }[]
function M.inspect(text, options)
  local tokens = lexer.read(text)
  local reader = setmetatable({
    tokens = tokens,
    at = 0,
    depth = 0,
    faults = {},
    loaded = {},
    scope = {},
    globals = options.globals,
    modules = options.modules,
    classes = options.classes or {},
    parameters = options.parameters or {},
    module = options.module,
    returned = options.module and returned_name(tokens),
  }, Reader)
  reader:next()
  reader:block()
  table.sort(reader.faults, function(left, right) return left.line < right.line end)
  return reader.faults
end

return M
