---@meta _
-- Made by `coxswain meta` from the descriptions of the bindings: edit those, not this.

--- Websockets.
---@class coxswain.globals.ws
ws = {}

--- Opens a websocket within options.timeout_s (10), for messages of at most options.max_bytes (8 MiB); nil and { class, message, status? }.
---@param url string
---@param options? coxswain.HttpOptions
---@return coxswain.Connection?
---@return coxswain.Failure?
function ws.connect(url, options) end
