-- Reads the answers of CometBFT's RPC and of the chain's REST gateway. Nothing is taken on trust: whatever is missing, null,
-- of another type or out of range makes the whole answer bad, and the words say which field.

local chain = {}

local LIST_MAX = 100000 -- entries of one list
local TEXT_MAX = 1024   -- bytes of a name
local HEIGHT_MAX = 1 << 62

--- The prefix of the network's own REST routes.
chain.PREFIX = "/productscience/inference/inference"

-- Reads fields of one answer; the first that is wrong is remembered, and everything after it gives nil.
local Reader = {}
Reader.__index = Reader

local function reader(value) return setmetatable({ value = value, why = nil }, Reader) end

local function describe(value)
  local kind = type(value)
  if kind == "nil" then return "missing" end
  if kind == "string" then return ("%q"):format(#value > 40 and value:sub(1, 40) .. "…" or value) end
  if kind == "table" then return "a table" end
  return tostring(value)
end

local function step(value, path)
  for name in path:gmatch("[^.]+") do
    if type(value) ~= "table" then return nil end
    value = value[name]
  end
  return value
end

function Reader.fail(self, path, wanted, value)
  self.why = self.why or ("%s must be %s, not %s"):format(path, wanted, describe(value))
end

-- A whole number from 0 to 2^62, exact. Both services write 64 bits as text; a JSON number there is somebody else's answer.
local function natural(value)
  if type(value) ~= "string" or #value > 20 or not value:find("^%d+$") then return nil end
  value = tonumber(value)
  if math.type(value) == "integer" and value >= 0 and value <= HEIGHT_MAX then return value end
end

function Reader.natural(self, path)
  if self.why then return nil end
  local value = step(self.value, path)
  local number = natural(value)
  if not number then self:fail(path, "a whole number from 0 to 2^62 as text", value) end
  return number
end

function Reader.boolean(self, path)
  if self.why then return nil end
  local value = step(self.value, path)
  if type(value) ~= "boolean" then self:fail(path, "true or false", value) end
  return value
end

local function is_name(value) return type(value) == "string" and #value > 0 and #value <= TEXT_MAX and not value:find("%c") end

function Reader.name(self, path)
  if self.why then return nil end
  local value = step(self.value, path)
  if not is_name(value) then self:fail(path, "a text", value) end
  return value
end

function Reader.hash(self, path)
  if self.why then return nil end
  local value = step(self.value, path)
  if not (type(value) == "string" and #value >= 8 and #value <= 128 and value:find("^%x+$")) then
    self:fail(path, "a hash in hex digits", value)
    return nil
  end
  return value
end

-- A list; absent or null counts as empty when `may_be_absent`.
function Reader.list(self, path, may_be_absent)
  if self.why then return nil end
  local value = step(self.value, path)
  if value == nil and may_be_absent then return {} end
  if type(value) ~= "table" or (next(value) ~= nil and value[1] == nil) then
    self:fail(path, "a list", value)
    return nil
  end
  if #value > LIST_MAX then
    self:fail(path, ("a list of at most %d entries"):format(LIST_MAX), #value .. " entries")
    return nil
  end
  return value
end

local function names_of(list, path)
  local names = {}
  for i, name in ipairs(list) do
    if not is_name(name) then return nil, ("%s[%d] must be a text, not %s"):format(path, i, describe(name)) end
    names[i] = name
  end
  return names
end

--- `GET <rpc>/status`.
---@param json any
---@return { is_catching_up: boolean, height: integer, time: string, hash: string?, network: string? }?
---@return string? why
function chain.status(json)
  local read = reader(json)
  local status = {
    is_catching_up = read:boolean "result.sync_info.catching_up",
    height = read:natural "result.sync_info.latest_block_height",
    time = read:name "result.sync_info.latest_block_time",
  }
  if read.why then return nil, read.why end
  local hash, network = step(json, "result.sync_info.latest_block_hash"), step(json, "result.node_info.network")
  status.hash = type(hash) == "string" and #hash == 64 and hash:find("^%x+$") and hash or nil
  status.network = is_name(network) and network or nil
  return status
end

--- `GET <rpc>/block?height=h`.
---@return string? hash
---@return string? why
function chain.block_hash(json)
  local read = reader(json)
  local hash = read:hash "result.block_id.hash"
  return hash, read.why
end

--- A NewBlock event.
---@return { height: integer, hash: string, time: string? }?
---@return string? why
function chain.new_block(json)
  local read = reader(json)
  local block = {
    height = read:natural "result.data.value.block.header.height",
    hash = read:hash "result.data.value.block_id.hash",
  }
  if read.why then return nil, read.why end
  local at = step(json, "result.data.value.block.header.time")
  block.time = is_name(at) and at or nil
  return block
end

--- The height in the text of a NewBlock event, found without reading all of it: the header stands before everything else that
--- has a height. For choosing among many; what is chosen is read whole.
---@param text string
---@return integer?
function chain.peek_height(text)
  local _, last = text:find('"header":{', 1, true)
  if not last then return nil end
  _, last = text:find('"height":"', last, true)
  if not last then return nil end
  return natural(text:match("^(%d+)\"", last + 1))
end

-- All of the epoch's parameters that are whole numbers; the network has more of them than we need.
local function params_of(object)
  local params = {}
  for name, value in pairs(object) do
    if type(name) == "string" then params[name] = natural(value) end
  end
  return params
end

local needed = { "epoch_length", "poc_stage_duration", "poc_validation_delay", "poc_validation_duration" }

--- `GET <rest>…/epoch_info`.
---@return { height: integer, epoch: coxswain.LatestEpoch, params: coxswain.EpochParams }?
---@return string? why
function chain.epoch_info(json)
  local read = reader(json)
  local info = {
    height = read:natural "block_height",
    epoch = {
      index = read:natural "latest_epoch.index",
      poc_start_block_height = read:natural "latest_epoch.poc_start_block_height",
    },
  }
  for _, name in ipairs(needed) do read:natural("params.epoch_params." .. name) end
  if read.why then return nil, read.why end
  info.params = params_of(step(json, "params.epoch_params"))
  if info.epoch.index > 0 and info.epoch.poc_start_block_height > info.height then
    return nil, "latest_epoch.poc_start_block_height must not lie beyond block_height"
  end
  if info.params.epoch_length == 0 then return nil, "params.epoch_params.epoch_length must be greater than 0" end
  return info
end

--- `GET <rest>…/epoch_group_data/{epoch}` of the parent: the models that have a group.
---@return string[]? models empty: nothing is settled yet
---@return string? why
function chain.group_models(json)
  if type(step(json, "epoch_group_data")) ~= "table" then return nil, "epoch_group_data must be an object" end
  local read = reader(json)
  local list = read:list("epoch_group_data.sub_group_models", true)
  if not list then return nil, read.why end
  return names_of(list, "epoch_group_data.sub_group_models")
end

local function node_of(entry, path)
  local read = reader(entry)
  local id = read:name "node_id"
  local slots = read:list("timeslot_allocation", true)
  if read.why then return nil, ("%s.%s"):format(path, read.why) end
  for i, slot in ipairs(slots) do
    if type(slot) ~= "boolean" then return nil, ("%s.timeslot_allocation[%d] must be true or false"):format(path, i) end
  end
  return { id = id, is_preserved = slots[2] == true }
end

--- `GET <rest>…/epoch_group_data/{epoch}?model_id=`: the nodes of one participant that serve the model.
---@param json any
---@param address string the participant's
---@return { nodes: { id: string, is_preserved: boolean }[], model_args: string[]? }? `model_args` nil: the answer does not have them
---@return string? why
function chain.group_of_model(json, address)
  if type(step(json, "epoch_group_data")) ~= "table" then return nil, "epoch_group_data must be an object" end
  local read = reader(json)
  local weights = read:list("epoch_group_data.validation_weights", true)
  if not weights then return nil, read.why end
  local group = { nodes = {} }
  for i, weight in ipairs(weights) do
    if type(weight) ~= "table" then return nil, ("validation_weights[%d] must be an object"):format(i) end
    if weight.member_address == address then
      local own = reader(weight)
      local list = own:list("ml_nodes", true)
      if not list then return nil, ("validation_weights[%d].%s"):format(i, own.why) end
      for k, entry in ipairs(list) do
        local node, why = node_of(entry, ("validation_weights[%d].ml_nodes[%d]"):format(i, k))
        if not node then return nil, why end
        group.nodes[#group.nodes + 1] = node
      end
    end
  end
  local args = step(json, "epoch_group_data.model_snapshot.model_args")
  if args == nil then return group end
  local own = reader(json)
  local list = own:list "epoch_group_data.model_snapshot.model_args"
  if not list then return nil, own.why end
  local why
  group.model_args, why = names_of(list, "model_args")
  if why then return nil, why end
  return group
end

--- `GET <rest>…/models_all`: the arguments of each approved model, and the key of the next page.
---@return { [string]: string[] }?
---@return string? why_or_next_key a key only beside models
function chain.models(json)
  local read = reader(json)
  local list = read:list("model", true)
  if not list then return nil, read.why end
  local models = {}
  for i, entry in ipairs(list) do
    local own = reader(entry)
    local id, args = own:name "id", own:list("model_args", true)
    if own.why then return nil, ("model[%d].%s"):format(i, own.why) end
    local names, why = names_of(args, ("model[%d].model_args"):format(i))
    if not names then return nil, why end
    models[id] = names
  end
  local key = step(json, "pagination.next_key")
  return models, is_name(key) and key or nil
end

--- Is an answer the gateway's own "there is none" (gRPC's NotFound), and not one of something in between?
---@param answer coxswain.Answer
function chain.is_not_found(answer)
  return answer.status == 404 and type(answer.json) == "table" and answer.json.code == 5
end

--- Escapes a text for a path or a query (RFC 3986).
---@param text string
---@return string
function chain.escape(text)
  return (text:gsub("[^%w%-._~]", function(byte) return ("%%%02X"):format(byte:byte()) end))
end

return chain
