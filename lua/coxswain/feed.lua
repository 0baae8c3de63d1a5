-- What the feed knows of the chain, and how it becomes the world. Two jobs share it: one follows blocks and must never wait for
-- long, the other asks for everything else. Facts are taken over whole, or the old ones stay.

local blocktime = require "coxswain.blocktime"
local chain     = require "coxswain.chain"
local endpoints = require "coxswain.endpoints"
local epochs    = require "coxswain.epoch"
local values    = require "coxswain.values"

local HASHES_KEPT   = 512
local MEAN_FIRST_S  = 6   -- block time before any is known
local AGE_LEAST_S   = 60  -- a newest block of that age does not yet mean that the node is behind
local AGE_BLOCKS    = 10
local GROUP_BYTES   = 8 << 20
local PAGES_MAX     = 100

local M = {}

local Feed = {}
Feed.__index = Feed

local only -- one per script machine: both jobs get the same, though each has a copy of the configuration

--- @param config table the whole configuration
function M.of(config)
  only = only or M.new(config)
  return only
end

function M.new(config)
  local settings = config.feed
  return setmetatable({
    settings = settings,
    address = config.participant and config.participant.address,
    rpc = endpoints.new(settings.rpc, settings.timeout_s or 5),
    rest = endpoints.new(settings.rest, settings.timeout_s or 5),
    events = endpoints.new(settings.rpc, settings.timeout_s or 5), -- a node that answers questions may still refuse websockets
    hashes = {},           -- by height
    mean_s = MEAN_FIRST_S, -- from block to block
    troubles = {},         -- by what was asked: the last words
    newest = nil,          -- { height, hash, time, at_s }
    status = nil,          -- of the node, with asked_s
    epoch = nil, params = nil, epoch_height = nil, epoch_asked_s = nil, -- at which height the epoch was said last
    start = nil,           -- { height, hash } of the PoC start block
    set = nil,             -- { epoch, models, preserved, key }
    sent_set = nil,        -- the one that the world has
  }, Feed)
end

-- Says once what goes wrong, and once that it is over.
function Feed.note(self, what, why)
  local before = self.troubles[what]
  self.troubles[what] = why
  if why and not before then log.warn("the chain could not be asked; what was known stays", { what = what, reason = why }) end
  if before and not why then log.info("the chain answers again", { what = what }) end
end

-- ---- blocks ----

function Feed.keep_hash(self, height, hash)
  self.hashes[height] = hash
  self.hashes[height - HASHES_KEPT] = nil
  self.kept = (self.kept or 0) + 1
  if self.kept <= 2 * HASHES_KEPT then return end
  for old in pairs(self.hashes) do -- heights that were left out keep others from falling out
    if old < height - HASHES_KEPT then self.hashes[old] = nil end
  end
  self.kept = HASHES_KEPT
end

--- A block was announced.
---@param block { height: integer, hash: string, time: string? }
---@return boolean is_newer false: it is doubled or late, and changes nothing
function Feed.see(self, block)
  local newest = self.newest
  if newest and block.height <= newest.height then
    if not self.hashes[block.height] then self:keep_hash(block.height, block.hash) end
    return false
  end
  self:keep_hash(block.height, block.hash)
  local at_s = block.time and blocktime.parse(block.time)
  if newest and newest.at_s and at_s and at_s > newest.at_s then
    local each_s = (at_s - newest.at_s) / (block.height - newest.height)
    self.mean_s = math.max(0.001, math.min(600, 0.8 * self.mean_s + 0.2 * each_s))
  end
  self.newest = { height = block.height, hash = block.hash, time = block.time, at_s = at_s }
  return true
end

--- Seconds without a block after which something is wrong.
function Feed.silence_s(self)
  return math.max((self.settings.silence_blocks or 3) * self.mean_s, self.settings.silence_s or 10)
end

--- Height from which a new epoch is to be expected.
function Feed.next_start(self)
  if not self.epoch then return 0 end
  if self.epoch.index == 0 then return 0 end -- the first start follows from nothing that we know
  return self.epoch.poc_start_block_height + self.params.epoch_length
end

function Feed.expects_epoch(self) return not self.epoch or (self.newest and self.newest.height >= self:next_start()) end

-- ---- questions ----

--- Sync state; also tells of blocks that no websocket brought. Each of these returns true when anything changed.
function Feed.ask_status(self, timeout_s)
  local status, why = self.rpc:ask("/status", chain.status, { timeout_s = timeout_s })
  self:note("status", not status and why or nil)
  if not status then return false end
  local before = self:is_synced()
  status.asked_s = time.monotonic()
  self.status = status
  local is_newer = false
  if not self.newest or status.height > self.newest.height then is_newer = self:see_height(status) end
  return is_newer or before ~= self:is_synced()
end

-- A height of which only the node's status speaks.
function Feed.see_height(self, status)
  local hash = status.hash
  if not hash then
    local why
    hash, why = self.rpc:ask("/block?height=" .. status.height, chain.block_hash)
    self:note("block", not hash and why or nil)
  end
  return hash ~= nil and self:see { height = status.height, hash = hash, time = status.time }
end

-- The hash of a block: from what was seen, else asked for.
function Feed.find_hash(self, height, timeout_s)
  local hash = self.hashes[height]
  if hash then return hash end
  local why
  hash, why = self.rpc:ask("/block?height=" .. height, chain.block_hash, { timeout_s = timeout_s })
  self:note("start block", not hash and why or nil)
  return hash
end

-- Epoch and start hash appear together: an epoch without its hash would be told to the broker in between.
function Feed.ask_epoch(self, timeout_s)
  local info, why = self.rest:ask(chain.PREFIX .. "/epoch_info", chain.epoch_info, { timeout_s = timeout_s })
  self:note("epoch_info", not info and why or nil)
  if not info then return false end
  self.epoch_asked_s = time.monotonic()
  local old = self.epoch
  if old and info.epoch.index < old.index and info.height < self.epoch_height then return false end -- a node behind another one
  local is_same = old and old.index == info.epoch.index and old.poc_start_block_height == info.epoch.poc_start_block_height and
    values.equal(self.params, info.params)
  if is_same then
    self.epoch_height = math.max(self.epoch_height, info.height)
    return false
  end
  local height = info.epoch.poc_start_block_height
  if info.epoch.index > 0 and not (self.start and self.start.height == height) then
    local hash = self:find_hash(height, timeout_s)
    if self.epoch ~= old then return false end -- the other job was quicker
    if hash then self.start = { height = height, hash = hash } end
  end
  self.epoch, self.params, self.epoch_height = info.epoch, info.params, info.height
  return true
end

--- The hash of the block in which the PoC began, when it could not be had with the epoch.
function Feed.ask_start(self, timeout_s)
  local epoch = self.epoch
  if not epoch or epoch.index == 0 then return false end
  local height = epoch.poc_start_block_height
  if self.start and self.start.height == height then return false end
  local hash = self:find_hash(height, timeout_s)
  if not hash or self.epoch ~= epoch then return false end
  self.start = { height = height, hash = hash }
  return true
end

-- Arguments of all approved models; asked only when a group does not have its model's own.
function Feed.ask_models(self)
  local all, key = {}, nil
  for _ = 1, PAGES_MAX do
    local path = chain.PREFIX .. "/models_all" .. (key and "?pagination.key=" .. chain.escape(key) or "")
    local models, more = self.rest:ask(path, chain.models, { max_bytes = GROUP_BYTES })
    if not models then return nil, more end
    for id, args in pairs(models) do all[id] = args end
    key = more
    if not key then return all end
  end
  return nil, ("models_all has more than %d pages"):format(PAGES_MAX)
end

local function group_path(epoch, model)
  local path = ("%s/epoch_group_data/%d"):format(chain.PREFIX, epoch)
  return model and path .. "?model_id=" .. chain.escape(model) or path
end

-- Who of us serves what in an epoch. nil and why, or nil, nil when the chain says that nothing is settled.
function Feed.read_set(self, epoch)
  local models, why, code = self.rest:ask(group_path(epoch), chain.group_models, { max_bytes = GROUP_BYTES })
  if code == "not_found" then return nil, nil end
  if not models then return nil, why end
  if #models == 0 then return nil, nil end
  local set, approved = { epoch = epoch, models = {}, preserved = json.array {} }, nil
  local is_preserved = {}
  for _, model in ipairs(models) do
    local group
    group, why = self.rest:ask(group_path(epoch, model), function(answer) return chain.group_of_model(answer, self.address) end,
      { max_bytes = GROUP_BYTES })
    if not group then return nil, why end
    local args = group.model_args
    if not args and #group.nodes > 0 then
      if not approved then
        approved, why = self:ask_models()
        if not approved then return nil, why end
      end
      args = approved[model] or {}
    end
    for _, node in ipairs(group.nodes) do
      local list = set.models[node.id] or json.array {}
      list[#list + 1] = { id = model, model_args = json.array(args) }
      set.models[node.id] = list
      if node.is_preserved and not is_preserved[node.id] then
        is_preserved[node.id] = true
        set.preserved[#set.preserved + 1] = node.id
      end
    end
  end
  return set
end

local function empty_set(epoch) return { epoch = epoch, models = {}, preserved = json.array {} } end

-- Epoch and phase: what was read holds for as long as both do.
function Feed.set_key(self)
  local phase = self.newest and epochs.phase(self.newest.height, self.epoch, self.params) or "?"
  return self.epoch.index .. " " .. phase
end

--- The set of the newest epoch when it is settled; until then the last one stays. When we hold none, that of the epoch before.
function Feed.ask_set(self)
  local epoch = self.epoch
  if not epoch then return false end
  local key = self:set_key()
  if self.set and self.set.key == key then return false end
  local set, why = self:read_set(epoch.index)
  if not set and not why and not self.set then
    if epoch.index > 0 then set, why = self:read_set(epoch.index - 1) end
    if not set and not why then set = empty_set(math.max(epoch.index - 1, 0)) end -- certain: there is none
  end
  self:note("epoch_group_data", why)
  if not set or self.epoch ~= epoch then return false end
  set.key = set.epoch == epoch.index and key or nil -- the one of the epoch before: ask again at the next block
  self.set = set
  return true
end

-- ---- the world ----

--- Is what the node says of now? Before its first answer: no.
---@return boolean is_synced
---@return string? why not
function Feed.is_synced(self)
  local status, newest = self.status, self.newest
  if not status then return false, "the node's status is not known" end
  if status.is_catching_up then return false, "the node is catching up" end
  local limit_s = math.max(AGE_LEAST_S, AGE_BLOCKS * self.mean_s)
  local at_s = newest and newest.at_s or blocktime.parse(status.time)
  if at_s and time.now() - at_s > limit_s then return false, ("the newest block is older than %d s"):format(limit_s // 1) end
  return true
end

--- Has that changed since the broker was told?
function Feed.has_turned(self) return self.newest ~= nil and self.said_synced ~= (self:is_synced()) end

--- Seconds since everything that the world is made of was last confirmed.
function Feed.stale_s(self)
  if not (self.status and self.epoch_asked_s) then return nil end
  return time.monotonic() - math.min(self.status.asked_s, self.epoch_asked_s)
end

--- The arguments of new_block; what the world has already is left out when it is large.
---@return table? args nil: no block is known yet
function Feed.arguments(self)
  local newest = self.newest
  if not newest then return nil end
  local args = {
    height = newest.height,
    hash = newest.hash,
    time = newest.time,
    synced = self:is_synced(),
    stale_s = self:stale_s(),
    params = self.params,
    awaits_epoch_data = self.set == nil,
  }
  if self.epoch then
    args.epoch = { index = self.epoch.index, poc_start_block_height = self.epoch.poc_start_block_height }
    if self.start and self.start.height == self.epoch.poc_start_block_height then args.epoch.poc_start_block_hash = self.start.hash end
  end
  if self.set and self.set ~= self.sent_set then args.epoch_models, args.preserved = self.set.models, self.set.preserved end
  return args
end

local function refusal(answer, message)
  if answer == nil then return message or "no answer" end
  if answer.status == "done" then return nil end
  return answer.reason or answer.error or answer.status
end

local function is_harmless(why) return why:find("nothing else differs", 1, true) ~= nil end

--- Tells the broker.
---@return boolean is_taken
function Feed.send(self)
  local args = self:arguments()
  if not args then return false end
  local set = self.set
  local is_synced, why_not = self:is_synced()
  if self.said_synced ~= is_synced then
    self.said_synced = is_synced
    if is_synced then log.info("the chain is in sync", { height = args.height })
    else log.warn("the chain is not in sync: no phase command is given", { height = args.height, reason = why_not }) end
  end
  local why = refusal(broker.command("new_block", args))
  if why and is_harmless(why) then why = nil end
  if not why then self.sent_set = set end
  if why and not self.refused then log.warn("a block was not taken in", { height = args.height, reason = why }) end
  if self.refused and not why then log.info("blocks are taken in again", { height = args.height }) end
  self.refused = why
  return why == nil
end

return M
