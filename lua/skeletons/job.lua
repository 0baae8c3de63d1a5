-- The job NAME: runs on a worker for as long as the daemon does. It may do HTTP, wait, read all nodes and send commands; it changes
-- nothing by itself. Between two waits it has 50 ms. It is started anew when it fails and after a reload.

local PERIOD_S = 60

---@param job coxswain.Job name and configuration
local function run(job)
  while true do
    time.sleep(PERIOD_S) -- every wait may be the last one: the daemon stops, or new scripts go live
    for entry in broker.nodes() do
      if entry.state.current_status == "FAILED" then
        -- What goes wrong outside is a value and not an error: nil and why.
        local answer, why = broker.command("reconcile", { node_id = entry.node.id })
        if not answer then log.warn("a node could not be tried again", { job = job.name, node = entry.node.id, reason = why }) end
      end
    end
  end
end

---@type coxswain.JobFile
return {
  help = "Every minute: tries failed nodes again at once.",
  -- feed = "cometbft", -- only with that kind of feed; without it the job always runs
  run = run,
}
