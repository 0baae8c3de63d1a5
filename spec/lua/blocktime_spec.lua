local blocktime = require "coxswain.blocktime"

describe("a block's time", function()
  local rows = {
    { "1970-01-01T00:00:00Z", 0 },
    { "2023-11-14T22:13:20Z", 1700000000 },
    { "2023-11-14t22:13:20z", 1700000000 },
    { "2023-11-14 22:13:20Z", 1700000000 },
    { "2023-11-15T00:13:20+02:00", 1700000000 },
    { "2023-11-14T16:43:20-05:30", 1700000000 },
    { "2000-02-29T00:00:00Z", 951782400 },
    { "2024-02-29T12:00:00Z", 1709208000 },
    { "2100-03-01T00:00:00Z", 4107542400 },
    { "1969-12-31T23:59:59Z", -1 },
  }
  for _, row in ipairs(rows) do
    it(("%s is %d s"):format(row[1], row[2]), function() assert.are.equal(row[2], blocktime.parse(row[1])) end)
  end

  it("keeps its fraction", function()
    assert.is_true(math.abs(blocktime.parse "2023-11-14T22:13:20.123456789Z" - 1700000000.123456789) < 1e-6)
  end)

  it("agrees with the system's calendar on random days", function()
    local seed = os.time()
    math.randomseed(seed)
    for _ = 1, 500 do
      local at = math.random(0, 4102444800)
      assert.are.equal(at, blocktime.parse(os.date("!%Y-%m-%dT%H:%M:%SZ", at)), "seed " .. seed)
    end
  end)

  it("is nil when it cannot be read", function()
    for _, text in ipairs { "", "now", "2023-11-14", "2023-11-14T22:13:20", "2023-13-01T00:00:00Z", "2023-00-01T00:00:00Z", "2023-01-32T00:00:00Z",
      "2023-01-01T24:00:00Z", "2023-01-01T00:60:00Z", "2023-01-01T00:00:61Z", "2023-01-01T00:00:00+2", "2023-01-01T00:00:00ZZ", "23-01-01T00:00:00Z" } do
      assert.is_nil(blocktime.parse(text), text)
    end
  end)

  it("is written as it was read", function()
    for _, text in ipairs { "1970-01-01T00:00:00.000Z", "2000-02-29T23:59:59.999Z", "2023-11-14T22:13:20.125Z", "2024-12-31T00:00:00.000Z",
      "2100-03-01T12:00:00.000Z", "9999-12-31T23:59:59.000Z" } do
      assert.are.equal(text, blocktime.format(blocktime.parse(text)))
    end
    for day = 0, 400 do assert.are.equal(day * 86400, blocktime.parse(blocktime.format(day * 86400))) end
  end)

  it("lies behind now, never before it", function()
    assert.are.equal(20, blocktime.staleness "2023-11-14T22:13:00Z")
    assert.are.equal(0, blocktime.staleness "2023-11-14T22:14:00Z")
    assert.are.equal(5, blocktime.staleness(1699999995))
    for _, unreadable in ipairs { "x", "-1e999", 0 / 0, math.huge } do assert.is_nil(blocktime.staleness(unreadable)) end
    assert.is_nil(blocktime.staleness(nil))
  end)
end)
