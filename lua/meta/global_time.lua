---@meta _
-- Made by `coxswain meta` from the descriptions of the bindings: edit those, not this.

--- The broker's clock.
---@class coxswain.globals.time
time = {}

--- Seconds since 1970 (UTC) by the broker's clock.
---@return number
function time.now() end

--- Seconds since some moment, by a clock that nobody sets: for how long something took, within one run of the daemon.
---@return number
function time.monotonic() end

--- Waits; other jobs and attempts go on meanwhile.
---@param seconds number
function time.sleep(seconds) end
