-- The fleet as the chain registers it, what differs between the two, and the message that makes them equal.

local chain     = require "coxswain.chain"
local endpoints = require "coxswain.endpoints"
local protobuf  = require "coxswain.protobuf"
local tx        = require "coxswain.tx"

local ANSWER_BYTES = 8 << 20
local ENTRIES_MAX  = 500 -- of each kind in one message; the network takes 1000. The rest follows with the next one
local NODES_AT_ONCE = 256

local M = {}

-- HardwareNodeStatus of inference/inference/hardware_node.proto
local statuses = { UNKNOWN = 0, INFERENCE = 1, POC = 2, TRAINING = 3, STOPPED = 4, FAILED = 5 }

---@class coxswain.HardwareNode
---@field local_id string
---@field status string
---@field models string[] sorted
---@field hardware { type: string, count: integer }[] sorted
---@field host string
---@field port string
---@field version string?

local function sort_hardware(list)
  table.sort(list, function(left, right)
    if left.type ~= right.type then return left.type < right.type end
    return left.count < right.count
  end)
  return list
end

--- A node of the fleet in the chain's terms.
---@param entry { node: table, state: table } as broker.nodes() gives it
---@return coxswain.HardwareNode
function M.from_node(entry)
  local node, state = entry.node, entry.state
  local models, hardware = {}, {}
  for id in pairs(node.models or {}) do models[#models + 1] = id end
  table.sort(models)
  for i, item in ipairs(node.hardware or {}) do hardware[i] = { type = item.type, count = item.count } end
  return {
    local_id = node.id,
    status = statuses[state.current_status] and state.current_status or "UNKNOWN",
    models = models,
    hardware = sort_hardware(hardware),
    host = node.host,
    port = tostring(node.poc_port),
    version = node.version or "",
  }
end

-- ---- what is registered ----

local function text_of(value) return type(value) == "string" and value or "" end

local function count_of(value)
  local number = tonumber(value)
  return number and math.tointeger(number) or nil
end

local function read_entry(entry, i)
  if type(entry) ~= "table" or type(entry.local_id) ~= "string" or entry.local_id == "" then
    return nil, ("hardware_nodes[%d].local_id must be a text"):format(i)
  end
  if not statuses[entry.status] then return nil, ("hardware_nodes[%d].status is none of the known ones"):format(i) end
  local models, hardware = {}, {}
  for k, id in ipairs(type(entry.models) == "table" and entry.models or {}) do
    if type(id) ~= "string" then return nil, ("hardware_nodes[%d].models[%d] must be a text"):format(i, k) end
    models[k] = id
  end
  for k, item in ipairs(type(entry.hardware) == "table" and entry.hardware or {}) do
    local count = type(item) == "table" and count_of(item.count)
    if not count or type(item.type) ~= "string" then return nil, ("hardware_nodes[%d].hardware[%d] must have type and count"):format(i, k) end
    hardware[k] = { type = item.type, count = count }
  end
  table.sort(models)
  return {
    local_id = entry.local_id,
    status = entry.status,
    models = models,
    hardware = sort_hardware(hardware),
    host = text_of(entry.host),
    port = text_of(entry.port),
    version = type(entry.version) == "string" and entry.version or nil, -- a chain that does not know it does not take it either
  }
end

--- `GET <rest>…/hardware_nodes/{participant}`
---@return { [string]: coxswain.HardwareNode }? registered by id
---@return string? why
function M.read_registered(answer)
  if answer.nodes == nil then return {} end
  local list = type(answer.nodes) == "table" and answer.nodes.hardware_nodes
  if list == nil then return {} end
  if type(list) ~= "table" then return nil, "nodes.hardware_nodes must be a list" end
  local registered = {}
  for i, entry in ipairs(list) do
    local node, why = read_entry(entry, i)
    if not node then return nil, why end
    registered[node.local_id] = node
  end
  if next(list) ~= nil and next(registered) == nil then return nil, "nodes.hardware_nodes must be a list" end
  return registered
end

-- ---- the difference ----

local function is_same_list(left, right, is_same)
  if #left ~= #right then return false end
  for i, item in ipairs(left) do
    if not is_same(item, right[i]) then return false end
  end
  return true
end

local function is_same_text(left, right) return left == right end

local function is_same_item(left, right) return left.type == right.type and left.count == right.count end

local function is_same_node(left, right)
  return left.status == right.status and left.host == right.host and left.port == right.port and
    (left.version == nil or right.version == nil or left.version == right.version) and
    is_same_list(left.models, right.models, is_same_text) and is_same_list(left.hardware, right.hardware, is_same_item)
end

local function by_id(left, right) return left.local_id < right.local_id end

--- What must be told to the chain.
---@param fleet coxswain.HardwareNode[]
---@param registered { [string]: coxswain.HardwareNode }
---@return coxswain.HardwareNode[] new_or_modified sorted by id
---@return coxswain.HardwareNode[] removed sorted by id
function M.difference(fleet, registered)
  local knows_version = false
  for _, node in pairs(registered) do knows_version = knows_version or node.version ~= nil end
  local new_or_modified, removed, is_ours = {}, {}, {}
  for _, node in ipairs(fleet) do
    is_ours[node.local_id] = true
    local there = registered[node.local_id]
    local wanted = {}
    for name, value in pairs(node) do wanted[name] = value end
    if not knows_version then wanted.version = nil end
    if there and node.status == "UNKNOWN" then wanted.status = there.status end -- not knowing is no news
    if not there or not is_same_node(wanted, there) then new_or_modified[#new_or_modified + 1] = wanted end
  end
  for id, node in pairs(registered) do
    if not is_ours[id] then removed[#removed + 1] = node end
  end
  table.sort(new_or_modified, by_id)
  table.sort(removed, by_id)
  return new_or_modified, removed
end

-- ---- the message ----

-- HardwareNode: local_id = 1, status = 2, models = 3, hardware = 4, host = 5, port = 6, version = 7
local function encode_node(field, node)
  local items = protobuf.repeated(4, node.hardware, function(inner, item)
    return protobuf.message(inner, protobuf.text(1, item.type) .. protobuf.integer(2, item.count))
  end)
  return protobuf.message(field, protobuf.text(1, node.local_id) .. protobuf.integer(2, statuses[node.status]) ..
    protobuf.texts(3, node.models) .. items .. protobuf.text(5, node.host) .. protobuf.text(6, node.port) ..
    protobuf.text(7, node.version or ""))
end

--- MsgSubmitHardwareDiff: creator = 1, newOrModified = 2, removed = 3
---@return { type_url: string, value: string }
function M.message(creator, new_or_modified, removed)
  return {
    type_url = "/inference.inference.MsgSubmitHardwareDiff",
    value = protobuf.text(1, creator) .. protobuf.repeated(2, new_or_modified, encode_node) .. protobuf.repeated(3, removed, encode_node),
  }
end

-- ---- the whole ----

local function fleet_now()
  local fleet = {}
  for entry in broker.nodes() do
    fleet[#fleet + 1] = M.from_node(entry)
    if #fleet % NODES_AT_ONCE == 0 then time.sleep(0) end -- others may go on
  end
  return fleet
end

local function ids_of(nodes)
  local ids = json.array {}
  for i, node in ipairs(nodes) do ids[i] = node.local_id end
  return ids
end

local function first_of(list)
  if #list <= ENTRIES_MAX then return list end
  return table.move(list, 1, ENTRIES_MAX, 1, {})
end

local function services_of(config)
  local feed = config.feed
  return { rpc = endpoints.new(feed.rpc, feed.timeout_s or 5), rest = endpoints.new(feed.rest, feed.timeout_s or 5) }
end

-- ---- the journal ----

local told -- the last difference that was journaled without being sent; it is not told again every minute

local function line_of(node, change, outcome)
  local line = { op = "hardware", change = change }
  for name, value in pairs(outcome) do line[name] = value end
  if change ~= "removed" then
    line.status, line.host, line.port, line.version = node.status, node.host, node.port, node.version
    line.models, line.hardware = json.array(node.models), json.array(node.hardware)
  end
  return line
end

-- One line per node, so that its history shows what the chain was told about it, or would be.
local function note_all(registered, new_or_modified, removed, outcome)
  local is_taken, why = true, nil
  for _, node in ipairs(new_or_modified) do
    if not is_taken then break end
    local change = registered[node.local_id] and "modified" or "new"
    is_taken, why = broker.note(line_of(node, change, outcome), node.local_id)
  end
  for _, node in ipairs(removed) do
    if not is_taken then break end
    is_taken, why = broker.note(line_of(node, "removed", outcome), node.local_id)
  end
  if not is_taken then log.warn("a difference of hardware was not journaled whole", { reason = why }) end
end

local function note_difference(registered, new_or_modified, removed, difference, outcome)
  if outcome.sent or difference ~= told then note_all(registered, new_or_modified, removed, outcome) end
  told = not outcome.sent and difference or nil
end

local is_busy = false -- one at a time: two would sign with the same sequence number

local function work(config, options)
  local services, address = services_of(config), config.participant.address
  local path = chain.PREFIX .. "/hardware_nodes/" .. chain.escape(address)
  local registered, why = services.rest:ask(path, M.read_registered, { max_bytes = ANSWER_BYTES })
  if not registered then return nil, why end
  local fleet = fleet_now()
  if #fleet == 0 and not options.may_empty and next(registered) then
    return nil, "there is no node here, but some are registered on the chain: they are left; run sync_hardware to remove them"
  end
  local new_or_modified, removed = M.difference(fleet, registered)
  local result = { new_or_modified = ids_of(new_or_modified), removed = ids_of(removed), sent = false }
  if #new_or_modified == 0 and #removed == 0 then
    told = nil
    return result
  end
  new_or_modified, removed = first_of(new_or_modified), first_of(removed)
  local message = M.message(address, new_or_modified, removed)
  local key, no_key = wallet.public_key()
  local done
  if key then done, why = tx.send(config, services, { message }) else result.reason = "nothing was sent: " .. no_key end
  if done then result.sent, result.hash, result.height = true, done.hash, done.height end
  local outcome = { sent = result.sent, hash = result.hash, reason = result.reason or why }
  note_difference(registered, new_or_modified, removed, message.value, outcome)
  if key and not done then return nil, why end
  return result
end

--- Compares fleet and chain, and sends the difference when there is a key.
---@param config table the whole configuration
---@param options { may_empty: boolean? } may every registered node be removed?
---@return { new_or_modified: string[], removed: string[], sent: boolean, hash: string?, reason: string? }?
---@return string? why
function M.sync(config, options)
  if not (config.feed and config.feed.rest) then return nil, "there is no chain to sync with: feed.kind is not \"cometbft\"" end
  if not (config.participant and config.participant.address) then return nil, "participant.address is not configured" end
  while is_busy do time.sleep(0.1) end
  is_busy = true
  local guard <close> = setmetatable({}, { __close = function() is_busy = false end }) -- luacheck: ignore
  return work(config, options)
end

return M
