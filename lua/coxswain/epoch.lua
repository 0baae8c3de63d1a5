-- Where in its epoch a block height stands: the network's phases, its stages, and the command that is due.
--
-- All arithmetic is on Lua integers (64 bits), never on floats, so it is exact for every height. Heights are compared
-- by their distance from the PoC start: distances stay small where heights may be beyond 2^53.

local epoch = {}

---@class coxswain.LatestEpoch  the newest epoch that has been set; during PoC it is the effective one + 1
---@field index integer
---@field poc_start_block_height integer

---@class coxswain.EpochParams  blocks; what is absent counts as 0
---@field epoch_length integer
---@field epoch_shift integer?
---@field poc_stage_duration integer
---@field poc_exchange_duration integer?
---@field poc_validation_delay integer
---@field poc_validation_duration integer
---@field set_new_validators_delay integer?

epoch.PHASES = {
  "Inference",
  "PoCGenerate",
  "PoCGenerateWindDown",
  "PoCValidate",
  "PoCValidateWindDown",
}

epoch.COMMANDS = { "start_poc", "init_validate", "inference_up_all" }

-- Without these no phase can be told.
local required = { "epoch_length", "poc_stage_duration", "poc_validation_delay", "poc_validation_duration" }
local optional = { "epoch_shift", "poc_exchange_duration", "set_new_validators_delay", "inference_validation_cutoff" }

-- Four fifths, truncated as the chain does it. x >= 0.
local function four_fifths(x) return 4 * x // 5 end

-- Is the epoch one that has a PoC, and has its PoC begun at that height?
local function has_begun(height, latest) return latest.index ~= 0 and height >= latest.poc_start_block_height end

-- Ends of the windows, as distances from the PoC start.
local function distances(params)
  local generation_end = params.poc_stage_duration
  local validation_start = generation_end + params.poc_validation_delay
  return {
    generation_wind_down = four_fifths(params.poc_stage_duration),
    generation_end = generation_end,
    validation_start = validation_start,
    validation_wind_down = validation_start + four_fifths(params.poc_validation_duration),
    validation_end = validation_start + params.poc_validation_duration,
  }
end

--- The phase of the network at a height.
---@param height integer
---@param latest coxswain.LatestEpoch
---@param params coxswain.EpochParams
---@return string phase one of epoch.PHASES
function epoch.phase(height, latest, params)
  if not has_begun(height, latest) then return "Inference" end
  local since, ends = height - latest.poc_start_block_height, distances(params)
  if since < ends.generation_wind_down then return "PoCGenerate" end
  if since < ends.validation_start then return "PoCGenerateWindDown" end
  if since < ends.validation_wind_down then return "PoCValidate" end
  if since < ends.validation_end then return "PoCValidateWindDown" end
  return "Inference"
end

--- The phase command that is due at a height, or nil where nodes keep what they have. It does not follow from the
--- phase alone: validation is asked for from the end of generation on, while the phase is still PoCGenerateWindDown.
---@param height integer
---@param latest coxswain.LatestEpoch
---@param params coxswain.EpochParams
---@return string? command one of epoch.COMMANDS
function epoch.command(height, latest, params)
  if not has_begun(height, latest) then return "inference_up_all" end
  local since, ends = height - latest.poc_start_block_height, distances(params)
  if since < ends.generation_wind_down then return "start_poc" end
  if since < ends.generation_end then return nil end
  if since < ends.validation_wind_down then return "init_validate" end
  if since < ends.validation_end then return nil end
  return "inference_up_all"
end

-- Before the first PoC there is only the way to it.
local function stages_before_first(params)
  return { next_poc_start = params.epoch_length - (params.epoch_shift or 0) }
end

--- Every boundary of an epoch as a block height. Wind-downs, starts and `…_end` are the first height of what follows;
--- the two exchange windows include both of their ends.
---@param latest coxswain.LatestEpoch
---@param params coxswain.EpochParams
---@return table stages in epoch 0 only `next_poc_start`
function epoch.stages(latest, params)
  if latest.index == 0 then return stages_before_first(params) end
  local start, ends = latest.poc_start_block_height, distances(params)
  local set_validators = start + ends.validation_end + (params.set_new_validators_delay or 0)
  return {
    poc_start = start,
    poc_generation_wind_down = start + ends.generation_wind_down,
    poc_generation_end = start + ends.generation_end,
    poc_validation_start = start + ends.validation_start,
    poc_validation_wind_down = start + ends.validation_wind_down,
    poc_validation_end = start + ends.validation_end,
    set_new_validators = set_validators,
    claim = set_validators + 1,
    next_poc_start = start + params.epoch_length,
    poc_exchange = { first = start + 1, last = start + ends.generation_end + (params.poc_exchange_duration or 0) },
    validation_exchange = { first = start + ends.validation_start + 1, last = start + ends.validation_end },
  }
end

-- Products with 4 and sums of all durations must stay far from 2^63.
local DURATION_MAX = 1 << 53

local function as_duration(name, value)
  local whole = math.type(value) and math.tointeger(value)
  if whole and whole >= 0 and whole <= DURATION_MAX then return whole end
  return nil, ("params.%s must be a whole number of blocks from 0 to 2^53, not %s"):format(name, tostring(value))
end

--- A copy of the parameters with whole numbers for all that the arithmetic here needs; others are taken over as they are.
---@param params table as the chain or a command gave them
---@return coxswain.EpochParams? params
---@return string? message why not
function epoch.read_params(params)
  local read = {}
  for name, value in pairs(params) do read[name] = value end
  for _, name in ipairs(required) do
    if params[name] == nil then return nil, ("params.%s is missing: no phase can be told without it"):format(name) end
  end
  for _, names in ipairs { required, optional } do
    for _, name in ipairs(names) do
      if params[name] ~= nil then
        local whole, message = as_duration(name, params[name])
        if not whole then return nil, message end
        read[name] = whole
      end
    end
  end
  if read.epoch_length == 0 then return nil, "params.epoch_length must be greater than 0" end
  return read
end

return epoch
