local fleet = require "policy.fleet"

-- Back to what the phase asks. The node is in training, which inference_up_all would leave alone, so its rule is asked
-- as for a node that is not; where no command is due it stops until one is.
local function release(broker, node, task_id)
  local why = ("stop_training: task %s has ended"):format(task_id)
  node:intend({ status = "STOPPED" }, why)
  fleet.refresh(broker, broker:node(node.id)) -- read again: it is no longer in training
end

return {
  help = "Ends a training task: its nodes go back to what the phase asks.",
  args = { task_id = "string|integer" },
  run = function(broker, args)
    local task_id, ids = tostring(args.task_id), {}
    for node in broker:nodes() do
      local task = node.intended_status == "TRAINING" and node.target and node.target.task
      if task and task.task_id == task_id then ids[#ids + 1] = node.id end
    end
    for _, id in ipairs(ids) do release(broker, broker:node(id), task_id) end
    return { changed = #ids }
  end,
}
