-- Plain values: numbers, texts, truths, and tables of them.

local M = {}

--- Are they the same by value?
---@param left any
---@param right any
---@return boolean
function M.equal(left, right)
  if type(left) ~= "table" or type(right) ~= "table" then return left == right end
  for key, value in pairs(left) do
    if not M.equal(value, right[key]) then return false end
  end
  for key in pairs(right) do
    if left[key] == nil then return false end
  end
  return true
end

return M
