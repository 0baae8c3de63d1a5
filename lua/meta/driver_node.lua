---@meta _
-- Made by `coxswain meta` from the descriptions of the bindings: edit those, not this.

--- The node of a driver. An attempt may be cancelled at every wait: write notes before a call whose effect may stay.
---@class coxswain.DriverNode
---@field id string # as configured
---@field config table # the node's configuration
---@field poc_url string # its management address
---@field inference_url string # its inference address
---@field memory table # notes of plain values, kept from attempt to attempt however one ends
---@field applied coxswain.Target? # the last target reached
---@field unanswered coxswain.Unanswered? # the last state-changing call that was sent and not answered by the node; 502, 503 and 504 are the word of a gateway before it
local DriverNode = {}

--- GET; raises a coxswain.Failure without an answer, or with one of status 300 and more that is not in options.accept.
---@param path string
---@param options? coxswain.RequestOptions
---@return coxswain.Answer
function DriverNode:get(path, options) end

--- POST, on a connection of its own and never repeated; raises as get does.
---@param path string
---@param body? table
---@param options? coxswain.RequestOptions
---@return coxswain.Answer
function DriverNode:post(path, body, options) end

--- Waits within this attempt.
---@param seconds number
function DriverNode:sleep(seconds) end

--- Pushes the attempt's deadline out to that many seconds from now; the node's state shows the reason.
---@param seconds number
---@param reason string
function DriverNode:extend(seconds, reason) end

--- Ends the attempt as failed, with that class for the backoff.
---@param class string
---@param message string
function DriverNode:fail(class, message) end
