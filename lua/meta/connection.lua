---@meta _
-- Made by `coxswain meta` from the descriptions of the bindings: edit those, not this.

--- An open websocket. It is closed with its script at the latest.
---@class coxswain.Connection
local Connection = {}

--- Sends a text message; nil and why when the connection has ended.
---@param text string
---@param timeout_s? number
---@return boolean?
---@return string?
function Connection:send(text, timeout_s) end

--- The next message. nil and "timeout" when none came within that time (0: none is there now), nil and another sentence when the connection has ended.
---@param timeout_s number
---@return string?
---@return string?
function Connection:receive(timeout_s) end

--- Asks for a sign of life: true when one came within that time (5 s), or when a message waits to be received.
---@param timeout_s? number
---@return boolean?
---@return string?
function Connection:ping(timeout_s) end

--- Closes the connection; closing a closed one does nothing.
function Connection:close() end
