-- Which model a node serves, and with what arguments.

local M = {}

local none = {}

-- "--key=value" → "--key". Underscores and hyphens mean the same to the inference server. nil: a value, as "-1" is.
local function key_of(token)
  local key = token:match("^(%-%-?%a[^=]*)")
  return key and (key:gsub("_", "-"))
end

-- Keys of an argument list, as a set.
local function keys_of(args)
  local keys = {}
  for _, token in ipairs(args) do
    local key = key_of(token)
    if key then keys[key] = true end
  end
  return keys
end

--- The epoch's arguments first, then the node's own ones whose key is not among them. A key and the values after it stay
--- together; `--key value`, `--key=value` and a bare `--flag` all count as the key.
---@param epoch_args string[]
---@param local_args string[]
---@return string[] args a new list, or one of the two when the other one is empty: not to be changed
function M.merge_args(epoch_args, local_args)
  if #epoch_args == 0 and #local_args > 0 then return local_args end
  if #local_args == 0 and #epoch_args > 0 then return epoch_args end
  local merged, taken, is_kept = {}, keys_of(epoch_args), true
  for _, token in ipairs(epoch_args) do merged[#merged + 1] = token end
  for _, token in ipairs(local_args) do
    local key = key_of(token)
    if key then is_kept = not taken[key] end -- values go the way of the key before them
    if is_kept then merged[#merged + 1] = token end
  end
  return json.array(merged)
end

local function first_configured(models)
  local first
  for id in pairs(models) do
    if first == nil or id < first then first = id end
  end
  return first
end

-- The epoch's model for the node: where it names several, one that the node is configured for.
local function epoch_model(epoch_models, models)
  if epoch_models == nil then return nil end
  for _, model in ipairs(epoch_models) do
    if models[model.id] then return model end
  end
  return epoch_models[1]
end

--- The model that a node is to serve.
---@param node coxswain.Node needs `models` (configuration) and `epoch_models`
---@return string? model nil when neither the epoch nor the configuration names one
---@return string[]|string args its arguments; or why there is no model
---@return string? reason where the model comes from
function M.choose(node)
  local models = node.models or none
  local epoch = epoch_model(node.epoch_models, models)
  local id = epoch and epoch.id or first_configured(models)
  if id == nil then return nil, "no model: neither the epoch nor the node's configuration names one" end
  local own = models[id] and models[id].args or none
  local args = M.merge_args(epoch and epoch.model_args or none, own)
  return id, args, epoch and "the epoch's model for this node" or "no model of the epoch: the first configured one"
end

return M
