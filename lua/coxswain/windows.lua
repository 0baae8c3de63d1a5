-- The windows of an epoch in which a phase command is due: what a rehearsal of new scripts shows to each of them.

local epochs = require "coxswain.epoch"

local M = {}

local NO_HASH = ("0"):rep(64)

-- The epoch to rehearse: the present one, or, before the first PoC, the one to come. And what of the world it changes.
local function epoch_of(world)
  if world.epoch ~= 0 then
    return { index = world.epoch, poc_start_block_height = world.poc_start_height }, { poc_start_hash = world.poc_start_hash or NO_HASH }
  end
  local start = world.stages and world.stages.next_poc_start or world.height + 1
  local latest = { index = 1, poc_start_block_height = start }
  return latest, { epoch = 1, poc_start_height = start, poc_start_hash = NO_HASH, stages = epochs.stages(latest, world.params) }
end

-- The first height at which each command is due.
local function heights_of(latest, params)
  local heights, found = {}, {}
  for _, height in pairs(epochs.stages(latest, params)) do
    if math.type(height) == "integer" then heights[#heights + 1] = height end
  end
  table.sort(heights)
  for _, height in ipairs(heights) do
    local command = epochs.command(height, latest, params)
    if command and not found[command] then found[command] = height end
  end
  return found
end

--- For each phase command what its window's world has other than the present one. Nothing while no phase is known.
---@param world coxswain.World
---@return { command: string, world: table }[]
function M.of(world)
  local windows = {}
  if not (world.epoch and world.params and world.height) then return json.array(windows) end
  local latest, changes = epoch_of(world)
  local heights = heights_of(latest, world.params)
  for _, command in ipairs(epochs.COMMANDS) do
    local height = heights[command]
    if command == world.command and world.synced then
      windows[#windows + 1] = { command = command, world = {} } -- the present moment itself
    elseif height then
      local own = { command = command, height = height, phase = epochs.phase(height, latest, world.params), synced = true }
      for name, value in pairs(changes) do own[name] = value end
      windows[#windows + 1] = { command = command, world = own }
    end
  end
  return json.array(windows)
end

return M
