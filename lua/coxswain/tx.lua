-- Transactions of Cosmos chains: the documents (cosmos/tx/v1beta1/tx.proto, SIGN_MODE_DIRECT), and the way of one to its block.

local chain    = require "coxswain.chain"
local protobuf = require "coxswain.protobuf"

local ATTEMPTS      = 4   -- to broadcast: a sequence number may be taken by somebody else who signs for us
local POLL_S        = 1
local RESULT_S      = 60  -- a transaction that is in no block by then is given up
local WRONG_SEQUENCE = 32 -- of codespace "sdk"
local DIRECT        = 1   -- SIGN_MODE_DIRECT

local M = {}

-- ---- documents ----

--- google.protobuf.Any
local function any(type_url, value) return protobuf.text(1, type_url) .. protobuf.text(2, value) end

--- TxBody
---@param messages { type_url: string, value: string }[]
---@param memo string?
function M.body(messages, memo)
  local write = function(field, message) return protobuf.message(field, any(message.type_url, message.value)) end
  return protobuf.repeated(1, messages, write) .. protobuf.text(2, memo or "")
end

local function coin(denom, amount) return protobuf.text(1, denom) .. protobuf.text(2, amount) end

--- AuthInfo with one signer.
---@param signer { public_key: string, sequence: integer } compressed secp256k1
---@param fee { amount: string, denom: string, gas: integer } an amount of "0": no coins
function M.auth_info(signer, fee)
  local key = any("/cosmos.crypto.secp256k1.PubKey", protobuf.text(1, signer.public_key))
  local mode = protobuf.message(1, protobuf.integer(1, DIRECT))
  local info = protobuf.message(1, key) .. protobuf.message(2, mode) .. protobuf.integer(3, signer.sequence)
  local coins = fee.amount:find("[1-9]") and protobuf.message(1, coin(fee.denom, fee.amount)) or ""
  return protobuf.message(1, info) .. protobuf.message(2, coins .. protobuf.integer(2, fee.gas))
end

--- SignDoc: what is signed.
function M.sign_doc(body, auth_info, chain_id, account_number)
  return protobuf.text(1, body) .. protobuf.text(2, auth_info) .. protobuf.text(3, chain_id) .. protobuf.integer(4, account_number)
end

--- TxRaw: what is sent.
function M.raw(body, auth_info, signature)
  return protobuf.text(1, body) .. protobuf.text(2, auth_info) .. protobuf.message(3, signature)
end

local alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

--- RFC 4648, with padding.
function M.base64(bytes)
  local out = {}
  for i = 1, #bytes, 3 do
    local a, b, c = bytes:byte(i, i + 2)
    local held = a << 16 | (b or 0) << 8 | (c or 0)
    for shift = 18, 0, -6 do
      local place = (held >> shift & 63) + 1
      out[#out + 1] = alphabet:sub(place, place)
    end
    if not c then out[#out] = "=" end
    if not b then out[#out - 1] = "=" end
  end
  return table.concat(out)
end

local function hex(bytes) return (bytes:gsub(".", function(byte) return ("%02X"):format(byte:byte()) end)) end

-- ---- answers ----

local function natural(value)
  if type(value) == "string" and value:find("^%d+$") and #value <= 19 then value = tonumber(value) end
  return math.type(value) == "integer" and value >= 0 and value or nil
end

-- Vesting and module accounts hold the plain one inside.
local function base_account(account)
  for _ = 1, 3 do
    if type(account) ~= "table" then return nil end
    if account.account_number ~= nil then return account end
    account = account.base_vesting_account or account.base_account
  end
end

--- `GET <rest>/cosmos/auth/v1beta1/accounts/{address}`
---@return { number: integer, sequence: integer }?
---@return string? why
function M.read_account(answer)
  local account = base_account(answer.account)
  local number = account and natural(account.account_number)
  local sequence = account and natural(account.sequence or "0")
  if not number or not sequence then return nil, "account.account_number and account.sequence must be whole numbers" end
  return { number = number, sequence = sequence }
end

local function read_response(answer)
  local response = answer.tx_response
  if type(response) ~= "table" then return nil, "tx_response must be an object" end
  local code = natural(response.code)
  if not code then return nil, "tx_response.code must be a whole number" end
  local log = type(response.raw_log) == "string" and response.raw_log or ""
  local codespace = type(response.codespace) == "string" and response.codespace or ""
  return { code = code, codespace = codespace, log = log:sub(1, 300), height = natural(response.height) or 0 }
end

-- ---- the way into a block ----

-- "1000ngonka" → amount, denomination
local function read_fee(config)
  local settings = config.chain or {}
  local amount, denom = (settings.fee or "0ngonka"):match("^(%d+)(%a.*)$")
  return { amount = amount, denom = denom, gas = settings.gas or 1000000 }
end

local function ask_account(rest, address)
  local path = "/cosmos/auth/v1beta1/accounts/" .. chain.escape(address)
  local account, why, code = rest:ask(path, M.read_account)
  if code == "not_found" then return nil, ("%s has no account on the chain yet: it must receive coins first"):format(address) end
  return account, why
end

local function ask_chain_id(config, rpc)
  local id = config.chain and config.chain.id
  if id then return id end
  local status, why = rpc:ask("/status", chain.status)
  if not status then return nil, why end
  if not status.network then return nil, "the node's status names no network: set chain.id" end
  return status.network
end

-- Until it is in a block. What was broadcast without an answer may be there too.
local function await(rest, hash)
  local until_s, why = time.monotonic() + RESULT_S, nil
  repeat
    local response, message, code = rest:ask("/cosmos/tx/v1beta1/txs/" .. hash, read_response)
    if response and response.code == 0 then return response end
    if response then return nil, ("transaction %s failed with code %d: %s"):format(hash, response.code, response.log) end
    why = code ~= "not_found" and message or why
    time.sleep(POLL_S)
  until time.monotonic() >= until_s
  return nil, ("transaction %s is in no block after %d s%s"):format(hash, RESULT_S, why and ": " .. why or "")
end

local function is_wrong_sequence(response) return response.code == WRONG_SEQUENCE and (response.codespace == "sdk" or response.codespace == "") end

--- Signs messages for the participant, and brings them into a block.
---@param config table the whole configuration
---@param services { rpc: table, rest: table } endpoints
---@param messages { type_url: string, value: string }[]
---@return { hash: string, height: integer }? nil: it is not in a block
---@return string? why
function M.send(config, services, messages)
  local public_key, why = wallet.public_key()
  if not public_key then return nil, why end
  local address = config.participant and config.participant.address
  if not address then return nil, "participant.address is not configured" end
  local chain_id
  chain_id, why = ask_chain_id(config, services.rpc)
  if not chain_id then return nil, why end
  local body, fee = M.body(messages), read_fee(config)
  for _ = 1, ATTEMPTS do
    local account, signature, response
    account, why = ask_account(services.rest, address)
    if not account then return nil, why end
    local auth_info = M.auth_info({ public_key = public_key, sequence = account.sequence }, fee)
    signature, why = wallet.sign(M.sign_doc(body, auth_info, chain_id, account.number))
    if not signature then return nil, why end
    local raw = M.raw(body, auth_info, signature)
    local hash = hex(wallet.sha256(raw))
    response, why = services.rest:ask("/cosmos/tx/v1beta1/txs", read_response,
      { body = { tx_bytes = M.base64(raw), mode = "BROADCAST_MODE_SYNC" } })
    if not response or response.code == 0 then
      local result, message = await(services.rest, hash)
      if result then return { hash = hash, height = result.height } end
      return nil, response and message or ("%s; %s"):format(why, message)
    end
    why = ("the chain refused the transaction with code %d: %s"):format(response.code, response.log)
    if not is_wrong_sequence(response) then return nil, why end
    time.sleep(POLL_S) -- the one before ours must first be in a block
  end
  return nil, why
end

return M
