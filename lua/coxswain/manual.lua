-- Type files for editors and the reference in scripts/README.md, from the descriptions that stand beside the bindings (src/script/api.h).

local M = {}

-- ---- signatures ----

-- At commas that stand in no parentheses or brackets.
local function split(text)
  local parts, depth, from = {}, 0, 1
  for at, c in text:gmatch "()([(){},<>])" do
    if c == "," and depth == 0 then
      parts[#parts + 1] = text:sub(from, at - 1)
      from = at + 1
    elseif c == "(" or c == "{" or c == "<" then
      depth = depth + 1
    elseif c ~= "," then
      depth = depth - 1
    end
  end
  if text:find "%S" then parts[#parts + 1] = text:sub(from) end
  for i, part in ipairs(parts) do parts[i] = part:match "^%s*(.-)%s*$" end
  return parts
end

-- "(path: string, body?: table) → string?, string?" → parameters { name, type, is_optional }, types returned
local function read_signature(signature)
  local inner, returned = signature:match "^(%b())%s*→%s*(.*)$"
  inner = inner or signature
  local parameters = {}
  for i, part in ipairs(split(inner:sub(2, -2))) do
    local name, mark, kind = part:match "^([%w_.]+)(%??):%s*(.*)$"
    parameters[i] = { name = name, type = kind, is_optional = mark == "?" }
  end
  return parameters, split(returned or "")
end

-- ---- type files ----

local HEAD = "---@meta _\n-- Made by `coxswain meta` from the descriptions of the bindings: edit those, not this."

local function names_of(parameters)
  local names = {}
  for i, parameter in ipairs(parameters) do names[i] = parameter.name end
  return table.concat(names, ", ")
end

local function add_function(lines, owner, sign, binding)
  local parameters, returned = read_signature(binding.signature)
  lines[#lines + 1] = ""
  lines[#lines + 1] = "--- " .. binding.help
  for _, parameter in ipairs(parameters) do
    lines[#lines + 1] = ("---@param %s%s %s"):format(parameter.name, parameter.is_optional and "?" or "", parameter.type)
  end
  for _, kind in ipairs(returned) do lines[#lines + 1] = "---@return " .. kind end
  lines[#lines + 1] = ("function %s%s%s(%s) end"):format(owner, sign, binding.name, names_of(parameters))
end

local function add_class(lines, api, class)
  lines[#lines + 1] = ""
  lines[#lines + 1] = "--- " .. api.help
  lines[#lines + 1] = "---@class " .. class
  for _, field in ipairs(api.fields) do
    lines[#lines + 1] = ("---@field %s %s # %s"):format(field.name, field.type, field.help)
  end
end

local function is_class(api) return #api.contexts == 0 end

-- "coxswain.DriverNode" → "DriverNode", "driver_node.lua"
local function local_name(api)
  local name = api.name:match "[^.]+$"
  local file = name:gsub("(%l)(%u)", "%1_%2"):lower()
  return name, file .. ".lua"
end

local function class_file(api)
  local name, file = local_name(api)
  local lines = { HEAD }
  add_class(lines, api, api.name)
  lines[#lines + 1] = ("local %s = {}"):format(name)
  for _, binding in ipairs(api.functions) do add_function(lines, name, ":", binding) end
  return file, lines
end

-- A global may be described in parts.
local function global_file(name, parts)
  local lines = { HEAD }
  local first = { help = parts[1].help, fields = {} }
  for _, part in ipairs(parts) do
    for _, field in ipairs(part.fields) do first.fields[#first.fields + 1] = field end
  end
  add_class(lines, first, name == "broker" and "coxswain.jobs.broker" or "coxswain.globals." .. name)
  lines[#lines + 1] = ("%s = {}"):format(name)
  for _, part in ipairs(parts) do
    for _, binding in ipairs(part.functions) do add_function(lines, name, ".", binding) end
  end
  return ("global_%s.lua"):format(name), lines
end

local function type_files(apis)
  local files, globals, order = {}, {}, {}
  local shapes = { HEAD }
  for _, api in ipairs(apis) do
    if not is_class(api) then
      if not globals[api.name] then order[#order + 1] = api.name end
      globals[api.name] = globals[api.name] or {}
      table.insert(globals[api.name], api)
    elseif #api.functions > 0 then
      local file, lines = class_file(api)
      files[file] = table.concat(lines, "\n") .. "\n"
    else
      add_class(shapes, api, api.name)
    end
  end
  for _, name in ipairs(order) do
    local file, lines = global_file(name, globals[name])
    files[file] = table.concat(lines, "\n") .. "\n"
  end
  files["shapes.lua"] = table.concat(shapes, "\n") .. "\n"
  return files
end

-- ---- the reference ----

local function cell(text) return (text:gsub("|", "\\|")) end

-- "node:intend(target, reason?)"
local function call_of(owner, sign, binding)
  local parameters, returned = read_signature(binding.signature)
  local words = {}
  for i, parameter in ipairs(parameters) do words[i] = parameter.name .. (parameter.is_optional and "?" or "") end
  local gives = #returned > 0 and " → `" .. cell(table.concat(returned, ", ")) .. "`" or ""
  return ("`%s%s%s(%s)`%s"):format(owner, sign, binding.name, table.concat(words, ", "), gives)
end

local function contexts_of(api, contexts)
  if #api.contexts == #contexts then return "everywhere" end
  return "in " .. table.concat(api.contexts, ", ")
end

local objects = { ["coxswain.Broker"] = "broker", ["coxswain.Node"] = "node", ["coxswain.DriverNode"] = "node", ["coxswain.Connection"] = "connection" }

local function add_rows(lines, api)
  local owner = is_class(api) and objects[api.name] or api.name
  lines[#lines + 1] = "| | |"
  lines[#lines + 1] = "|---|---|"
  for _, field in ipairs(api.fields) do
    lines[#lines + 1] = ("| `%s.%s` `%s` | %s |"):format(owner, field.name, cell(field.type), cell(field.help))
  end
  for _, binding in ipairs(api.functions) do
    lines[#lines + 1] = ("| %s | %s |"):format(call_of(owner, is_class(api) and ":" or ".", binding), cell(binding.help))
  end
end

-- Plain tables, all in one.
local function add_shapes(lines, apis)
  lines[#lines + 1] = "\n### Shapes of plain tables\n\n| | |\n|---|---|"
  for _, api in ipairs(apis) do
    if is_class(api) and #api.functions == 0 then
      lines[#lines + 1] = ("| **%s** | *%s* |"):format(api.name, cell(api.help))
      for _, field in ipairs(api.fields) do
        lines[#lines + 1] = ("| `%s` `%s` | %s |"):format(field.name, cell(field.type), cell(field.help))
      end
    end
  end
end

local function sorted(set)
  local names = {}
  for name in pairs(set) do names[#names + 1] = name end
  table.sort(names)
  return names
end

-- Functions of older versions that Lua may be built with; nobody should begin to use them.
local compatible = { atan2 = true, cosh = true, frexp = true, ldexp = true, log10 = true, pow = true, sinh = true, tanh = true }

-- Lua's own names, as this build's sandbox shows them.
local function add_lua(lines, seen, described)
  local plain, libraries = {}, {}
  for _, name in ipairs(sorted(seen.policy)) do
    local fields = seen.policy[name]
    if not described[name] and type(fields) == "table" then
      local shown = {}
      for _, field in ipairs(fields) do
        if not compatible[field] then shown[#shown + 1] = field end
      end
      libraries[#libraries + 1] = ("| `%s` | %s |"):format(name, "`" .. table.concat(shown, " ") .. "`")
    elseif not described[name] then
      plain[#plain + 1] = name
    end
  end
  lines[#lines + 1] = ("### Lua's own, everywhere\n\n`%s`.\n"):format(table.concat(plain, " "))
  lines[#lines + 1] = "`print` writes to the log. There is no `io`, `os`, `debug` or `load`; `math.random` raises in policy and commands, which must"
  lines[#lines + 1] = "always decide the same. What could run long in C is bounded.\n\n| library | functions |\n|---|---|"
  for _, row in ipairs(libraries) do lines[#lines + 1] = row end
end

local function reference(apis, seen)
  local described, lines = {}, {}
  for _, api in ipairs(apis) do described[api.name] = true end
  add_lua(lines, seen, described)
  local contexts = sorted(seen)
  for _, api in ipairs(apis) do
    local where = is_class(api) and "" or ", " .. contexts_of(api, contexts)
    if not is_class(api) or #api.functions > 0 then
      lines[#lines + 1] = ("\n### %s%s\n\n%s\n"):format(api.name, where, api.help)
      add_rows(lines, api)
    end
  end
  add_shapes(lines, apis)
  return table.concat(lines, "\n") .. "\n"
end

--- Everything that is made from the descriptions.
---@param args { apis: table[], contexts: table<string, table<string, any>> } contexts: what the machines of each show (globals)
---@return { files: table<string, string>, reference: string }
function M.render(args) return { files = type_files(args.apis), reference = reference(args.apis, args.contexts) } end

--- What a script sees in the machine that this runs in: names of a library's fields, or true for anything else.
---@return table<string, string[]|true>
function M.globals()
  local seen = {}
  for name, value in pairs(_ENV) do
    seen[name] = true
    if type(value) == "table" then
      local fields = {}
      for field in pairs(value) do fields[#fields + 1] = field end
      table.sort(fields)
      seen[name] = json.array(fields)
    end
  end
  return seen
end

return M
