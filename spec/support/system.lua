-- Real processes on loopback for specs of the whole: the program under test, its simulators, and curl as everybody's client.

local json_text = require "dkjson"

local M = {}

local program = os.getenv("COXSWAIN_BIN") or "build/coxswain"
local running = {} -- pid → true
local folder

local function quote(text) return "'" .. tostring(text):gsub("'", "'\\''") .. "'" end

local function read(path)
  local file = io.open(path, "rb")
  if not file then return "" end
  local text = file:read("a")
  file:close()
  return text
end

--- A folder of this spec's own; removed by M.clean.
function M.folder()
  if not folder then
    local pipe = assert(io.popen("mktemp -d /tmp/coxswain-spec-XXXXXX"))
    folder = pipe:read("l")
    pipe:close()
  end
  return folder
end

function M.write(name, text)
  local path = M.folder() .. "/" .. name
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
  return path
end

M.read = read

--- Runs a command to its end: exit code, standard output, standard error.
function M.run(...)
  local words = { quote(program) }
  for _, word in ipairs { ... } do words[#words + 1] = quote(word) end
  local out, err = M.folder() .. "/out", M.folder() .. "/err"
  local _, _, code = os.execute(("%s >%s 2>%s </dev/null"):format(table.concat(words, " "), out, err))
  return code, read(out), read(err)
end

--- Starts a command of the shell in the background: { pid, log } with everything it writes in the file `log`.
local count = 0
function M.spawn(command)
  count = count + 1
  local log, pid_file = ("%s/log%d"):format(M.folder(), count), M.folder() .. "/pid"
  os.execute(("exec %s >%s 2>&1 </dev/null & echo $! >%s"):format(command, log, pid_file))
  local pid = assert(math.tointeger(tonumber(read(pid_file):match("%d+"))), "no process id")
  running[pid] = true
  return { pid = pid, log = log }
end

--- Starts the program in the background, like M.spawn.
function M.start(...)
  local words = { quote(program) }
  for _, word in ipairs { ... } do words[#words + 1] = quote(word) end
  return M.spawn(table.concat(words, " "))
end

function M.signal(process, name) return (os.execute(("kill -%s %d 2>/dev/null"):format(name, process.pid))) end

function M.is_running(process)
  local stat = read(("/proc/%d/stat"):format(process.pid))
  return stat ~= "" and not stat:match("%) Z ")
end

--- Asks again and again until `check` gives something true; its last answer is the reason otherwise.
function M.wait(what, check, limit_s)
  local ends = os.time() + (limit_s or 60)
  local last
  repeat
    local got, why = check()
    if got then return got end
    last = why
    os.execute("sleep 0.05")
  until os.time() > ends
  error(("waited in vain for %s%s"):format(what, last and ": " .. tostring(last) or ""), 2)
end

--- Ends everything that this spec started.
function M.clean()
  for pid in pairs(running) do
    os.execute(("kill -CONT %d 2>/dev/null; kill -TERM %d 2>/dev/null"):format(pid, pid))
  end
  for pid in pairs(running) do
    local ends = os.time() + 10
    while M.is_running { pid = pid } and os.time() <= ends do os.execute("sleep 0.02") end
    if M.is_running { pid = pid } then os.execute(("kill -KILL %d 2>/dev/null"):format(pid)) end
  end
  running = {}
  if folder then os.execute("rm -rf " .. quote(folder)) end
  folder = nil
end

local function text_of(body)
  if type(body) ~= "table" then return body end
  return next(body) == nil and "{}" or json_text.encode(body)
end

--- One HTTP exchange: status (0: none), decoded JSON or the text.
function M.http(method, url, body)
  local out = M.folder() .. "/http"
  local data = body and ("-H 'Content-Type: application/json' --data-binary " .. quote(text_of(body))) or ""
  local command = ("curl -sS -m 30 -X %s -o %s -w '%%{http_code}' %s %s 2>/dev/null"):format(method, out, data, quote(url))
  os.remove(out)
  local pipe = assert(io.popen(command))
  local status = tonumber(pipe:read("a")) or 0
  pipe:close()
  local text = read(out)
  return status, json_text.decode(text) or text
end

--- A simulated fleet with its control port: { pid, log, control = url, nodes_file = path }.
function M.fleet(...)
  local nodes_file = M.folder() .. "/nodes.json"
  local process = M.start("sim", "mlnodes", "--port", "0", "--control", "0", "--nodes-file", nodes_file, ...)
  local port = M.wait("the simulated nodes", function()
    if not M.is_running(process) then error("the simulator ended: " .. read(process.log)) end
    return read(process.log):match("control[^%d\n]*127%.0%.0%.1:(%d+)") or read(process.log):match("control[^%d\n]*(%d+)"), read(process.log)
  end)
  process.control, process.nodes_file = "http://127.0.0.1:" .. port, nodes_file
  return process
end

--- A simulated chain: { pid, log, url }.
function M.chain(...)
  local process = M.start("sim", "chain", "--port", "0", ...)
  local port = M.wait("the simulated chain", function()
    if not M.is_running(process) then error("the simulator ended: " .. read(process.log)) end
    return read(process.log):match("chain ready: http://[^:]+:(%d+)"), read(process.log)
  end)
  process.url = "http://127.0.0.1:" .. port
  return process
end

--- Sets faults of a simulated chain; "off" for none.
function M.chain_faults(chain, ...)
  local status, answer = M.http("POST", chain.url .. "/sim/faults", { faults = { ... } })
  assert(status == 200, tostring(type(answer) == "table" and answer.error or answer))
end

function M.chain_state(chain)
  local _, state = M.http("GET", chain.url .. "/sim/state")
  return state
end

--- The daemon on a configuration text: { pid, log, url }.
function M.daemon(config, ...)
  local path = M.write("coxswain.lua", config)
  local process = M.start("run", "-c", path, "-D", "admin.listen=127.0.0.1:0", ...)
  local port = M.wait("the daemon", function()
    if not M.is_running(process) then error("the daemon ended: " .. read(process.log)) end
    return read(process.log):match("msg=ready[^\n]*port=(%d+)"), read(process.log)
  end)
  process.url, process.config = "http://127.0.0.1:" .. port, path
  return process
end

--- Sends a command; its answer.
function M.command(daemon, name, args)
  local status, answer = M.http("POST", daemon.url .. "/v1/commands/" .. name, args or "{}")
  return answer, status
end

--- { [node id] = state } of the daemon.
function M.states(daemon)
  local _, list = M.http("GET", daemon.url .. "/admin/v1/nodes")
  local states = {}
  for _, entry in ipairs(type(list) == "table" and list or {}) do states[entry.node.id] = entry.state end
  return states
end

--- { [node id] = report } of a simulated fleet.
function M.reports(fleet)
  local _, report = M.http("GET", fleet.control .. "/sim/nodes")
  local reports = {}
  for _, node in ipairs(report.nodes) do reports[node.id] = node end
  return reports, report
end

--- Waits until every node is at that status (and PoC status).
function M.converged(daemon, status, poc, limit_s)
  return M.wait(("all nodes at %s/%s"):format(status, poc or "IDLE"), function()
    local states, seen = M.states(daemon), 0
    for id, state in pairs(states) do
      seen = seen + 1
      if state.current_status ~= status or state.poc_current_status ~= (poc or "IDLE") or state.reconcile_info then
        return nil, ("%s is %s/%s: %s"):format(id, state.current_status, state.poc_current_status, state.failure_reason)
      end
    end
    return seen > 0 and states
  end, limit_s)
end

--- The block with the parameters of the network's own tests: epochs of 100, stage 20, delay 2, validation 10.
function M.block(height, epoch, start)
  return {
    height = height,
    hash = ("H%d"):format(height),
    epoch = { index = epoch, poc_start_block_height = start },
    params = { epoch_length = 100, poc_stage_duration = 20, poc_validation_delay = 2, poc_validation_duration = 10 },
  }
end

--- A configuration without a feed: blocks come by commands only.
function M.config(nodes_file, more, feed, participant)
  return ([[
return {
  participant = %s,
  callback_url = "http://127.0.0.1:9100",
  nodes = %q,
  store = ":memory:",
  feed = %s,
  reconcile = { backoff_s = { 0.1, 1 } },
  probe = { interval_s = 1, timeout_s = 1 },
  %s
}
]]):format(participant or [[{ address = "gonka1spec", pubkey = "Aspec" }]], nodes_file, feed or [[{ kind = "none" }]], more or "")
end

return M
