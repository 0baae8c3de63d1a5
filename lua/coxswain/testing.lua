-- What cases of `coxswain test` are made with: the real scripts in the real broker, fake servers for what they talk to, and time that
-- passes only when a case says so. `local testing = require "coxswain.testing"`.

local mlnode   = require "coxswain.testing.mlnode"
local samples  = require "coxswain.testing.samples"
local tasks    = require "coxswain.testing.tasks"
local timeline = require "coxswain.testing.timeline"

local M = {
  config = samples.config,
  node = samples.node,
  world = samples.world,
  server = tasks.server,
  PARAMS = samples.PARAMS,
}

local said -- what was logged in the present case

--- For the runner: stands in for `log` in all that a case itself calls. The lines are logged, too.
M.log = {}
for _, level in ipairs { "debug", "info", "warn", "error" } do
  M.log[level] = function(message, fields)
    if said then said[#said + 1] = { level = level, message = message, fields = fields or {} } end
    log[level](message, fields)
  end
end

--- What the scripts that this case calls by itself, not through the broker, have logged so far. What commands, drivers and jobs say while
--- the broker runs them is shown with --verbose.
---@return { level: string, message: string, fields: table }[]
function M.logged() return said end

local native -- asks the rig (src/script/rig.h)
local line   -- the present case's timeline
local servers -- by node id, of the present case; [false]: for all others

--- For the runner.
function M.bind(to_native) native = to_native end

local began_s -- the present case, on the line

local function move(to_s)
  local seconds = to_s - began_s - time.monotonic()
  if seconds > 0 then native("pass", { seconds = seconds }) end
end

--- For the runner: a new broker and a new time.
function M.begin()
  native("reset", { participant = { address = "gonka1test", pubkey = "Atest" }, callback_url = "http://10.0.0.5:9100" })
  began_s = time.now() -- by a clock that a case may set; from here on the line has its own
  line, servers, said = timeline.new(began_s, move), {}, {}
  tasks.begin(native, line)
end

-- ---- time ----

-- Attempts that the broker began or cancelled since.
local function poll()
  local news = native "poll"
  for _, fiber in ipairs(news.cancelled) do tasks.cancel(fiber) end
  for _, attempt in ipairs(news.attempts) do
    local server = servers[attempt.node_id] or servers[false]
    tasks.start({ attempt = attempt.attempt }, { server = server })
  end
end

-- Lets time pass, and everything happen that is due, until then or until `is_done`.
local function run(until_s, is_done)
  if not line then error("time passes only inside of it(…), before_each and after_each", 3) end
  poll()
  while not (is_done and is_done()) do
    local in_s = native("next").in_s
    local to_s = math.min(until_s, in_s and line.now_s + in_s or until_s, line:next_s() or until_s)
    line:run(to_s, is_done)
    poll()
    if line.now_s >= until_s and not (line:next_s() and line:next_s() <= until_s) then return end
  end
end

--- Lets so many seconds pass: what runs goes on, and is answered by its servers.
---@param seconds number
function M.pass(seconds)
  if seconds < 0 then error("pass: seconds must be 0 or more", 2) end
  run((line and line.now_s or 0) + seconds)
end

--- Sets the wall clock on by so many seconds, or back; nothing else passes. What measures durations must not care.
---@param seconds number
function M.set_clock(seconds) native("set_clock", { seconds = seconds }) end

--- The broker's machine starts anew: of marks that were made before, time.since knows only that they are older than this.
function M.begin_era() native "begin_era" end

--- The time of this case, for fake servers of one's own: `now_s`, `after(seconds, action)`, `pass(seconds)`.
function M.timeline() return line end

-- ---- commands and fleets ----

--- Sends a command to the broker.
---@param name string
---@param args table?
---@param options { http: table|function?, commands: table|function?, ws: function?, limit_s: number? }? for one that waits
---@return coxswain.CommandAnswer
function M.command(name, args, options)
  local answer = native("command", { name = name, args = args })
  if not answer.fiber then return answer end
  options = options or {}
  local task = tasks.run_chore(answer.fiber, { server = tasks.server(options.http or {}), commands = options.commands, ws = options.ws })
  run(line.now_s + (options.limit_s or 120), function() return task.is_over end)
  tasks.cancel(answer.fiber)
  return task.outcome.answer
end

--- Tells of a block: of epoch 7, which begins at block 700 and has PoC up to block 732.
---@param height integer
---@param changes table? of the arguments of new_block
---@return coxswain.CommandAnswer
function M.block(height, changes)
  local args = { height = height, hash = ("%064X"):format(height), epoch = samples.EPOCH, params = samples.PARAMS }
  if height >= samples.EPOCH.poc_start_block_height then
    args.epoch = { index = 7, poc_start_block_height = 700, poc_start_block_hash = ("%064X"):format(700) }
  end
  for key, value in pairs(changes or {}) do args[key] = value end
  return M.command("new_block", args)
end

--- Makes a phase command due by a block: "start_poc", "init_validate" or "inference_up_all".
---@param command string
---@return coxswain.CommandAnswer
function M.due(command)
  local height = samples.HEIGHTS[command]
  assert(height, "due: start_poc, init_validate or inference_up_all")
  return M.block(height)
end

--- A node of the broker: { node = configuration, state = … } as the API shows it; nil when there is none.
---@param id string
---@return coxswain.NodeEntry?
function M.state(id)
  local entry = native("node", { id = id })
  return next(entry) and entry or nil
end

--- What a node is to be, in short: "POC/GENERATING", "INFERENCE", or "UNKNOWN" without a target.
---@param id string
---@return string
function M.intent(id)
  local state = assert(M.state(id), "there is no node " .. id).state
  local poc = state.poc_intended_status
  return poc and poc ~= "IDLE" and state.intended_status .. "/" .. poc or state.intended_status
end

--- What a node is, in short.
---@param id string
---@return string
function M.status(id)
  local state = assert(M.state(id), "there is no node " .. id).state
  local poc = state.poc_current_status
  return poc and poc ~= "IDLE" and state.current_status .. "/" .. poc or state.current_status
end

--- The broker's world.
---@return coxswain.World
function M.facts() return native "world" end

--- Registers nodes, each with a server that answers its driver's calls.
---@param nodes table[] changes of a node object (coxswain.testing.config); without an id they are node1, node2, …
---@param server any? of all of them: routes, a server, or a function that makes one of a node object; default: a simulated ML node each
function M.fleet(nodes, server)
  for i, changes in ipairs(nodes) do
    local node = samples.config { id = "node" .. i, host = "10.0.0." .. i }
    for key, value in pairs(changes) do node[key] = value end
    local made = server
    if server == nil then made = M.mlnode() elseif type(server) == "function" then made = server(node) end
    servers[node.id] = tasks.server(made)
    local answer = M.command("register_node", { node = node })
    if answer.status ~= "done" then error(("node %s was not registered: %s"):format(node.id, answer.error or answer.reason), 2) end
  end
end

--- A simulated ML node of release "old" or "new", for drivers of its kind.
---@param options table? as of coxswain.testing.mlnode
function M.mlnode(options)
  local wanted = { timeline = line }
  for key, value in pairs(options or {}) do wanted[key] = value end
  return mlnode.new(wanted)
end

-- ---- drivers ----

---@class coxswain.testing.Attempt
---@field outcome "done"|"failed"|"cancelled"|"deadline"
---@field class string? of a failure
---@field error string? why it failed
---@field calls string[] "GET /health", …
---@field requests { call: string, base: string?, body: any, at_s: number }[]
---@field took_s number
---@field seen { status: string, poc: string, ready: boolean, model: string? }? of a probe

local Drive = {}
Drive.__index = Drive

--- A node of that kind with its server. What the core keeps between attempts is kept: notes, the last target, the unanswered call.
---@param kind string
---@param server any routes, or a server
---@param changes table? of the node object
function M.drive(kind, server, changes)
  local node = samples.config(changes)
  node.kind = kind
  return setmetatable({ node = node, server = tasks.server(server) }, Drive)
end

local function attempt_of(task)
  local result = task.outcome
  local outcome = task.why
  if outcome == "done" and result.class ~= "" and result.error then outcome = "failed" end
  return { outcome = outcome, class = result.error and result.class or nil, error = result.error, calls = task.calls, requests = task.requests,
    took_s = task.took_s, seen = outcome == "done" and result.seen or nil }
end

function Drive:_try(kind, target, options)
  local unanswered = self.unanswered and { call = self.unanswered.call, age_s = line.now_s - self.unanswered.at_s }
  local task = tasks.start({ kind = kind, node = self.node, target = target, memory = self.memory, applied = self.applied, unanswered = unanswered },
    { server = self.server, cancel_at = options and options.cancel_at })
  run(math.huge, function() return task.is_over end)
  return attempt_of(task), task.outcome
end

--- One attempt to bring the node to a target.
---@param target coxswain.Target
---@param options { cancel_at: integer? }? the broker cancels it while it waits for the n-th time
---@return coxswain.testing.Attempt
function Drive:reach(target, options)
  local attempt, result = self:_try("reach", target, options)
  local unanswered = result.unanswered
  self.memory, self.unanswered = result.memory, unanswered and { call = unanswered.call, at_s = line.now_s - unanswered.age_s }
  if attempt.outcome == "done" then self.applied = target end
  return attempt
end

--- One probe; what was seen is in `seen`.
---@return coxswain.testing.Attempt
function Drive:probe() return (self:_try("probe", self.applied)) end

-- ---- jobs ----

---@class coxswain.testing.JobRun
---@field outcome "running"|"ended"|"failed" running: it was stopped after its time
---@field error { file: string, line: integer, message: string }?
---@field calls string[] "GET http://…"
---@field requests table[]
---@field commands { name: string, args: table, at_s: number }[]
---@field sent string[] over websockets

--- Runs a job for a while.
---@param name string
---@param options { config: table?, http: any, ws: (fun(url: string): table[]?)?, commands: any, for_s: number? }? http: routes or a
---server; ws: the messages of a connection, texts or { after_s, text }, nil: refused; commands: a function or an answer that stands in
---for the broker; for_s: seconds, default 60
---@return coxswain.testing.JobRun
function M.job(name, options)
  options = options or {}
  local task = tasks.start({ kind = "job", name = name, config = options.config or { feed = { kind = "none" } } },
    { server = tasks.server(options.http or {}), ws = options.ws, commands = options.commands })
  run(line.now_s + (options.for_s or 60), function() return task.is_over end)
  local outcome = task.is_over and "ended" or "running"
  tasks.cancel(task.fiber)
  if task.outcome.error then outcome = "failed" end
  return { outcome = outcome, error = task.outcome.error, calls = task.calls, requests = task.requests, commands = task.commands, sent = task.sent }
end

return M
