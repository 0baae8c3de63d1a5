-- Idempotency keys over a restart: whoever was told an outcome gets it again from the next daemon on the same store.
local system = require "support.system"

local node = [[{ "id": "a", "host": "127.0.0.1", "inference_port": 5000, "poc_port": 8080, "max_concurrent": 5, "models": { "m": { "args": [] } } }]]

describe("an Idempotency-Key", function()
  local daemon
  teardown(system.clean)

  local function start() daemon = system.daemon((system.config(system.write("nodes.json", "[]")):gsub('store = ":memory:"', 'store = "c.db"'))) end

  --- Status, body, and whether it was given before.
  local function put(key, body)
    local path = system.write("body", body)
    local pipe = assert(io.popen(("curl -sS -i -m 30 -X PUT -H 'Idempotency-Key: %s' --data-binary @%s %s/admin/v1/nodes/a"):format(key, path, daemon.url)))
    local answer = pipe:read "a"
    pipe:close()
    return tonumber(answer:match "^HTTP/1.1 (%d+)"), answer:match "\r\n\r\n(.*)", answer:find("Idempotency-Replayed: true", 1, true) ~= nil
  end

  it("gives its outcome again, though the daemon was killed in between", function()
    start()
    local status, first, is_replay = put("k1", node)
    assert.equal(200, status)
    assert.is_false(is_replay)
    assert.equal(200, (system.http("DELETE", daemon.url .. "/admin/v1/nodes/a")))
    assert.equal(400, (put("k2", "{}")))
    system.signal(daemon, "KILL")
    system.wait("the end of the daemon", function() return not system.is_running(daemon) end)
    start()
    local again
    status, again, is_replay = put("k1", node)
    assert.equal(200, status)
    assert.is_true(is_replay)
    assert.equal(first, again)
    assert.equal(404, (system.http("GET", daemon.url .. "/admin/v1/nodes/a"))) -- it was not carried out again
    assert.equal(422, (put("k1", node:gsub("5000", "5001"))))
    status, again, is_replay = put("k2", "{}")
    assert.truthy(again:find("error", 1, true))
    assert.equal(400, status)
    assert.is_true(is_replay)
  end)
end)
