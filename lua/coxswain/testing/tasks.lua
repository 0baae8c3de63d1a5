-- What attempts, jobs and commands that wait ask for while a case runs, and who answers it: fake servers, on virtual time. Everything
-- that happens stands on one timeline.

local M = {}

local native, line -- of the present case
local tasks        -- by fiber

function M.begin(to_native, timeline) native, line, tasks = to_native, timeline, {} end

-- ---- fake servers ----

local Server = {}
Server.__index = Server

local classes = { refused = true, reset = true, timeout = true }

local function deliver(request, answer)
  if type(answer) == "number" then return request.reply(answer) end
  if answer == "refused" then return request.refuse() end
  if answer == "reset" then return request.reset() end
  if answer == "timeout" then return end
  line:after(answer.after_s or 0, function() request.reply(answer.status or 200, answer.body) end)
end

local function find_route(routes, request)
  local path = request.path or request.url:match "^%a+://[^/]+(/.*)$" or "/"
  for _, route in ipairs { request.route, ("%s %s"):format(request.method, request.url), ("%s %s"):format(request.method, path),
    ("%s %s"):format(request.method, (path:gsub("%?.*$", ""))) } do
    if routes[route] ~= nil then return routes[route] end
  end
end

function Server:receive(request)
  self.calls[#self.calls + 1] = request.route
  local answer = find_route(self.routes, request)
  if type(answer) == "function" then
    local status, body = answer(request.body, request)
    answer = type(status) == "number" and { status = status, body = body } or status
  end
  if answer == nil then answer = { status = 404, body = { detail = "Not Found" } } end
  assert(type(answer) == "number" or type(answer) == "table" or classes[answer],
    "a route is answered by a status, { status, body, after_s }, \"refused\", \"reset\" or \"timeout\"")
  deliver(request, answer)
end

--- A fake server. A route ("GET /health", "GET inference /health" where both addresses matter, or with a whole URL) is answered by a
--- status; by { status =, body =, after_s = }; by "refused", "reset" or "timeout"; or by a function of body and request that returns
--- status and body, or one of these. What has no route is answered 404.
---@param routes table<string, any>
---@return coxswain.testing.Server
function M.server(routes)
  if type(routes) == "function" or (type(routes) == "table" and type(routes.receive) == "function") then return routes end
  return setmetatable({ routes = routes or {}, calls = {} }, Server)
end

-- ---- what a task asks for ----

local serve = {}

local function route_of(request)
  if not request.path then return ("%s %s"):format(request.method, request.url) end
  return ("%s %s%s"):format(request.method, request.base == "inference" and "inference " or "", request.path)
end

function serve.http(task, request, resume)
  local body = request.body and json.decode(request.body)
  local sent = { route = route_of(request), method = request.method, url = request.url, path = request.path, base = request.base, body = body }
  local call = request.path and ("%s %s"):format(request.method, request.path) or sent.route
  task.calls[#task.calls + 1] = call
  task.requests[#task.requests + 1] = { call = call, url = request.url, base = request.base, body = body, at_s = line.now_s }
  function sent.reply(status, answer)
    resume { status = status, body = type(answer) == "table" and json.encode(answer) or answer or "" }
  end
  function sent.reset() resume { class = "reset", error = call .. ": the connection broke" } end
  function sent.refuse() resume { class = "refused", error = call .. ": connection refused" } end
  line:after(request.timeout_s, function()
    resume { class = "timeout", error = ("%s was not answered within %g s"):format(call, request.timeout_s) }
  end)
  local server = task.server
  if type(server) == "function" then server(sent)
  elseif server then server:receive(sent)
  else sent.refuse() end
end

function serve.sleep(_, request, resume) line:after(request.sleep_s, function() resume {} end) end

function serve.command(task, request, resume)
  task.commands[#task.commands + 1] = { name = request.command, args = request.args, at_s = line.now_s }
  local stand_in = task.on_command
  if stand_in then
    local answer = stand_in
    if type(stand_in) == "function" then answer = stand_in(request.command, request.args) end
    return resume { answer = answer or { status = "done" } }
  end
  local answer = native("command", { name = request.command, args = request.args })
  if not answer.fiber then return resume { answer = answer } end
  M.run_chore(answer.fiber, { server = task.server, on_end = function(outcome) resume { answer = outcome.answer } end })
end

function serve.program(_, _, resume) resume { class = "refused", error = "there are no programs in cases" } end

-- ---- websockets ----

local sockets

local function hand_over(socket)
  local waiting = socket.waiting
  if not waiting or not socket.inbox[1] then return end
  socket.waiting = nil
  waiting { body = table.remove(socket.inbox, 1) }
end

function serve.ws_open(task, request, resume)
  local messages = task.ws and task.ws(request.url)
  if not messages then return resume { class = "refused", error = request.url .. ": connection refused" } end
  sockets = sockets + 1
  local socket = { inbox = {} }
  task.sockets[sockets] = socket
  for _, message in ipairs(messages) do
    local text = type(message) == "table" and message.text or message
    line:after(type(message) == "table" and message.after_s or 0, function()
      socket.inbox[#socket.inbox + 1] = text
      hand_over(socket)
    end)
  end
  resume { socket = sockets }
end

function serve.ws_send(task, request, resume)
  task.sent[#task.sent + 1] = request.body
  resume {}
end

function serve.ws_receive(task, request, resume)
  local socket = task.sockets[request.socket]
  if not socket then return resume { class = "reset", error = "the connection is closed" } end
  socket.waiting = resume
  hand_over(socket)
  if not socket.waiting then return end
  line:after(request.timeout_s, function()
    if socket.waiting == resume then socket.waiting = nil end
    resume { class = "timeout" }
  end)
end

function serve.ws_ping(_, _, resume) resume {} end

function serve.ws_close(task, request, resume)
  task.sockets[request.socket] = nil
  resume {}
end

-- ---- running ----

local function finish(task, why)
  if task.is_over then return end
  task.is_over = true
  tasks[task.fiber] = nil
  task.outcome = native("finish", { fiber = task.fiber, why = why })
  task.why, task.took_s = why, line.now_s - task.began_s
  if task.on_end then task.on_end(task.outcome) end
end

local step

-- An answer comes once, and not inside of the question.
local function answer_once(task)
  task.turn = task.turn + 1
  local turn, is_given = task.turn, false
  return function(reply)
    if is_given then return end
    is_given = true
    line:after(0, function()
      if not task.is_over and task.turn == turn then step(task, reply) end
    end)
  end
end

function step(task, reply)
  local answer = native("resume", { fiber = task.fiber, reply = reply })
  if not answer.request then return finish(task, "done") end
  if task.deadline then line:cancel(task.deadline) end
  if answer.deadline_s then task.deadline = line:after(answer.deadline_s, function() finish(task, "deadline") end) end
  task.waits = task.waits + 1
  serve[answer.request.kind](task, answer.request, answer_once(task))
  if task.waits == task.cancel_at then finish(task, "cancelled") end
end

local function run(fiber, options)
  local task = { fiber = fiber, server = options.server, on_command = options.commands, ws = options.ws, on_end = options.on_end,
    cancel_at = options.cancel_at, calls = {}, requests = {}, commands = {}, sent = {}, sockets = {}, turn = 0, waits = 0, began_s = line.now_s }
  tasks[fiber] = task
  sockets = sockets or 0
  step(task)
  return task
end

--- Begins what `start` of the rig names; it goes on as time passes.
---@param start table
---@param options table server, commands, ws, on_end, cancel_at
function M.start(start, options) return run(native("start", start).fiber, options) end

M.run_chore = run

--- Ends a task, or does nothing when it has ended.
---@param fiber integer
function M.cancel(fiber)
  if tasks[fiber] then finish(tasks[fiber], "cancelled") end
end

return M
