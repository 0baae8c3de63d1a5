-- An ML node as it behaves on the wire: a state machine of both releases, on virtual time.
--
-- A request is an object with `reply(status, body)`, `reset()` or neither: then the node stays silent. Whether the client
-- still listens is not the node's business; what was sent is done.
--
-- `node.wrongs` collects what no client may ever do: a load while another one goes on, a load into a process that is about
-- to end, a load within 5 s after a stop in a load.

local values = require "coxswain.values"

local mlnode = {}
mlnode.__index = mlnode

local DIES_AFTER_S, SILENT_S, REST_S = 6, 35, 5

--- options: timeline, release "old"|"new", load_s, stop_s, restart_s, health_lag_s, gpu_groups, is_shared; begin_s: from the
--- arrival of inference/up and train/start to their beginning; failed_says: the state it claims between a failed start and
--- its end, default INFERENCE
function mlnode.new(options)
  local node = {
    release = "new",
    load_s = 600,
    stop_s = 4,
    restart_s = 20,
    health_lag_s = 3,
    gpu_groups = 2,
    begin_s = 0,
    wrongs = {},
    calls = {},    -- all of them: "POST /api/v1/stop"
    mutating = {}, -- without the GETs
    loads = 0,     -- begun
    inits = 0,     -- PoC workers (re)started
    waiting = {},  -- requests that are answered once a stop is done
    ups = {},      -- requests for the work that begins or loads
    up_status = "not_started",
  }
  for name, value in pairs(options) do node[name] = value end
  return setmetatable(node, mlnode)
end

local function wrong(self, what) self.wrongs[#self.wrongs + 1] = what end

local function is_in(list, wanted)
  for _, item in ipairs(list) do
    if item == wanted then return true end
  end
  return false
end

-- Life of the process -----------------------------------------------------------------------------------------------

local function forget_service(self)
  if self.load_event then self.timeline:cancel(self.load_event) end
  if self.beginning then self.timeline:cancel(self.beginning) end
  self.beginning = nil
  self.service, self.model, self.args, self.load_event, self.healthy_at_s = nil, nil, nil, nil, nil
  self.pow, self.train, self.is_failed, self.two_services = nil, nil, nil, nil
end

local function forget_death(self)
  for _, event in ipairs(self.death or {}) do self.timeline:cancel(event) end
  self.death, self.is_silent = nil, nil
end

--- The process ends now and is back, STOPPED, after restart_s.
function mlnode:exit()
  forget_service(self)
  forget_death(self)
  local open = { self.waiting, self.ups }
  self.waiting, self.ups, self.stopping = {}, {}, nil
  for _, list in ipairs(open) do
    for _, request in ipairs(list) do request.reset() end
  end
  self.is_gone, self.up_status, self.load_stopped_at_s = true, "not_started", nil
  self.exits = (self.exits or 0) + 1
  self.timeline:after(self.restart_s, function() self.is_gone = false end)
end

-- A backend that failed: the process ends; a new one goes silent before.
local function begin_death(self)
  local function silence() self.is_silent = true end
  local function leave() self:exit() end
  if self.release == "old" then
    self.death = { self.timeline:after(DIES_AFTER_S, leave) }
  else
    self.death = { self.timeline:after(DIES_AFTER_S, silence), self.timeline:after(DIES_AFTER_S + SILENT_S, leave) }
  end
end

--- The serving backend becomes unhealthy: about 6 s of it end the process.
function mlnode:break_backend()
  self.healthy_at_s = nil
  begin_death(self)
end

-- Loads -------------------------------------------------------------------------------------------------------------

local function is_loading(self) return self.load_event ~= nil end

local function is_healthy(self)
  return self.service == "INFERENCE" and self.healthy_at_s ~= nil and self.timeline.now_s >= self.healthy_at_s
end

local function answer_ups(self, status, body)
  local ups = self.ups
  self.ups = {}
  for _, request in ipairs(ups) do request.reply(status, body) end
end

local function end_load(self)
  self.load_event = nil
  if self.fails > 0 then
    self.fails = self.fails - 1
    self.is_failed = true
    if self.up_status == "in_progress" then self.up_status = "failed" end
    begin_death(self)
    if self.release == "old" then answer_ups(self, 200, { status = "ERROR", message = "backend did not start" })
    else answer_ups(self, 500, { detail = "backend did not start" }) end
  else
    if self.up_status == "in_progress" then self.up_status = "completed" end
    self.healthy_at_s = self.timeline.now_s + self.health_lag_s
    answer_ups(self, 200, { status = "OK" })
  end
  if self.stop_after_load then self.stop_after_load() end
end

mlnode.fails = 0 -- so many of the next loads fail

local function begin_load(self, body)
  local stopped_at_s = self.load_stopped_at_s
  if self.release == "new" and stopped_at_s and self.timeline.now_s < stopped_at_s + REST_S then
    wrong(self, "a load within 5 s after a stop in a load")
    self.is_silent = true
    self.death = { self.timeline:after(30, function() self:exit() end) }
    return
  end
  self.service, self.model, self.args = "INFERENCE", body.model, body.additional_args
  self.healthy_at_s, self.is_failed = nil, nil
  self.loads = self.loads + 1
  self.load_event = self.timeline:after(self.load_s, function() end_load(self) end)
end

--- A load that somebody else asked for.
function mlnode:load(model, args) begin_load(self, { model = model, additional_args = args or {} }) end

-- Begins work after begin_s; a stop in between prevents it.
local function soon(self, begin)
  if self.begin_s == 0 then return begin() end
  self.beginning = self.timeline:after(self.begin_s, function()
    self.beginning = nil
    if self.service == nil then begin() else self.two_services = 409 end
  end)
end

-- Requests ----------------------------------------------------------------------------------------------------------

local function conflicts(self, service, request)
  if self.service == nil or self.service == service then return false end
  request.reply(409, { detail = ("the node is currently in ServiceState.%s mode"):format(self.service) })
  return true
end

local routes = {}

routes["GET /api/v1/state"] = function(self, _, request)
  if self.two_services then
    local status = self.two_services
    self.two_services = nil
    forget_service(self)
    return request.reply(status, { detail = "two services ran" })
  end
  local state = { state = self.is_failed and self.failed_says or self.service or "STOPPED" }
  if self.release == "new" then
    state.version = "3.0.14"
    state.poc_status = "NO_BACKENDS"
    state.inference_healthy = is_healthy(self) or (self.stopping and self.stopping.was_healthy) or false
    if state.inference_healthy then state.loaded_model, state.poc_status = self.model, "IDLE" end
  end
  request.reply(200, state)
end

local function finish_stop(self)
  local was_loading = is_loading(self) or (self.is_failed and not self.failed_says)
  local stopping, waiting = self.stopping, self.waiting
  self.stopping, self.waiting = nil, {}
  forget_service(self)
  forget_death(self)
  self.up_status = "not_started"
  if was_loading then
    self.load_stopped_at_s = self.timeline.now_s
    answer_ups(self, 500, "Internal Server Error")
  end
  for _, request in ipairs(stopping.requests) do request.reply(200, { status = "OK" }) end
  for _, request in ipairs(waiting) do self:serve(request) end
end

routes["POST /api/v1/stop"] = function(self, _, request)
  if self.stopping then
    self.stopping.requests[#self.stopping.requests + 1] = request
    return
  end
  if self.service == nil then
    forget_service(self)
    answer_ups(self, 500, "Internal Server Error")
    return request.reply(200, { status = "OK" })
  end
  if self.service == "TRAIN" and self.is_training_stuck then
    self.is_training_stuck = nil
    return request.reply(500, { detail = "training did not die" })
  end
  self.stopping = {
    requests = { request },
    was_healthy = is_healthy(self),
    is_mute = self.release == "old" or self.service ~= "INFERENCE",
  }
  local function stop() self.timeline:after(self.stop_s, function() if self.stopping then finish_stop(self) end end) end
  if self.release == "old" and is_loading(self) then
    self.stop_after_load = function()
      self.stop_after_load = nil
      if self.stopping then stop() end
    end
  else
    stop()
  end
end

local function why_no_load(self)
  if self.death then return "a load into a process that is about to end" end
  if is_loading(self) then return "a load while another one goes on" end
end

routes["POST /api/v1/inference/up"] = function(self, body, request)
  if type(body) ~= "table" or not body.model or not body.dtype or not body.additional_args then
    return request.reply(422, { detail = "body" })
  end
  if conflicts(self, "INFERENCE", request) then return end
  local why = why_no_load(self)
  if why then wrong(self, why) end
  if self.service == "INFERENCE" and self.release == "new" then return request.reply(409, { detail = "running or loading" }) end
  if self.service == "INFERENCE" then forget_service(self) end -- the old one stops it and loads again
  if self.is_stop_between then -- somebody else's stop right after the load
    self.is_stop_between = nil
    return request.reply(200, { status = "OK" })
  end
  self.ups[#self.ups + 1] = request
  soon(self, function() begin_load(self, body) end)
end

routes["POST /api/v1/inference/up/async"] = function(self, body, request)
  if self.release == "old" then return request.reply(404, { detail = "Not Found" }) end
  if conflicts(self, "INFERENCE", request) then return end
  if self.service == "INFERENCE" then return request.reply(409, { detail = "running or loading" }) end
  self.up_status = "in_progress"
  begin_load(self, body)
  request.reply(200, { status = "starting" })
end

routes["GET /api/v1/inference/up/status"] = function(self, _, request)
  if self.release == "old" then return request.reply(404, { detail = "Not Found" }) end
  if conflicts(self, "INFERENCE", request) then return end
  request.reply(200, { status = self.up_status, elapsed_seconds = 1 })
end

routes["POST /api/v1/inference/down"] = function(self, _, request)
  if conflicts(self, "INFERENCE", request) then return end
  if self.service == "INFERENCE" then
    forget_service(self)
    forget_death(self)
  end
  request.reply(200, { status = "OK" })
end

local function init(stage)
  return function(self, body, request)
    if conflicts(self, "POW", request) then return end
    body = body or {}
    for _, name in ipairs { "node_id", "node_count" } do
      if not body[name] or body[name] == -1 then return request.reply(400, { detail = name }) end
    end
    local is_known = self.pow and values.equal(self.pow.body, body)
    if not is_known then
      self.inits = self.inits + 1
      self.pow = { body = body, ready_at_s = self.timeline.now_s + 30 }
    end
    self.service, self.pow.stage = "POW", stage
    self.timeline:after(is_known and 0 or self.gpu_groups, function()
      request.reply(200, { status = "OK", pow_status = { status = stage, is_model_initialized = false } })
    end)
  end
end
routes["POST /api/v1/pow/init/generate"] = init "GENERATING"
routes["POST /api/v1/pow/init/validate"] = init "VALIDATING"

routes["GET /api/v1/pow/status"] = function(self, _, request)
  if conflicts(self, "POW", request) then return end
  if not self.pow then return request.reply(200, { status = "NOT_LOADED" }) end
  request.reply(200, { status = self.pow.stage, is_model_initialized = self.timeline.now_s >= self.pow.ready_at_s })
end

routes["POST /api/v1/pow/stop"] = function(self, _, request)
  if conflicts(self, "POW", request) then return end
  local was = self.pow
  forget_service(self)
  request.reply(200, { pow_status = was and { status = "IDLE" } or "NOT_LOADED" })
end

routes["POST /api/v1/train/start"] = function(self, body, request)
  if conflicts(self, "TRAIN", request) then return end
  if self.service == "TRAIN" then return request.reply(400, { detail = "already running" }) end
  for name, value in pairs(body.train_env) do
    if type(value) ~= "string" then return request.reply(500, { detail = name }) end
  end
  self.ups[#self.ups + 1] = request
  soon(self, function()
    self.service, self.train = "TRAIN", body
    answer_ups(self, 200, { status = "OK" })
  end)
end

routes["POST /api/v1/train/stop"] = function(self, _, request)
  if conflicts(self, "TRAIN", request) then return end
  if self.service ~= "TRAIN" then return request.reply(400, { detail = "not running" }) end
  forget_service(self)
  request.reply(200, { status = "OK" })
end

-- Where both base URLs are one address, a new node's /health only says that the management API lives.
routes["GET inference /health"] = function(self, _, request)
  if self.is_shared and self.release == "old" then return request.reply(404, { detail = "Not Found" }) end
  if self.is_shared then return request.reply(200, { status = "alive" }) end
  request.reply(is_healthy(self) and 200 or 503, "")
end

routes["GET inference /v1/models"] = function(self, _, request)
  if not is_healthy(self) then return request.reply(503, "") end
  request.reply(200, { data = { { id = self.model } } })
end

--- Serves a request that has arrived.
function mlnode:serve(request)
  if self.is_gone then return request.refuse() end
  if self.is_silent then return end
  local is_stop = request.route == "POST /api/v1/stop"
  if self.stopping and self.stopping.is_mute and not is_stop and not request.route:find("inference /", 1, true) then
    self.waiting[#self.waiting + 1] = request
    return
  end
  local handler = routes[request.route]
  if not handler then return request.reply(404, { detail = "Not Found" }) end
  handler(self, request.body, request)
end

--- Takes a request in: `request` has route ("POST /api/v1/stop", "GET inference /health"), body, reply, reset, refuse.
function mlnode:receive(request)
  self.calls[#self.calls + 1] = request.route
  if request.route:find("^POST") then self.mutating[#self.mutating + 1] = request.route end
  local fault = self.fault and self.fault(request)
  if fault == "hang" then return end
  if fault == "refuse" then return request.refuse() end
  if type(fault) == "table" then return request.reply(fault[1], fault[2], fault[3]) end
  self:serve(request)
end

--- How often a route was called.
function mlnode:count(route)
  local count = 0
  for _, other in ipairs(self.calls) do
    if other == route then count = count + 1 end
  end
  return count
end

mlnode.is_healthy, mlnode.is_loading, mlnode.is_in = is_healthy, is_loading, is_in

return mlnode
