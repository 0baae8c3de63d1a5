---@meta _
-- Made by `coxswain meta` from the descriptions of the bindings: edit those, not this.

--- A node of policy and command handlers. It is good only inside of the handler that got it.
---@class coxswain.Node
---@field id string # as configured
---@field node_num integer # its number, from 0; PoC splits the nonce space by it
---@field intended_status string # status of its target; UNKNOWN: it has none
---@field current_status string # as the last attempt or probe left it
---@field poc_intended_status string # IDLE, GENERATING or VALIDATING
---@field poc_current_status string # IDLE, GENERATING or VALIDATING
---@field target coxswain.Target? # what it should be now
---@field failure_reason string? # why it is FAILED
---@field epoch_models coxswain.EpochModel[]? # what it is to serve in this epoch
---@field preserved boolean # it serves inference through the PoC of this epoch
---@field admin_state coxswain.AdminState # whether an operator wants it to work
---@field is_operational boolean # by the admin rule of policy/eligibility.lua
---@field host string # as configured
---@field inference_port integer # as configured
---@field poc_port integer # as configured
---@field max_concurrent integer # requests that it may serve at once
---@field models table<string, table> # by id: { args }
---@field inference_segment string? # as configured
---@field poc_segment string? # as configured
---@field hardware table[]? # list of { type, count }
---@field version string? # as configured
---@field kind string # its driver ("mlnode")
local Node = {}

--- Sets what the node should be; false: it is to be that already.
---@param target coxswain.Target
---@param reason? string
---@return boolean
function Node:intend(target, reason) end

--- A copy of the node's configuration, with its node_num.
---@return table
function Node:config() end
