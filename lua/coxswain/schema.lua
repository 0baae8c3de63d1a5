-- The shape of plain values (arguments of commands) and of the files that an operator writes.
--
-- A spec is one of
--   "integer" | "number" | "string" | "boolean" | "table" | "object" | "list" | "any", or several of them: "string|number"
--   { "list", <spec> }      a list whose items have that spec
--   { "map", <spec> }       an object with any keys, whose values have that spec
--   { name = <spec>, ["other?"] = <spec> }   an object with these fields; those with a question mark may be absent
-- A float with an integral value (3.0) is accepted where an integer is asked for, and becomes one in its table.
-- An empty table is both an empty list and an empty object.

local epoch = require "coxswain.epoch"

local schema = {}

local STATUSES = { INFERENCE = true, POC = true, STOPPED = true, TRAINING = true }
local PRIORITIES = { high = true, low = true }
local SCOPES = { operate = true, admin = true }
local HELP_MAX = 1000 -- bytes
local DEPTH_MAX = 32  -- of specs, so that one that holds itself is a fault and not an endless loop
local FAULTS_MAX = 50 -- of a spec: one that holds itself twice would have 2^32

local function is_list(value)
  if type(value) ~= "table" then return false end
  local count = 0
  for key in pairs(value) do
    if math.type(key) ~= "integer" then return false end
    count = count + 1
  end
  return count == #value
end

local function is_object(value) return type(value) == "table" and (next(value) == nil or not is_list(value)) end

local kinds = {
  any = function(value) return value ~= nil end,
  boolean = function(value) return type(value) == "boolean" end,
  integer = function(value) return math.type(value) ~= nil and math.tointeger(value) ~= nil end,
  list = is_list,
  number = function(value) return type(value) == "number" end,
  object = is_object,
  string = function(value) return type(value) == "string" end,
  table = function(value) return type(value) == "table" end,
}

local articles = { any = "a value", integer = "an integer", object = "an object" }

local function sorted_keys(object)
  local keys = {}
  for key in pairs(object) do keys[#keys + 1] = key end
  table.sort(keys, function(left, right) return tostring(left) < tostring(right) end)
  return keys
end

local function known_names(set) return table.concat(sorted_keys(set), ", ") end

local function join(path, key)
  if math.type(key) == "integer" then return ("%s[%d]"):format(path, key) end
  return path == "" and tostring(key) or path .. "." .. tostring(key)
end

local function named(path) return path == "" and "the arguments" or path end

local SHOWN_MAX = 40 -- bytes of a text in a message

-- Not cut inside of a character: half a one would make the whole message unreadable as UTF-8.
local function shorten(text)
  if #text <= SHOWN_MAX then return text end
  local last = SHOWN_MAX
  while last > 0 and text:byte(last + 1) & 0xC0 == 0x80 do last = last - 1 end
  return text:sub(1, last) .. "…"
end

-- What a value is, in the words of a spec; strings and numbers are shown, shortened.
local function describe(value)
  local kind = type(value)
  if kind == "string" then return ("%q"):format(shorten(value)) end
  if kind == "number" or kind == "boolean" then return tostring(value) end
  if kind == "table" then return is_list(value) and next(value) ~= nil and "a list" or "an object" end
  return kind == "nil" and "nothing" or "a " .. kind
end

-- { "string", "integer" } of "string|integer"; made once for each text, of which there are as many as specs say.
local kind_lists = {}

local function kinds_of(spec)
  local list = kind_lists[spec]
  if list then return list end
  list = {}
  for kind in spec:gmatch("[^|]+") do list[#list + 1] = kind end
  kind_lists[spec] = list
  return list
end

local function check_kind(spec, value, path)
  local list = kinds_of(spec)
  for i = 1, #list do
    if kinds[list[i]](value) then return true end
  end
  local wanted = {}
  for i, kind in ipairs(list) do wanted[i] = articles[kind] or "a " .. kind end
  return nil, ("%s must be %s, not %s"):format(named(path), table.concat(wanted, " or "), describe(value))
end

-- Does it ask for integers, and not for any number?
local function wants_integer(spec)
  return type(spec) == "string" and spec:find("integer", 1, true) and not spec:find("number", 1, true)
end

-- Checks one entry of a table, and makes 3.0 an integer where one was asked for.
local function check_entry(spec, owner, key, path)
  local value = owner[key]
  local is_good, message = schema.check(spec, value, join(path, key))
  if not is_good then return nil, message end
  if math.type(value) == "float" and wants_integer(spec) then owner[key] = math.tointeger(value) end
  return true
end

local function check_items(spec, value, path)
  local is_good, message = check_kind(spec[1] == "map" and "object" or "list", value, path)
  if not is_good then return nil, message end
  for _, key in ipairs(sorted_keys(value)) do
    is_good, message = check_entry(spec[2], value, key, path)
    if not is_good then return nil, message end
  end
  return true
end

-- { ["time?"] = "string" } → { by_name = { time = { spec = "string", is_optional = true } }, names = { "time" } }; made once for each
-- spec, which nobody changes: this runs before every command.
local prepared = setmetatable({}, { __mode = "k" })

local function fields_of(spec)
  local fields = prepared[spec]
  if fields then return fields end
  fields = { by_name = {} }
  for name, inner in pairs(spec) do
    local bare = name:match("^(.*)%?$")
    fields.by_name[bare or name] = { spec = inner, is_optional = bare ~= nil }
  end
  fields.names = sorted_keys(fields.by_name)
  prepared[spec] = fields
  return fields
end

local function is_every_name_known(value, by_name)
  for name in pairs(value) do
    if not by_name[name] then return false end
  end
  return true
end

local function unknown_message(path, name, fields)
  local known = next(fields) and "known are " .. known_names(fields) or "none is known here"
  return ("unknown argument %s (%s)"):format(join(path, name), known)
end

local function check_fields(spec, value, path)
  local is_good, message = check_kind("object", value, path)
  if not is_good then return nil, message end
  local fields = fields_of(spec)
  local by_name = fields.by_name
  if not is_every_name_known(value, by_name) then
    for _, name in ipairs(sorted_keys(value)) do
      if not by_name[name] then return nil, unknown_message(path, name, by_name) end
    end
  end
  for _, name in ipairs(fields.names) do
    local field = by_name[name]
    if value[name] ~= nil then
      is_good, message = check_entry(field.spec, value, name, path)
      if not is_good then return nil, message end
    elseif not field.is_optional then
      return nil, ("%s is required"):format(join(path, name))
    end
  end
  return true
end

--- Does a plain value have that shape? Integral floats inside `value` become integers.
---@param spec any the shape, as above
---@param value any
---@param path string? what the value is called in the message; default: nothing before the field's name
---@return true? is_good
---@return string? message the first fault, with its path
function schema.check(spec, value, path)
  path = path or ""
  if type(spec) == "string" then return check_kind(spec, value, path) end
  if spec[1] == "list" or spec[1] == "map" then return check_items(spec, value, path) end
  return check_fields(spec, value, path)
end

-- Faults of a spec itself, appended to `faults`.
local function check_spec(spec, path, faults, depth)
  if #faults >= FAULTS_MAX then return end
  if depth > DEPTH_MAX then
    faults[#faults + 1] = ("%s is nested deeper than %d levels"):format(path, DEPTH_MAX)
  elseif type(spec) == "string" then
    for kind in (spec == "" and "?" or spec):gmatch("[^|]+") do
      if not kinds[kind] then
        faults[#faults + 1] = ("%s: unknown type %s (known are %s)"):format(path, describe(kind), known_names(kinds))
      end
    end
  elseif type(spec) ~= "table" then
    faults[#faults + 1] = ("%s must be a type name or a table of fields, not %s"):format(path, describe(spec))
  elseif spec[1] == "list" or spec[1] == "map" then
    check_spec(spec[2], path .. "[]", faults, depth + 1)
  else
    for _, name in ipairs(sorted_keys(spec)) do
      if type(name) == "string" then check_spec(spec[name], join(path, name), faults, depth + 1)
      else faults[#faults + 1] = ("%s: field names are strings, not %s"):format(path, describe(name)) end
    end
  end
end

local function add(faults, format, ...) faults[#faults + 1] = format:format(...) end

-- The faults that all declared files share: what they return, their name, their help, and fields nobody knows.
local function check_file(file, name, what, known)
  local faults = {}
  if type(file) ~= "table" then
    add(faults, "%s %s must return a table, not %s", what, name, describe(file))
    return faults, false
  end
  if not name:match("^[a-z][a-z0-9_]*$") then
    add(faults, "%s %s: a file name has small letters, digits and _ only, and begins with a letter", what, name)
  end
  if type(file.help) == "string" and #file.help > HELP_MAX then
    add(faults, "%s %s: help is longer than %d bytes: one line that says what it does", what, name, HELP_MAX)
  elseif type(file.help) ~= "string" or file.help == "" or file.help:find("%c") then
    add(faults, "%s %s: help is missing: one line that says what it does", what, name)
  end
  for _, field in ipairs(sorted_keys(file)) do
    if not known[field] then
      add(faults, "%s %s: unknown field %s (known are %s)", what, name, tostring(field), known_names(known))
    end
  end
  return faults, true
end

local function check_function(faults, file, name, what, field)
  if type(file[field]) == "function" then return end
  add(faults, "%s %s: %s must be a function, not %s", what, name, field, describe(file[field]))
end

local known_phases = {}
for _, phase in ipairs(epoch.PHASES) do known_phases[phase] = true end

local function check_phases(faults, phases, name)
  if phases == nil then return end
  if not is_list(phases) or #phases == 0 then
    add(faults, "command %s: phases must be a list of phase names, not %s", name, describe(phases))
    return
  end
  for _, phase in ipairs(phases) do
    if not known_phases[phase] then
      add(faults, "command %s: unknown phase %s (known are %s)", name, describe(phase), table.concat(epoch.PHASES, ", "))
    end
  end
end

local command_fields = { help = true, priority = true, scope = true, args = true, phases = true, synced = true, waits = true, run = true }

--- Faults of what a file in scripts/commands returned.
---@param file any
---@param name string of the command
---@return string[] faults empty: none
function schema.command(file, name)
  local faults, is_table = check_file(file, name, "command", command_fields)
  if not is_table then return faults end
  if file.priority ~= nil and not PRIORITIES[file.priority] then
    add(faults, "command %s: priority must be \"high\" or \"low\", not %s", name, describe(file.priority))
  end
  if file.scope ~= nil and not SCOPES[file.scope] then
    add(faults, "command %s: scope must be \"operate\" or \"admin\", not %s", name, describe(file.scope))
  end
  if file.args ~= nil and type(file.args) ~= "table" then
    add(faults, "command %s: args must be a table of fields, not %s", name, describe(file.args))
  elseif file.args ~= nil then
    check_spec(file.args, "command " .. name .. ": args", faults, 1)
  end
  if file.synced ~= nil and type(file.synced) ~= "boolean" then
    add(faults, "command %s: synced must be true or false, not %s", name, describe(file.synced))
  end
  if file.waits ~= nil and type(file.waits) ~= "boolean" then
    add(faults, "command %s: waits must be true or false, not %s", name, describe(file.waits))
  elseif file.waits and (file.phases or file.synced) then
    add(faults, "command %s: a command that waits runs beside the broker: it has neither phases nor synced", name)
  end
  check_phases(faults, file.phases, name)
  check_function(faults, file, name, "command", "run")
  return faults
end

local function is_seconds(value) return type(value) == "number" and value > 0 and value < math.huge end

local function check_reach(faults, file, name)
  if type(file.reach) ~= "table" or next(file.reach) == nil then
    add(faults, "driver %s: reach must be a table of functions, one for each status", name)
    return
  end
  for _, status in ipairs(sorted_keys(file.reach)) do
    if not STATUSES[status] then
      add(faults, "driver %s: reach.%s: unknown status (known are %s)", name, tostring(status), known_names(STATUSES))
    elseif type(file.reach[status]) ~= "function" then
      add(faults, "driver %s: reach.%s must be a function, not %s", name, status, describe(file.reach[status]))
    elseif type(file.deadline) == "table" and file.deadline[status] == nil then
      add(faults, "driver %s: deadline.%s is missing: seconds that an attempt may take", name, status)
    end
  end
end

local function check_deadlines(faults, file, name)
  if type(file.deadline) ~= "table" then
    add(faults, "driver %s: deadline must be a table of seconds, one for each status", name)
    return
  end
  for _, status in ipairs(sorted_keys(file.deadline)) do
    if not STATUSES[status] then
      add(faults, "driver %s: deadline.%s: unknown status (known are %s)", name, tostring(status), known_names(STATUSES))
    elseif not is_seconds(file.deadline[status]) then
      add(faults, "driver %s: deadline.%s must be seconds greater than 0, not %s", name, status, describe(file.deadline[status]))
    end
  end
end

local driver_fields = { help = true, deadline = true, probe_deadline = true, reach = true, probe = true }

--- Faults of what a file in scripts/drivers returned.
---@param file any
---@param name string of the driver, the `kind` of its nodes
---@return string[] faults empty: none
function schema.driver(file, name)
  local faults, is_table = check_file(file, name, "driver", driver_fields)
  if not is_table then return faults end
  check_deadlines(faults, file, name)
  check_reach(faults, file, name)
  if file.probe_deadline ~= nil and not is_seconds(file.probe_deadline) then
    add(faults, "driver %s: probe_deadline must be seconds greater than 0, not %s", name, describe(file.probe_deadline))
  end
  check_function(faults, file, name, "driver", "probe")
  return faults
end

local job_fields = { help = true, feed = true, run = true, save = true, restore = true }

--- Faults of what a file in scripts/jobs returned.
---@param file any
---@param name string of the job
---@return string[] faults empty: none
function schema.job(file, name)
  local faults, is_table = check_file(file, name, "job", job_fields)
  if not is_table then return faults end
  if file.feed ~= nil and (type(file.feed) ~= "string" or file.feed == "") then
    add(faults, "job %s: feed must be the kind of feed that the job serves, not %s", name, describe(file.feed))
  end
  check_function(faults, file, name, "job", "run")
  if file.save ~= nil or file.restore ~= nil then
    check_function(faults, file, name, "job", "save")
    check_function(faults, file, name, "job", "restore")
  end
  return faults
end

return schema
