---@meta _
-- Made by `coxswain meta` from the descriptions of the bindings: edit those, not this.

--- The broker of a command's handler. What it changes is applied when the handler has returned, all or nothing.
---@class coxswain.Broker
---@field world coxswain.World? # nil before the first block
---@field participant coxswain.Participant? # who we are on the chain; nil before the first block
---@field callback_url string? # where ML nodes post PoC batches; nil before the first block
local Broker = {}

--- Iterates over all nodes in the order of their numbers.
---@return fun(): coxswain.Node?
function Broker:nodes() end

--- The node of that id.
---@param id string
---@return coxswain.Node?
function Broker:node(id) end

--- Hash of one of the last 256 blocks seen.
---@param height integer
---@return string?
function Broker:block_hash(height) end

--- How many parts the nonce space of that PoC episode has: fixed when its first PoC target is set.
---@param start_height integer
---@param start_hash string
---@return integer
function Broker:node_count(start_height, start_hash) end

--- Replaces the world once the command is done.
---@param world coxswain.World
function Broker:set_world(world) end

--- Registers a new node; nil, why not, and a code.
---@param node table
---@return coxswain.Node?
---@return string?
---@return string?
function Broker:register(node) end

--- Replaces the configuration of a registered node.
---@param node table
---@return coxswain.Node?
---@return string?
---@return string?
function Broker:update(node) end

--- Unregisters a node; false: it was not registered.
---@param id string
---@return boolean
function Broker:remove(id) end

--- Sets a node's admin state; from `expires_at` on, in seconds since 1970, the broker ends it with the command expire_admin_state.
---@param id string
---@param enabled boolean
---@param epoch integer
---@param reason? string
---@param expires_at? number
---@return true?
---@return string?
---@return string?
function Broker:set_admin(id, enabled, epoch, reason, expires_at) end

--- Ends backoffs; with an id also starts the attempt in flight anew. Returns the nodes triggered.
---@param id? string
---@return integer?
---@return string?
---@return string?
function Broker:reconcile(id) end

--- Probes now. Returns the nodes triggered.
---@param id? string
---@return integer?
---@return string?
---@return string?
function Broker:probe(id) end

--- Names the command that is due: it runs next, when anything it decides from changed.
---@param command string
function Broker:issue(command) end

--- To be returned: the command is skipped, with that reason.
---@param reason string
---@return any
---@return string
function Broker:skip(reason) end

--- Is that the mark that skip returns?
---@param value any
---@return boolean
function Broker:is_skip(value) end
