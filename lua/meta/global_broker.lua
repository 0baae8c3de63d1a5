---@meta _
-- Made by `coxswain meta` from the descriptions of the bindings: edit those, not this.

--- The broker as jobs see it: they read, and change things by commands.
---@class coxswain.jobs.broker
broker = {}

--- Sends a command and waits for its answer { status, reason?, result?, error? }; nil and why when it could not be sent.
---@param name string
---@param args? table
---@return coxswain.CommandAnswer?
---@return string?
function broker.command(name, args) end

--- Walks over all nodes: `for entry in broker.nodes() do`, with entry.node (configuration) and entry.state. Sleep now and then when there are many.
---@return fun(): coxswain.NodeEntry?
function broker.nodes() end

--- Writes a line of the journal, about a node or none; nil and why when too many are on their way. Does not wait.
---@param fields table
---@param node_id? string
---@return true?
---@return string?
function broker.note(fields, node_id) end
