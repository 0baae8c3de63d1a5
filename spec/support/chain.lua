-- A chain on virtual time, for specs of the jobs that follow it: http, ws, broker and time as jobs see them, answered by a made-up
-- chain that can misbehave. Jobs run as coroutines; nothing sleeps for real.

local dkjson = require "dkjson"
local fake   = require "support.broker"

local M = {}

local Chain = {}
Chain.__index = Chain

local P = "/productscience/inference/inference"

local function rfc3339(seconds)
  local whole = seconds // 1
  return os.date("!%Y-%m-%dT%H:%M:%S", whole) .. (".%09dZ"):format(((seconds - whole) * 1e9) // 1)
end

--- options: block_s, first_start, params, start_height, participant
function M.new(options)
  options = options or {}
  local params = { epoch_length = 100, epoch_shift = 0, poc_stage_duration = 20, poc_exchange_duration = 2, poc_validation_delay = 2,
    poc_validation_duration = 10, set_new_validators_delay = 1 }
  for name, value in pairs(options.params or {}) do params[name] = value end
  local chain = setmetatable({
    now_s = 1700000000, block_s = options.block_s or 1, params = params,
    height = options.start_height or 1, first_start = options.first_start or 50,
    address = "gonka1me",
    models = { "m1" },              -- of every epoch
    nodes = { m1 = { { "node1" }, { "node2", true } } }, -- by model: { id, is_preserved }
    model_args = { m1 = { "--tp", "2" } },
    border_blocks = 0,              -- the newest epoch's group data is empty so long
    catching_up = false,
    latency_s = 0.005,
    tasks = {}, connections = {}, sent = {}, asked = {}, said = {},
    spoil = nil,                    -- function(path, answer) → answer | nil, failure
    refuse_ws = nil, silent_ws = false, drop = function() return false end,
    is_stalled = false,
  }, Chain)
  chain.next_block_s = chain.now_s + chain.block_s
  chain.broker = fake.new()
  chain.broker:register { id = "node1", host = "a", models = { m1 = {} } }
  chain.broker:register { id = "node2", host = "b", models = { m1 = {} } }
  return chain
end

function Chain.hash(_, height) return ("%064X"):format(height * 7919 + 17) end

--- The newest epoch at a height: 0, then one each epoch_length from first_start on.
function Chain.epoch(self, height)
  if height < self.first_start then return { index = 0, start = 0 } end
  local passed = (height - self.first_start) // self.params.epoch_length
  return { index = passed + 1, start = self.first_start + passed * self.params.epoch_length }
end

-- ---- answers ----

local function texts(object)
  local copy = {}
  for name, value in pairs(object) do copy[name] = tostring(value) end
  return copy
end

function Chain.block_time(self, height) return rfc3339(self.now_s - (self.height - height) * self.block_s) end

function Chain.answer(self, path)
  local height = self.height
  if path == "/status" then
    return { result = { node_info = { network = "spec-1" }, sync_info = { catching_up = self.catching_up, latest_block_height = tostring(height),
      latest_block_hash = self:hash(height), latest_block_time = self.old_time or self:block_time(height) } } }
  end
  local asked = path:match("^/block%?height=(%d+)$")
  if asked then
    if tonumber(asked) > height then return nil end
    return { result = { block_id = { hash = self:hash(tonumber(asked)) } } }
  end
  local latest = self:epoch(height - (self.rest_lag or 0))
  if path == P .. "/epoch_info" then
    return { block_height = tostring(height - (self.rest_lag or 0)), params = { epoch_params = texts(self.params) },
      latest_epoch = { index = tostring(latest.index), poc_start_block_height = tostring(latest.start) } }
  end
  local epoch, model = path:match("/epoch_group_data/(%d+)%?model_id=(.*)$")
  epoch = epoch or path:match("/epoch_group_data/(%d+)$")
  if epoch then return self:group(tonumber(epoch), model, latest) end
  if path:find(P .. "/models_all", 1, true) == 1 then
    local list = {}
    for i, id in ipairs(self.models) do list[i] = { id = id, model_args = self.model_args[id] } end
    return { model = list, pagination = { next_key = nil, total = tostring(#list) } }
  end
end

function Chain.group(self, epoch, model, latest)
  if epoch > latest.index then return nil end
  local is_empty = epoch == latest.index and epoch > 0 and self.height - latest.start < self.border_blocks or self.has_no_groups
  if not model then
    return { epoch_group_data = { sub_group_models = is_empty and {} or self.models, validation_weights = {} } }
  end
  if is_empty or not self.nodes[model] then return nil end
  local ml_nodes = {}
  for i, node in ipairs(self.nodes[model]) do ml_nodes[i] = { node_id = node[1], poc_weight = "1", timeslot_allocation = { true, node[2] == true } } end
  return { epoch_group_data = { model_id = model, model_snapshot = { id = model, model_args = self.model_args[model] },
    validation_weights = { { member_address = "gonka1other", ml_nodes = { { node_id = "node1", timeslot_allocation = { false, true } } } },
      { member_address = self.address, ml_nodes = ml_nodes } } } }
end

-- ---- the jobs' world ----

local function wait(self, wake_s, connection)
  local task = self.current
  task.wake_s, task.connection = wake_s, connection
  coroutine.yield()
end

local function http_get(self, url, options)
  local path = url:match("^http://[^/]+(.*)$")
  self.asked[path] = (self.asked[path] or 0) + 1
  local answer, failure = self:answer(path), nil
  local delay = self.latency_s
  local response = answer and { status = 200, json = answer, body = dkjson.encode(answer) }
    or { status = 404, json = { code = 5, message = "not found" }, body = "{}" }
  if self.spoil then
    local spoiled, why, extra_s = self.spoil(path, response, url)
    response, failure, delay = spoiled, why, delay + (extra_s or 0)
  end
  local limit = options and options.timeout_s or 10
  if delay > limit then
    wait(self, self.now_s + limit)
    return nil, { class = "timeout", message = "GET " .. url .. ": no answer in time" }
  end
  wait(self, self.now_s + delay)
  return response, failure
end

local Connection = {}
Connection.__index = Connection

function Connection.send(connection, text)
  assert(not connection.is_closed)
  if text:find('"subscribe"', 1, true) and not connection.chain.silent_ws then
    connection.subscriptions = connection.subscriptions + 1
    connection.inbox[#connection.inbox + 1] = '{"jsonrpc":"2.0","id":"1","result":{}}'
  end
  return true
end

function Connection.receive(connection, seconds)
  local self = connection.chain
  if not connection.inbox[1] and not connection.is_cut then wait(self, self.now_s + seconds, connection) end
  if connection.inbox[1] then return table.remove(connection.inbox, 1) end
  if connection.is_cut then return nil, "the websocket was closed by the other side" end
  return nil, "timeout"
end

function Connection.ping(connection, seconds)
  local self = connection.chain
  if connection.inbox[1] then return true end
  if connection.is_muted or self.silent_ws then
    wait(self, self.now_s + (seconds or 5))
    return nil, "timeout"
  end
  wait(self, self.now_s + self.latency_s)
  return true
end

function Connection.close(connection)
  connection.is_closed = true
  for i, other in ipairs(connection.chain.connections) do
    if other == connection then table.remove(connection.chain.connections, i) break end
  end
end

local function ws_connect(self, url)
  wait(self, self.now_s + self.latency_s)
  self.ws_tries = (self.ws_tries or 0) + 1
  if self.refuse_ws and self.refuse_ws(url) then return nil, { class = "client", message = url .. " was answered 404" } end
  local connection = setmetatable({ chain = self, inbox = {}, url = url, subscriptions = 0 }, Connection)
  self.connections[#self.connections + 1] = connection
  return connection
end

--- The text of a NewBlock event.
function Chain.event(self, height)
  return dkjson.encode({ jsonrpc = "2.0", id = "1", result = { query = "q", data = { type = "t", value = { block = { header = {
    chain_id = "spec-1", height = tostring(height), time = self:block_time(height) } }, block_id = { hash = self:hash(height) } } } } },
    { keyorder = { "jsonrpc", "id", "result", "query", "data", "type", "value", "block", "header", "chain_id", "height" } })
end

function Chain.announce(self, text)
  for _, connection in ipairs(self.connections) do
    if connection.subscriptions > 0 and not connection.is_muted and not self.silent_ws then
      connection.inbox[#connection.inbox + 1] = text
      for _, task in ipairs(self.tasks) do
        if task.connection == connection then task.wake_s = self.now_s end
      end
    end
  end
end

function Chain.make_block(self)
  self.next_block_s = self.next_block_s + self.block_s
  if self.is_stalled then
    self.stalled_s = (self.stalled_s or 0) + self.block_s
    return
  end
  self.height = self.height + 1
  if self.on_block then self.on_block(self.height) end
  if not self.drop(self.height) then self:announce(self:event(self.height)) end
end

local function copy_of(value)
  if type(value) ~= "table" then return value end
  local copy = {}
  for key, inner in pairs(value) do copy[key] = copy_of(inner) end
  return copy
end

local function config_of(self, changes)
  local feed = { kind = "cometbft", rpc = "http://rpc1", rest = "http://rest1", poll_s = 1, timeout_s = 5, silence_s = 10, silence_blocks = 3 }
  for name, value in pairs(changes or {}) do feed[name] = value end
  return { feed = feed, participant = { address = self.address, pubkey = "Akey" } }
end

--- Starts the jobs of the feed.
function Chain.start(self, changes)
  for _, name in ipairs { "coxswain.feed", "coxswain.endpoints", "jobs.cometbft", "jobs.cometbft_facts" } do package.loaded[name] = nil end
  time.now = function() return self.now_s + (self.set_by_s or 0) end -- somebody may set the wall clock
  time.monotonic = function() return self.now_s end
  time.sleep = function(seconds) wait(self, self.now_s + seconds) end
  json.decode = function(text)
    local value, _, why = dkjson.decode(text)
    return value, why
  end
  http = { get = function(url, options) return http_get(self, url, options) end }
  ws = { connect = function(url) return ws_connect(self, url) end }
  broker = { command = function(name, args)
    assert(name == "new_block")
    wait(self, self.now_s)
    self.sent[#self.sent + 1] = { args = args, height = self.height, at_s = self.now_s }
    return self.broker:command(name, args)
  end }
  log.warn = function(message, fields) self.said[#self.said + 1] = { "warn", message, fields } end
  log.info = function(message, fields) self.said[#self.said + 1] = { "info", message, fields } end
  local config = config_of(self, changes)
  for _, name in ipairs { "cometbft", "cometbft_facts" } do
    local job = require("jobs." .. name)
    self.tasks[#self.tasks + 1] = { name = name, wake_s = self.now_s, co = coroutine.create(function() job.run { name = name, config = copy_of(config) } end) }
  end
end

local function resume(self, task)
  task.connection = nil
  self.current = task
  local is_good, message = coroutine.resume(task.co)
  if not is_good then error(task.name .. ": " .. debug.traceback(task.co, tostring(message)), 0) end
  assert(coroutine.status(task.co) ~= "dead", task.name .. " ended")
end

--- Lets that much time pass.
function Chain.run(self, seconds)
  local ends_s, steps = self.now_s + seconds, 0
  while true do
    local first = nil
    for _, task in ipairs(self.tasks) do
      if not first or task.wake_s < first.wake_s then first = task end
    end
    local next_s = math.min(first and first.wake_s or math.huge, self.next_block_s)
    if next_s > ends_s then break end
    self.now_s = math.max(self.now_s, next_s)
    steps = steps + 1
    assert(steps < 2000000, "the jobs do not wait")
    if self.next_block_s <= (first and first.wake_s or math.huge) then self:make_block() else resume(self, first) end
  end
  self.now_s = ends_s
end

--- Lets time pass until the chain is at that height (and a moment longer).
function Chain.run_to(self, height)
  local limit = 1000000
  while self.height < height do
    self:run(self.block_s / 2)
    limit = limit - 1
    assert(limit > 0, "the chain does not get there")
  end
  self:run(math.min(0.4, self.block_s / 2))
end

function Chain.stop(self)
  self.tasks = {}
  log.warn, log.info = function() end, function() end
  time.sleep = function() end
  time.monotonic = function() return time.now() end
end

return M
