-- What the Lua specs share: where modules are found, and the globals that the sandbox gives to scripts.
-- Scripts run here in plain Lua; what the sandbox itself does is tested by spec/c.

package.path = "./lua/?.lua;./scripts/?.lua;./spec/?.lua;" .. package.path

local array_mark = {}

---@diagnostic disable: lowercase-global
json = { array = function(list) return setmetatable(list or {}, array_mark) end }
time = { now = function() return 1700000000 end, sleep = function() end }
function time.monotonic() return time.now() end -- the specs' clocks only go forward
log = {}
for _, level in ipairs { "debug", "info", "warn", "error" } do log[level] = function() end end
