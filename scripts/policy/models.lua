-- Which model a node serves, and with what arguments.

local M = {}

local none = {}

-- "--key=value" → "--key". Underscores and hyphens mean the same to the inference server. False: a value, as "-1" is.
local function read_key(token)
  local key = token:match("^(%-%-?%a[^=]*)")
  return key and key:gsub("_", "-") or false
end

-- A fleet shares few tokens, and matching them is most of the work of a decision: they are kept.
local KEYS_MAX = 4096
local keys, known = {}, 0

local function key_of(token)
  local key = keys[token]
  if key == nil then
    if known == KEYS_MAX then keys, known = {}, 0 end
    key = read_key(token)
    keys[token], known = key, known + 1
  end
  return key
end

-- Keys of an argument list, as a set.
local function keys_of(args)
  local set = {}
  for i = 1, #args do
    local key = key_of(args[i])
    if key then set[key] = true end
  end
  return set
end

--- The epoch's arguments first, then the node's own ones whose key is not among them. A key and the values after it stay
--- together; `--key value`, `--key=value` and a bare `--flag` all count as the key.
---@param epoch_args string[]
---@param local_args string[]
---@return string[] args a new list, or one of the two when the other one is empty: not to be changed
function M.merge_args(epoch_args, local_args)
  if #epoch_args == 0 and #local_args > 0 then return local_args end
  if #local_args == 0 and #epoch_args > 0 then return epoch_args end
  local merged, taken, is_kept = table.move(epoch_args, 1, #epoch_args, 1, {}), keys_of(epoch_args), true
  for i = 1, #local_args do
    local token = local_args[i]
    local key = key_of(token)
    if key then is_kept = not taken[key] end -- values go the way of the key before them
    if is_kept then merged[#merged + 1] = token end
  end
  return json.array(merged)
end

local function first_configured(models)
  local first
  for id in next, models do
    if first == nil or id < first then first = id end
  end
  return first
end

-- The epoch's model for the node: where it names several, one that the node is configured for.
local function epoch_model(epoch_models, models)
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
  local epoch_models = node.epoch_models
  local epoch = epoch_models and epoch_model(epoch_models, models)
  local id = epoch and epoch.id or first_configured(models)
  if id == nil then return nil, "no model: neither the epoch nor the node's configuration names one" end
  local configured = models[id]
  local own = configured and configured.args or none
  local args = M.merge_args(epoch and epoch.model_args or none, own)
  return id, args, epoch and "the epoch's model for this node" or "no model of the epoch: the first configured one"
end

return M
