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

--- This moment as a plain value, to be kept in node.memory or by a job's save: time.since tells how long ago it was.
---@return table
function time.mark() end

--- Seconds since a mark, whatever the clock was set to, over restarts of the daemon. When its machine has started anew since, and of what is no mark (a note of an older script), only what is certain: the seconds since this daemon began.
---@param mark any
---@return number
function time.since(mark) end

--- Waits; other jobs and attempts go on meanwhile.
---@param seconds number
function time.sleep(seconds) end
