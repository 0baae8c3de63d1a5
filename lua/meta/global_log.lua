---@meta _
-- Made by `coxswain meta` from the descriptions of the bindings: edit those, not this.

--- The daemon's log: one line per fact, up to 8 fields.
---@class coxswain.globals.log
log = {}

--- Writes a line that is shown only at log level debug.
---@param message string
---@param fields? table
function log.debug(message, fields) end

--- Writes a line about something worth knowing.
---@param message string
---@param fields? table
function log.info(message, fields) end

--- Writes a line about something that went wrong and is being dealt with.
---@param message string
---@param fields? table
function log.warn(message, fields) end

--- Writes a line about something that needs a person.
---@param message string
---@param fields? table
function log.error(message, fields) end
