---@meta _
-- Made by `coxswain meta` from the descriptions of the bindings: edit those, not this.

--- Requests to any address.
---@class coxswain.globals.http
http = {}

--- GET: { status, body, json? } of any status; nil and { class, message } when no whole answer came within options.timeout_s (10) and options.max_bytes (1 MiB).
---@param url string
---@param options? coxswain.HttpOptions
---@return coxswain.Answer?
---@return coxswain.Failure?
function http.get(url, options) end

--- POST of a JSON body, on a connection of its own and never repeated; otherwise as get, with 30 s.
---@param url string
---@param body? table
---@param options? coxswain.HttpOptions
---@return coxswain.Answer?
---@return coxswain.Failure?
function http.post(url, body, options) end
