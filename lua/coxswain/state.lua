-- What policy modules carry over an exchange of the scripts. A module with state has two functions more:
--   save()         returns a plain value
--   restore(value) takes what the module of the same name in the old scripts saved

local M = {}

--- What the loaded policy modules want to be remembered.
---@param modules string[] "policy.phases"
---@return table<string, any> saved by module
function M.save(modules)
  local saved = {}
  for _, name in ipairs(modules) do
    local module = require(name)
    if type(module) == "table" and type(module.save) == "function" then saved[name] = module.save() end
  end
  return saved
end

--- Gives each module what its forerunner saved.
---@param modules string[]
---@param saved table<string, any>
function M.restore(modules, saved)
  for _, name in ipairs(modules) do
    local module = require(name)
    if saved[name] ~= nil and type(module) == "table" and type(module.restore) == "function" then module.restore(saved[name]) end
  end
end

return M
