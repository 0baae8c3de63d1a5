-- Runs a driver in a case of `coxswain test` against a fake node, and cuts it off at will, with the node object that the runtime gives
-- to drivers. What the core keeps between attempts (memory, the unanswered call, the target last reached) is kept here.

local mlnode   = require "coxswain.testing.mlnode"
local testing  = require "coxswain.testing"

local driving = {}
driving.__index = driving

local DEFAULT_TIMEOUT_S = 30
local of_gateway = { [502] = true, [503] = true, [504] = true }

-- Memory crosses as a plain value: anything else is a fault of the driver.
local function plain(value, path)
  local kind = type(value)
  if kind ~= "table" then
    assert(kind ~= "function" and kind ~= "userdata" and kind ~= "thread", path .. " is no plain value")
    assert(value == value and value ~= math.huge, path .. " is no number of JSON")
    return value
  end
  local copy = {}
  for key, inner in pairs(value) do copy[key] = plain(inner, path .. "." .. tostring(key)) end
  return getmetatable(value) ~= nil and json.array(copy) or copy -- of plain values only lists are marked
end

--- options: as of coxswain.testing.mlnode, and driver (default mlnode), config, addresses; is_live: node.unanswered follows the calls
--- of the attempt, else it stays what it was at the attempt's beginning. A driver must not care.
function driving.new(options)
  local line = testing.timeline()
  options.timeline = line
  local self = setmetatable({ timeline = line, ml = mlnode.new(options), memory = {} }, driving)
  self.is_live = options.is_live
  self.driver = options.driver or require "drivers.mlnode"
  self.config = options.config or { id = "node1", models = { m = { args = { "--own", "1" } } } }
  self.poc_url = options.poc_url or "http://10.0.0.9:8080"
  self.inference_url = options.inference_url or (options.is_shared and self.poc_url or "http://10.0.0.9:5050")
  return self
end

-- The node object ---------------------------------------------------------------------------------------------------

local function raise(class, message, status) error({ class = class, message = message, status = status }, 0) end

local methods = {}

local function class_of(status)
  if status == 409 then return "conflict" end
  return status >= 500 and "server" or "client"
end

local function accepts(options, status)
  for _, other in ipairs(options.accept or {}) do
    if other == status then return true end
  end
  return false
end

-- As the runtime does it: what is no success is raised.
local function judge(route, options, reply)
  if reply.class then raise(reply.class, route .. ": " .. reply.class) end
  local status, json = reply.status, type(reply.body) == "table" and reply.body or nil
  if status >= 300 and not accepts(options, status) then
    raise(class_of(status), ("%s was answered %d"):format(route, status), status)
  end
  if status == 200 and json and json.status == "ERROR" then raise("server", route .. ": " .. tostring(json.message), status) end
  return { status = status, json = json, body = json and "{…}" or reply.body or "" }
end

local function call(method, path, body, options)
  options = options or {}
  for name in pairs(options) do assert(name == "accept" or name == "timeout_s" or name == "base", "unknown option " .. name) end
  assert(path:sub(1, 1) == "/", "a path begins with a slash")
  local base = options.base == "inference" and "inference " or ""
  local route = ("%s %s%s"):format(method, base, path)
  local timeout_s = options.timeout_s or DEFAULT_TIMEOUT_S
  return judge(route, options, coroutine.yield { kind = "http", route = route, body = plain(body, "body"), timeout_s = timeout_s })
end

function methods.get(_, path, options) return call("GET", path, nil, options) end

function methods.post(_, path, body, options) return call("POST", path, body, options) end

function methods.sleep(_, seconds)
  assert(seconds >= 0, "a driver sleeps for a time that is not negative")
  coroutine.yield { kind = "sleep", seconds = seconds }
end

function methods.extend(node, seconds, reason)
  assert(type(reason) == "string", "node:extend needs a reason")
  local attempt = node.attempt
  attempt.extended = reason
  attempt.deadline_s = math.min(attempt.line.now_s + seconds, attempt.deadline_max_s)
end

function methods.fail(_, class, message) raise(class, message) end

-- Attempts ----------------------------------------------------------------------------------------------------------

-- Sends a request; `reply` is filled once. A lost one never arrives.
local function send(self, request, is_lost)
  local reply = {}
  local function set(field, value, body)
    if reply.is_set then return end
    reply.is_set, reply[field], reply.body = true, value, body
  end
  if not is_lost then
    self.ml:receive {
      route = request.route,
      body = request.body,
      reply = function(status, body) set("status", status, body) end,
      reset = function() set("class", "reset") end,
      refuse = function() set("class", "refused") end,
    }
  end
  return reply
end

local function has_ended(attempt) return attempt.line.now_s >= attempt.deadline_s end

-- Waits for an answer, the request's time-out or the attempt's deadline. Returns nil at the deadline.
local function await(self, attempt, request, patience_s, is_lost)
  local line = self.timeline
  local reply = send(self, request, is_lost)
  local until_s = line.now_s + math.min(request.timeout_s, patience_s or request.timeout_s)
  line:run(math.min(until_s, attempt.deadline_s), function() return reply.is_set end)
  if reply.is_set then return reply end
  if has_ended(attempt) then return nil end
  return { class = "timeout" }
end

-- One thing that the driver waits for. Returns what it is resumed with, or nil and how the attempt ends.
local function serve(self, attempt, request, cancel)
  attempt.yields = attempt.yields + 1
  local is_cancelled = cancel and attempt.yields == cancel.at
  if request.kind == "sleep" then
    if is_cancelled then return nil, "cancelled" end
    self.timeline:run(math.min(self.timeline.now_s + request.seconds, attempt.deadline_s))
    if has_ended(attempt) then return nil, "deadline" end
    return true
  end
  attempt.calls[#attempt.calls + 1] = request.route
  local is_mutating = request.route:find("^POST") ~= nil
  if is_mutating then self.unanswered = { call = request.route, at_s = self.timeline.now_s } end
  local reply
  if is_cancelled and cancel.how ~= "answered" then
    reply = await(self, attempt, request, cancel.after_s or 0, cancel.how == "lost")
  else
    reply = await(self, attempt, request)
  end
  if not reply then return nil, "deadline" end
  if is_mutating and reply.status and not of_gateway[reply.status] then self.unanswered = nil end
  if is_cancelled then return nil, "cancelled" end
  return reply
end

local function unanswered_of(self)
  local unanswered = self.unanswered
  return unanswered and { call = unanswered.call, age_s = self.timeline.now_s - unanswered.at_s }
end

local function node_for(self, attempt)
  local at_first = unanswered_of(self)
  local function look_up(_, name)
    if name ~= "unanswered" then return methods[name] end
    if self.is_live then return unanswered_of(self) end
    return at_first
  end
  return setmetatable({
    id = self.config.id,
    config = self.config,
    poc_url = self.poc_url,
    inference_url = self.inference_url,
    memory = plain(self.memory, "memory"),
    applied = self.applied,
    attempt = attempt,
  }, { __index = look_up })
end

local function run(self, attempt, action, cancel)
  local thread = coroutine.create(action)
  local sent
  while true do
    local is_alive, request = coroutine.resume(thread, sent)
    if not is_alive then return "failed", request end
    if coroutine.status(thread) == "dead" then return "done", request end
    local ended
    sent, ended = serve(self, attempt, request, cancel)
    if not sent then
      coroutine.close(thread)
      return ended
    end
  end
end

-- A fault of the script itself is one of the spec, too.
local function checked(outcome, value)
  if outcome == "failed" and type(value) ~= "table" then error("the driver broke: " .. tostring(value), 0) end
  return value
end

local function try(self, limit_s, action, cancel)
  local line = self.timeline
  local attempt = {
    line = line,
    calls = {},
    yields = 0,
    began_s = line.now_s,
    deadline_s = line.now_s + limit_s,
    deadline_max_s = line.now_s + 4 * limit_s,
  }
  local node = node_for(self, attempt)
  local is_run, outcome, value = pcall(run, self, attempt, function() return action(node) end, cancel)
  if not is_run then error(outcome, 0) end
  attempt.outcome, attempt.value = outcome, checked(outcome, value)
  attempt.error = outcome == "failed" and value or nil
  attempt.took_s = line.now_s - attempt.began_s
  self.memory = plain(node.memory, "memory")
  return attempt
end

--- One attempt. `cancel`: { at = number of the yield, how = "sent"|"lost"|"answered", after_s = seconds, default 0 }: the
--- coroutine is closed while that request is open, while it never arrives, or when it was answered.
function driving:reach(target, cancel)
  local reach = self.driver.reach[target.status]
  local attempt = try(self, self.driver.deadline[target.status], function(node) return reach(node, target) end, cancel)
  if attempt.outcome == "done" then self.applied = target end
  return attempt
end

function driving:probe(cancel) return try(self, self.driver.probe_deadline, self.driver.probe, cancel) end

--- Attempts with a pause between them, as the core makes them. Returns the last one and how many there were.
function driving:converge(target, tries, pause_s)
  local attempt
  for i = 1, tries or 10 do
    attempt = self:reach(target)
    if attempt.outcome == "done" then return attempt, i end
    self.timeline:pass(pause_s or 3)
  end
  return attempt, nil
end

return driving
