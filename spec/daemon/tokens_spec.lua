-- Files of tokens: what check, doctor and the daemon say of those that others may read, or that are not there.
local system = require "support.system"
local json_text = require "dkjson"

local function has(text, ...)
  for _, part in ipairs { ... } do assert.truthy(text:find(part, 1, true), ("%q is not in: %s"):format(part, text)) end
end

describe("a token file", function()
  local token, config

  before_each(function()
    token = system.write("reader.token", "a-long-random-one\n")
    config = system.write("coxswain.lua", ([[return { store = ":memory:", nodes = {}, feed = { kind = "none" },
      admin = { listen = "127.0.0.1:0", socket = "c.sock", tokens = { { token_file = %q, scope = "read", name = "eyes" } } } }]]):format(token))
  end)
  after_each(system.clean)

  local function mode(bits) assert(os.execute(("chmod %s %s"):format(bits, token))) end

  it("that everybody may read or change is taken with a warning", function()
    for _, case in ipairs { { "0644", "may read it" }, { "0606", "may change it" } } do
      local bits, words = case[1], case[2]
      mode(bits)
      local warning = ("admin.tokens[1]: the token file %s has mode %s: everybody on this machine %s; run chmod 600 %s"):format(token, bits, words, token)
      local code, out, err = system.run("check", "-c", config)
      assert.equal(0, code)
      has(out, "good")
      assert.equal("warning: " .. warning .. "\n", err)
      code, out, err = system.run("check", "-c", config, "--json")
      assert.equal(0, code)
      assert.equal("", err)
      assert.equal(warning, json_text.decode(out).warnings[1].message)
      local _, report = system.run("doctor", "-c", config, "--admin", "http://127.0.0.1:1")
      has(report, token, "holds a token and everybody on this machine " .. words .. ": chmod 600")
    end
    local daemon = system.start("run", "-c", config)
    system.wait("the daemon", function() return system.read(daemon.log):find("msg=ready", 1, true) end)
    local line = system.read(daemon.log):match "[^\n]*a secret is open to others[^\n]*"
    has(line or "", "level=warn", token, "mode 0606", "chmod 600")
  end)

  it("that only its owner and their group may read is taken without a word", function()
    for _, bits in ipairs { "0600", "0640" } do
      mode(bits)
      local code, _, err = system.run("check", "-c", config)
      assert.equal(0, code)
      assert.equal("", err)
    end
    assert.same({}, json_text.decode((select(2, system.run("check", "-c", config, "--json")))).warnings)
  end)

  it("that is not there or holds no token is a fault of the check, as it is of a start", function()
    for text, words in pairs { [false] = "No such file", [" \n"] = "is empty", ["two words"] = "spaces" } do
      if text then system.write("reader.token", text) else os.remove(token) end
      local code, _, err = system.run("check", "-c", config)
      assert.equal(1, code)
      has(err, "admin.tokens[1]", token, words)
      local start_code, _, start_err = system.run("run", "-c", config)
      assert.equal(1, start_code)
      has(start_err, "admin.tokens[1]", token, words)
    end
  end)
end)
