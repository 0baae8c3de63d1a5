-- Writes messages in the wire format of Protocol Buffers (https://protobuf.dev/programming-guides/encoding): as much of it as
-- transactions need. A field with its default value (0, "") is left out, as the canonical form of proto3 asks.

local M = {}

local VARINT, BYTES = 0, 2 -- wire types

--- A 64-bit number in groups of seven bits, the lowest first.
---@param number integer taken as unsigned
---@return string
function M.varint(number)
  local bytes = {}
  repeat
    local low = number & 0x7F
    number = number >> 7
    bytes[#bytes + 1] = string.char(number ~= 0 and low | 0x80 or low)
  until number == 0
  return table.concat(bytes)
end

local function key(field, wire_type) return M.varint(field << 3 | wire_type) end

--- An integer or enum field.
function M.integer(field, number)
  assert(math.type(number) == "integer", "an integer is needed")
  return number == 0 and "" or key(field, VARINT) .. M.varint(number)
end

--- A string or bytes field.
function M.text(field, text) return text == "" and "" or M.message(field, text) end

--- An embedded message; written when it is empty too, because presence says something.
function M.message(field, bytes) return key(field, BYTES) .. M.varint(#bytes) .. bytes end

--- A repeated field.
---@param write fun(field: integer, item: any): string
---@param list any[]
function M.repeated(field, list, write)
  local parts = {}
  for i, item in ipairs(list) do parts[i] = write(field, item) end
  return table.concat(parts)
end

--- A repeated string: empty ones are written too.
function M.texts(field, list) return M.repeated(field, list, M.message) end

return M
