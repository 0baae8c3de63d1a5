-- Transactions, byte by byte against published vectors, and their way to the chain with everything that can go wrong on it.

local protobuf = require "coxswain.protobuf"
local tx       = require "coxswain.tx"

local function hex(bytes) return (bytes:gsub(".", function(byte) return ("%02x"):format(byte:byte()) end)) end
local function unhex(text) return (text:gsub("%x%x", function(pair) return string.char(tonumber(pair, 16)) end)) end

describe("the wire format", function()
  it("is that of the examples in the documentation of Protocol Buffers", function()
    assert.are.equal("089601", hex(protobuf.integer(1, 150)))
    assert.are.equal("120774657374696e67", hex(protobuf.text(2, "testing")))
    assert.are.equal("1a03089601", hex(protobuf.message(3, protobuf.integer(1, 150))))
    assert.are.equal("01", hex(protobuf.varint(1)))
    assert.are.equal("9601", hex(protobuf.varint(150)))
  end)
  it("writes the largest numbers, and leaves defaults out", function()
    assert.are.equal("ffffffffffffffffff01", hex(protobuf.varint(-1)))
    assert.are.equal("ffffffffffffffff7f", hex(protobuf.varint(math.maxinteger)))
    assert.are.equal("", protobuf.integer(1, 0))
    assert.are.equal("", protobuf.text(1, ""))
    assert.are.equal("0a00", hex(protobuf.message(1, "")))
    assert.are.equal("0a000a0178", hex(protobuf.texts(1, { "", "x" })))
  end)
end)

-- Published by CosmJS, made with the chain's own program: account 1, chain simd-testing, MsgSend of 1234567ucosm, fee 2000ucosm.
local public_key = unhex "034f04181eeba35391b858633a765c4a0c189697b40d216354d50890d350c70290"
local body_hex = "0a90010a1c2f636f736d6f732e62616e6b2e763162657461312e4d736753656e6412700a2d636f736d6f7331706b707472653766646b6c366766727a6c65736a" ..
  "6a766878686c63337234676d6d6b38727336122d636f736d6f7331717970717870713971637273737a673270767871367273307a716733797963356c7a763778751a100a05" ..
  "75636f736d120731323334353637"
local auth_hex = "0a4e0a460a1f2f636f736d6f732e63727970746f2e736563703235366b312e5075624b657912230a21034f04181eeba35391b858633a765c4a0c189697b40d" ..
  "216354d50890d350c7029012040a02080112130a0d0a0575636f736d12043230303010c09a0c"
local sign_hex = "0a9301" .. body_hex .. "1265" .. auth_hex .. "1a0c73696d642d74657374696e672001"
local signature_hex = "c9dd20e07464d3a688ff4b710b1fbc027e495e797cfa0b4804da2ed117959227772de059808f765aa29b8f92edf30f4c2c5a438e30d3fe6897daa7141e3ce6f9"

local function send_message()
  local coin = protobuf.text(1, "ucosm") .. protobuf.text(2, "1234567")
  return { type_url = "/cosmos.bank.v1beta1.MsgSend", value = protobuf.text(1, "cosmos1pkptre7fdkl6gfrzlesjjvhxhlc3r4gmmk8rs6") ..
    protobuf.text(2, "cosmos1qypqxpq9qcrsszg2pvxq6rs0zqg3yyc5lzv7xu") .. protobuf.message(3, coin) }
end

describe("a document", function()
  local fee = { amount = "2000", denom = "ucosm", gas = 200000 }

  it("is that of the published example, byte by byte", function()
    local body = tx.body { send_message() }
    local auth_info = tx.auth_info({ public_key = public_key, sequence = 0 }, fee)
    assert.are.equal(body_hex, hex(body))
    assert.are.equal(auth_hex, hex(auth_info))
    assert.are.equal(sign_hex, hex(tx.sign_doc(body, auth_info, "simd-testing", 1)))
    assert.are.equal("0a9301" .. body_hex .. "1265" .. auth_hex .. "1a40" .. signature_hex, hex(tx.raw(body, auth_info, unhex(signature_hex))))
  end)

  it("carries a sequence number that is not 0, and no coins when the fee is 0", function()
    assert.are.equal(hex(tx.auth_info({ public_key = public_key, sequence = 1 }, fee)), (auth_hex:gsub("^0a4e", "0a50"):gsub("0a020801", "0a0208011801")))
    assert.is_nil(tx.auth_info({ public_key = public_key, sequence = 1 }, { amount = "0", denom = "ngonka", gas = 5 }):find("ngonka", 1, true))
  end)

  it("is sent in base64", function()
    for text, expected in pairs { [""] = "", f = "Zg==", fo = "Zm8=", foo = "Zm9v", foob = "Zm9vYg==", fooba = "Zm9vYmE=", foobar = "Zm9vYmFy" } do
      assert.are.equal(expected, tx.base64(text)) -- RFC 4648, section 10
    end
    assert.are.equal("AP+A", tx.base64("\0\xff\x80"))
  end)
end)

describe("an account", function()
  it("is found in plain and vesting accounts", function()
    local plain = { account_number = "12", sequence = "9007199254740993" }
    assert.are.same({ number = 12, sequence = 9007199254740993 }, tx.read_account { account = plain })
    assert.are.same({ number = 12, sequence = 9007199254740993 }, tx.read_account { account = { base_vesting_account = { base_account = plain } } })
    assert.are.same({ number = 0, sequence = 0 }, tx.read_account { account = { account_number = "0" } })
  end)
  it("is refused when it is none", function()
    for _, answer in ipairs { {}, { account = "x" }, { account = {} }, { account = { account_number = "x" } },
      { account = { account_number = "1", sequence = "-1" } },
      { account = { account_number = 1.5 } }, { account = { base_account = { base_account = { base_account = {} } } } } } do
      local account, why = tx.read_account(answer)
      assert.is_nil(account)
      assert.are.equal("string", type(why))
    end
  end)
end)

describe("sending", function()
  local now_s, asked, replies, real
  local config = { participant = { address = "gonka1me" }, chain = { id = "spec-1", gas = 7, fee = "5ngonka" } }

  before_each(function()
    now_s, asked, replies = 0, {}, {}
    real = { now = time.now, sleep = time.sleep }
    time.now = function() return now_s end
    time.sleep = function(seconds) now_s = now_s + seconds end
    _G.wallet = {
      public_key = function() return public_key end,
      sign = function(document) return ("s"):rep(64 - #document % 2) .. ("t"):rep(#document % 2) end,
      sha256 = function() return ("\xab"):rep(32) end,
    }
  end)
  after_each(function() time.now, time.sleep, _G.wallet = real.now, real.sleep, nil end)

  -- Endpoints whose answers are functions by kind of request.
  local services = { rest = { ask = function(_, path, read, options)
    local kind = options and options.body and "broadcast" or path:find("/accounts/", 1, true) and "account" or "find"
    asked[#asked + 1] = { kind = kind, body = options and options.body }
    local answer, why, code = replies[kind](#asked)
    if answer == nil then return nil, why, code end
    return read(answer)
  end }, rpc = {} }

  local function response(code, more)
    local object = { code = code, raw_log = more or "", codespace = code == 0 and "" or "sdk", height = "12" }
    return function() return { tx_response = object } end
  end

  local function count(kind)
    local n = 0
    for _, entry in ipairs(asked) do n = n + (entry.kind == kind and 1 or 0) end
    return n
  end

  it("ends with the block it came into", function()
    local looks = 0
    replies.account = function() return { account = { account_number = "3", sequence = "4" } } end
    replies.broadcast = response(0)
    replies.find = function()
      looks = looks + 1
      if looks < 4 then return nil, "404", "not_found" end
      return response(0)()
    end
    local done = assert(tx.send(config, services, { send_message() }))
    assert.are.same({ hash = ("AB"):rep(32), height = 12 }, done)
    assert.are.equal("BROADCAST_MODE_SYNC", asked[2].body.mode)
  end)

  it("asks for the sequence number anew when somebody was quicker, some times", function()
    local sequence = 4
    replies.account = function()
      sequence = sequence + 1
      return { account = { account_number = "3", sequence = tostring(sequence) } }
    end
    replies.broadcast = function()
      if count("broadcast") < 3 then return response(32, "account sequence mismatch")() end
      return response(0)()
    end
    replies.find = response(0)
    assert.is_truthy(tx.send(config, services, { send_message() }))
    assert.are.equal(3, count "broadcast")
    replies.broadcast = response(32, "account sequence mismatch, expected 9, got 4")
    asked = {}
    local done, why = tx.send(config, services, { send_message() })
    assert.is_nil(done)
    assert.is_truthy(why:find("expected 9", 1, true))
    assert.are.equal(4, count "broadcast")
  end)

  it("is never repeated for any other reason", function()
    replies.account = function() return { account = { account_number = "3", sequence = "4" } } end
    for _, code in ipairs { 2, 4, 5, 11, 13 } do
      asked = {}
      replies.broadcast = response(code, "no")
      local done, why = tx.send(config, services, { send_message() })
      assert.is_nil(done)
      assert.is_truthy(why:find("code " .. code .. ": no", 1, true))
      assert.are.equal(1, count "broadcast")
    end
  end)

  it("looks for a transaction whose broadcast was not answered, and does not send it twice", function()
    replies.account = function() return { account = { account_number = "3", sequence = "4" } } end
    replies.broadcast = function() return nil, "the connection broke" end
    replies.find = response(0)
    assert.is_truthy(tx.send(config, services, { send_message() }))
    replies.find = function() return nil, "404", "not_found" end
    local done, why = tx.send(config, services, { send_message() })
    assert.is_nil(done)
    assert.is_truthy(why:find("the connection broke", 1, true) and why:find("in no block after 60 s", 1, true))
    assert.are.equal(2, count "broadcast")
  end)

  it("says what failed in the block", function()
    replies.account = function() return { account = { account_number = "3", sequence = "4" } } end
    replies.broadcast, replies.find = response(0), response(5, "insufficient funds")
    local done, why = tx.send(config, services, { send_message() })
    assert.is_nil(done)
    assert.is_truthy(why:find("insufficient funds", 1, true))
  end)

  it("says what is missing: a key, an account, a chain's name, a signature", function()
    _G.wallet.public_key = function() return nil, "no key" end
    assert.are.equal("no key", select(2, tx.send(config, services, {})))
    _G.wallet.public_key = function() return public_key end
    replies.account = function() return nil, "404", "not_found" end
    assert.is_truthy(select(2, tx.send(config, services, {})):find("no account on the chain", 1, true))
    services.rpc.ask = function() return { height = 1 } end
    assert.is_truthy(select(2, tx.send({ participant = config.participant }, services, {})):find("chain.id", 1, true))
    replies.account = function() return { account = { account_number = "3", sequence = "4" } } end
    _G.wallet.sign = function() return nil, "the signer ended with exit code 1" end
    assert.is_truthy(select(2, tx.send(config, services, {})):find("exit code 1", 1, true))
  end)
end)
