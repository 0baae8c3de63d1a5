---@meta _
-- Made by `coxswain meta` from the descriptions of the bindings: edit those, not this.

--- JSON: integers stay exact, lists stay lists.
---@class coxswain.globals.json
---@field null userdata # stands for null in lists; in objects null is nil
json = {}

--- Marks a table as a list, so that an empty one is written as [].
---@param list? table
---@return table
function json.array(list) end

--- Reads JSON; nil and the reason when it is none.
---@param text string
---@return any
---@return string?
function json.decode(text) end

--- Writes a plain value as JSON with sorted keys.
---@param value any
---@return string
function json.encode(value) end
