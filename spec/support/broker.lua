-- The broker as command handlers see it, in Lua: nodes with targets, a world, and the way in which the core runs a handler
-- (arguments checked, phases and sync asked, effects only when it is done, the command that was issued run next).

local schema = require "coxswain.schema"
local values = require "coxswain.values"

local BLOCKS_KEPT = 256

local broker = {}

local Node = {}
Node.__index = function(node, name)
  if Node[name] then return Node[name] end
  return node.broker:_field(node._, name)
end

local function copy_of(value)
  if type(value) ~= "table" then return value end
  local copy = {}
  for key, inner in pairs(value) do copy[key] = copy_of(inner) end
  return setmetatable(copy, getmetatable(value))
end

local TARGET_FIELDS = { status = true, poc = true, model = true, args = true, block_height = true, block_hash = true,
  public_key = true, node_id = true, node_count = true, url = true, task = true }

function Node.intend(node, target, reason)
  assert(target.status == "INFERENCE" or target.status == "POC" or target.status == "STOPPED" or target.status == "TRAINING")
  for name in pairs(target) do assert(TARGET_FIELDS[name], "unknown target field " .. name) end
  local entry = node._
  entry.reason = reason
  if values.equal(entry.target, target) then return false end
  entry.target = copy_of(target)
  entry.changes = entry.changes + 1
  local self = node.broker
  local episode = self.episode
  local is_same = episode and episode.hash == target.block_hash and episode.height == target.block_height
  if target.status == "POC" and not is_same then
    self.episode = { height = target.block_height, hash = target.block_hash, node_count = self:_highest() + 1 }
  end
  return true
end

function Node.config(node)
  local config = copy_of(node._.config)
  config.node_num = node._.num
  return config
end

local Broker = {}
Broker.__index = Broker

--- options: participant, callback_url
function broker.new(options)
  options = options or {}
  return setmetatable({
    participant = options.participant or { address = "gonka1x", pubkey = "Akey" },
    callback_url = options.callback_url or "http://10.0.0.5:9100",
    entries = {}, -- by id
    blocks = {},  -- { height, hash }, the oldest first
    asked = {},   -- reconcile and probe
    ran = {},     -- names of the commands that were issued and ran
    fleet_version = 0,
    generation = 1,
  }, Broker)
end

-- What handlers use -------------------------------------------------------------------------------------------------

function Broker:_field(entry, name)
  if name == "id" then return entry.config.id end
  if name == "node_num" then return entry.num end
  if name == "target" then return entry.target end
  if name == "intended_status" then return entry.target and entry.target.status or "UNKNOWN" end
  if name == "admin_state" then return entry.admin end
  if name == "preserved" then return self.world and self.world.preserved and self.world.preserved[entry.config.id] or false end
  if name == "epoch_models" then return self.world and self.world.epoch_models and self.world.epoch_models[entry.config.id] end
  return entry.config[name]
end

local function wrap(self, entry) return setmetatable({ broker = self, _ = entry }, Node) end

local function sorted(self)
  local list = {}
  for _, entry in pairs(self.entries) do list[#list + 1] = entry end
  table.sort(list, function(left, right) return left.num < right.num end)
  return list
end

function Broker:_highest()
  local highest = -1
  for _, entry in pairs(self.entries) do highest = math.max(highest, entry.num) end
  return highest
end

function Broker:nodes()
  local list, i = sorted(self), 0
  return function()
    i = i + 1
    return list[i] and wrap(self, list[i])
  end
end

function Broker:node(id) return self.entries[id] and wrap(self, self.entries[id]) end

function Broker.skip(_, reason) return { skipped = reason } end

function Broker:block_hash(height)
  for _, block in ipairs(self.blocks) do
    if block.height == height then return block.hash end
  end
end

function Broker:node_count(height, hash)
  local episode = self.episode
  if episode and episode.height == height and episode.hash == hash then return episode.node_count end
  return self:_highest() + 1
end

function Broker:set_world(world)
  local full = copy_of(world)
  full.participant, full.callback_url = self.participant, self.callback_url
  self.world = full
  table.insert(self.blocks, { height = world.height, hash = world.hash })
  if #self.blocks > BLOCKS_KEPT then table.remove(self.blocks, 1) end
end

function Broker:issue(name) self.issued = name end

local function free_num(self)
  local taken, num = {}, 0
  for _, entry in pairs(self.entries) do taken[entry.num] = true end
  while taken[num] do num = num + 1 end
  return num
end

function Broker:register(config)
  if type(config.id) ~= "string" or config.id == "" then return nil, "node id is required" end
  if type(config.host) ~= "string" then return nil, "host is required" end
  if self.entries[config.id] then return nil, "node " .. config.id .. " is registered already" end
  local admin = { enabled = true, epoch = self.world and self.world.epoch or 0 }
  self.entries[config.id] = { config = copy_of(config), num = free_num(self), admin = admin, changes = 0 }
  self.fleet_version = self.fleet_version + 1
  return self:node(config.id)
end

function Broker:update(config)
  if type(config.host) ~= "string" then return nil, "host is required" end
  local entry = self.entries[config.id]
  if not entry then
    return nil, ("node %s is not registered: add it with register_node"):format(tostring(config.id)), "not_found"
  end
  entry.config = copy_of(config)
  self.fleet_version = self.fleet_version + 1
  return self:node(config.id)
end

function Broker:remove(id)
  local is_known = self.entries[id] ~= nil
  self.entries[id] = nil
  self.fleet_version = self.fleet_version + 1
  return is_known
end

function Broker:set_admin(id, is_enabled, epoch, reason, expires_at)
  local entry = self.entries[id]
  if not entry then return nil, ("node %s is not registered"):format(id), "not_found" end
  entry.admin = { enabled = is_enabled, epoch = epoch, reason = reason, expires_at = expires_at }
  self.fleet_version = self.fleet_version + 1
  return true
end

local function ask(self, what, id)
  if id and not self.entries[id] then return nil, ("node %s is not registered"):format(id), "not_found" end
  self.asked[#self.asked + 1] = { what, id }
  return id and 1 or #sorted(self)
end

function Broker:reconcile(id) return ask(self, "reconcile", id) end

function Broker:probe(id) return ask(self, "probe", id) end

-- How the core runs them --------------------------------------------------------------------------------------------

local function why_skipped(self, file)
  local world = self.world
  if file.synced and not (world and world.synced) then return "not synced" end
  if not file.phases then return nil end
  for _, phase in ipairs(file.phases) do
    if world and world.phase == phase then return nil end
  end
  return "the phase is " .. tostring(world and world.phase)
end

local state = { "world", "entries", "blocks", "episode", "fleet_version" }

local function run(self, name, args)
  local file = require("commands." .. name)
  args = copy_of(args or {})
  local is_good, message = schema.check(file.args or {}, args)
  if not is_good then return { status = "error", error = message } end
  local skipped = why_skipped(self, file)
  if skipped then return { status = "skipped", reason = skipped } end
  local before = {}
  for _, field in ipairs(state) do before[field] = copy_of(self[field]) end
  local result, why, code = file.run(self, args)
  if result == nil then
    for _, field in ipairs(state) do self[field] = before[field] end
    return { status = "error", error = why, code = code }
  end
  if result.skipped then return { status = "skipped", reason = result.skipped } end
  return { status = "done", result = result }
end

-- What a phase command decides from, besides the block.
local function due_key(self, name)
  local world = self.world
  return { name, world.epoch, world.params, world.epoch_models, world.preserved, world.poc_start_hash, world.synced,
    self.fleet_version, self.generation }
end

--- Runs a command, then the one that it issued when that is due.
function Broker:command(name, args)
  self.issued = nil
  local answer = run(self, name, args)
  local due = answer.status == "done" and self.issued
  if not due then return answer end
  answer.result.issued = {}
  if self.succeeded and values.equal(self.succeeded, due_key(self, due)) then return answer end
  local outcome = run(self, due, {})
  self.ran[#self.ran + 1] = due
  answer.result.issued[1] = { name = due, status = outcome.status, reason = outcome.reason or outcome.error }
  if outcome.status == "done" then self.succeeded = due_key(self, due) end
  return answer
end

--- "POC/GENERATING", "INFERENCE", "none" of a node.
function Broker:intent(id)
  local target = self.entries[id].target
  return target and target.status .. (target.poc and "/" .. target.poc or "") or "none"
end

function Broker:target(id) return self.entries[id].target end

return broker
