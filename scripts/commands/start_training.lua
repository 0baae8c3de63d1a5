local eligibility = require "policy.eligibility"

local function sorted_ids(node_ranks)
  local ids = {}
  for id in pairs(node_ranks) do ids[#ids + 1] = id end
  table.sort(ids)
  return ids
end

-- Why the task as a whole cannot be, or nil.
local function why_wrong(args)
  if args.world_size < 1 then return ("world_size must be at least 1, not %d"):format(args.world_size) end
  if next(args.node_ranks) == nil then return "node_ranks names no node: give each node its rank" end
  local holder = {}
  for _, id in ipairs(sorted_ids(args.node_ranks)) do -- sorted: the same fault is named each time
    local rank = args.node_ranks[id]
    if rank < 0 or rank >= args.world_size then
      return ("node_ranks.%s must be from 0 to world_size - 1 = %d, not %d"):format(id, args.world_size - 1, rank)
    end
    if holder[rank] then return ("node_ranks: %s and %s have the same rank %d"):format(holder[rank], id, rank) end
    holder[rank] = id
  end
end

-- Why this node cannot take part, or nil.
local function why_refused(node, world, task_id)
  if node == nil then return "it is not registered" end
  if not eligibility.is_operational(node, world) then return "it is not operational by the admin rule" end
  local task = node.intended_status == "TRAINING" and node.target and node.target.task
  if task and task.task_id ~= task_id then return ("it trains task %s already: stop that one first"):format(task.task_id) end
end

-- Ids are numbers on the chain and strings on the wire.
local function task_id_of(args) return tostring(args.task_id) end

local function task_of(args, rank, broker)
  return {
    task_id = task_id_of(args),
    master_node_addr = args.master_node_addr,
    world_size = args.world_size,
    rank = rank,
    participant = broker.participant and broker.participant.address,
    store_url = broker.callback_url,
    train_config = args.train_config,
  }
end

return {
  help = "Asks the named nodes to train one task together, each with its rank.",
  args = {
    task_id = "string|integer",
    master_node_addr = "string",
    world_size = "integer",
    node_ranks = { "map", "integer" },
    ["train_config?"] = "object",
  },
  phases = { "Inference" },
  synced = true,
  run = function(broker, args)
    local message = why_wrong(args)
    if message then return nil, message end
    local task_id = task_id_of(args)
    local changed, refused = 0, {}
    for _, id in ipairs(sorted_ids(args.node_ranks)) do
      local node = broker:node(id)
      local reason = why_refused(node, broker.world, task_id)
      if reason then
        refused[#refused + 1] = { node_id = id, reason = reason }
      else
        local target = { status = "TRAINING", task = task_of(args, args.node_ranks[id], broker) }
        if node:intend(target, "start_training: task " .. task_id) then changed = changed + 1 end
      end
    end
    return { changed = changed, refused = json.array(refused) }
  end,
}
