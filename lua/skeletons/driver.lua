-- The driver of nodes of kind "NAME": how to bring one to a target, and how to see what it is. It runs on a worker, may wait at every
-- call, and knows this one node only. An attempt may be cancelled at each wait and begun anew: look before you act.

-- An answer of status 300 and more raises, unless it is accepted; so does no answer. Raising fails the attempt with that reason.
---@param node coxswain.DriverNode
local function is_healthy(node) return node:get("/health", { base = "inference", accept = { 503 } }).status == 200 end

---@type coxswain.DriverFile
return {
  help = "A server with /health, /start and /stop.",
  deadline = { INFERENCE = 300, STOPPED = 60 }, -- seconds that an attempt may take
  reach = {
    INFERENCE = function(node)
      if is_healthy(node) then return end -- there already: returning means success
      node:post("/start")
      while not is_healthy(node) do node:sleep(1) end -- the deadline ends it
    end,
    STOPPED = function(node) node:post("/stop") end,
    -- A status that is missing here fails the attempt: let policy/phases.lua ask nodes of this kind for these only.
  },
  probe = function(node) -- only looks: a POST is refused here
    local ready = is_healthy(node)
    return { status = ready and "INFERENCE" or "STOPPED", ready = ready }
  end,
}
