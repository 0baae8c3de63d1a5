-- Takes a block into the world: the phase, its stages and the command due. All is computed from the block's height, so a
-- block that was missed costs nothing. The command due is issued for every block that is synced; the core runs it when
-- anything that it decides from has changed since it last succeeded.

local blocktime = require "coxswain.blocktime"
local epochs    = require "coxswain.epoch"
local values    = require "coxswain.values"

local HEIGHT_MAX = 1 << 62 -- sums of a height and the durations of an epoch stay below 2^63
local HASH_MAX = 128       -- bytes

local function is_height(value) return value >= 0 and value <= HEIGHT_MAX end

local function is_hash(text) return #text >= 1 and #text <= HASH_MAX and not text:find("[%c%s]") end

-- Why the arguments cannot be a block, or nil.
local function why_wrong(args)
  local epoch = args.epoch
  if not is_height(args.height) then return ("height must be from 0 to 2^62, not %d"):format(args.height) end
  if not is_hash(args.hash) then return ("hash must be 1 to %d characters without spaces"):format(HASH_MAX) end
  if not epoch then return nil end
  if epoch.index < 0 then return ("epoch.index must be 0 or more, not %d"):format(epoch.index) end
  if not is_height(epoch.poc_start_block_height) then
    return ("epoch.poc_start_block_height must be from 0 to 2^62, not %d"):format(epoch.poc_start_block_height)
  end
  if epoch.poc_start_block_hash and not is_hash(epoch.poc_start_block_hash) then
    return ("epoch.poc_start_block_hash must be 1 to %d characters without spaces"):format(HASH_MAX)
  end
end

local function set_of(ids)
  local set = {}
  for _, id in ipairs(ids) do set[id] = true end
  return set
end

-- The epoch that the block leaves us in: what was said now, else what was said last.
local function latest_of(args, old)
  local said = args.epoch
  if said then return { index = said.index, poc_start_block_height = said.poc_start_block_height } end
  if old.epoch then return { index = old.epoch, poc_start_block_height = old.poc_start_height } end
end

-- The hash of the episode's start block. One that was known is kept: another one would be another episode.
local function start_hash(broker, args, old, latest)
  local start = latest.poc_start_block_height
  local said = args.epoch and args.epoch.poc_start_block_hash
  if said then return said end
  if old.poc_start_height == start and old.poc_start_hash then return old.poc_start_hash end
  if args.height == start then return args.hash end
  return broker:block_hash(start)
end

-- How old what the world says is, in seconds: the block, or, on the feed's word, what stands behind it.
local function staleness(args)
  local block_s, facts_s = blocktime.staleness(args.time), args.stale_s
  if block_s and facts_s then return math.max(block_s, facts_s) end
  return block_s or facts_s
end

-- The world with this block in it.
local function world_after(broker, args, old, params)
  local is_synced = args.synced ~= false
  local awaits = args.awaits_epoch_data
  if awaits == nil then awaits = old.awaits_epoch_data end
  local world = {
    height = args.height,
    hash = args.hash,
    time = args.time,
    synced = is_synced,
    stale_s = staleness(args),
    awaits_epoch_data = awaits or nil,
    params = params,
    epoch_models = args.epoch_models or old.epoch_models,
    preserved = args.preserved and set_of(args.preserved) or old.preserved,
  }
  local latest = latest_of(args, old)
  if not latest then return world end
  world.epoch, world.poc_start_height = latest.index, latest.poc_start_block_height
  world.poc_start_hash = start_hash(broker, args, old, latest)
  if not params then return world end
  world.phase = epochs.phase(args.height, latest, params)
  local command = epochs.command(args.height, latest, params)
  -- Who is preserved is not known yet: a PoC now could take a node out of service that must serve.
  world.command = (not awaits or command == "inference_up_all") and command or nil
  world.stages = epochs.stages(latest, params)
  return world
end

-- What of a world decides anything, beside the block itself.
local deciding = { "synced", "epoch", "poc_start_height", "poc_start_hash", "params", "epoch_models", "preserved",
  "awaits_epoch_data" }

local function is_same(world, old)
  for _, name in ipairs(deciding) do
    if not values.equal(world[name], old[name]) then return false end
  end
  return true
end

local function why_no_command(world)
  if world.awaits_epoch_data and world.phase and not world.command then
    return "no phase command is given: the epoch's group data has not come yet"
  end
  if world.epoch == nil then return "no phase is known: no `epoch` has come yet" end
  if world.params == nil then return "no phase is known: no `params` have come yet" end
end

return {
  help = "Takes in a block of the chain, computes the phase, and issues the command that is due.",
  args = {
    height = "integer",
    hash = "string",
    ["time?"] = "string|number",
    ["synced?"] = "boolean",
    ["epoch?"] = { index = "integer", poc_start_block_height = "integer", ["poc_start_block_hash?"] = "string" },
    ["params?"] = { "map", "any" },
    ["epoch_models?"] = { "map", { "list", { id = "string", ["model_args?"] = { "list", "string" } } } },
    ["preserved?"] = { "list", "string" },
    ["stale_s?"] = "number", -- seconds since all of this was last confirmed
    ["awaits_epoch_data?"] = "boolean", -- who serves what in this epoch is not known yet
  },
  run = function(broker, args)
    local old = broker.world or {}
    local message = why_wrong(args)
    if message then return nil, message end
    if old.height and args.height < old.height then
      return broker:skip(("height %d is lower than the world's: the world is at height %d"):format(args.height, old.height))
    end
    local params = old.params
    if args.params then
      params, message = epochs.read_params(args.params)
      if not params then return nil, message end
    end
    local world = world_after(broker, args, old, params)
    if args.height == old.height and is_same(world, old) then
      return broker:skip(("the world is at height %d already, and nothing else differs"):format(args.height))
    end
    broker:set_world(world)
    if world.synced and world.command then broker:issue(world.command) end
    return { phase = world.phase, epoch = world.epoch, height = world.height, reason = why_no_command(world) }
  end,
}
