-- The simulator keeps its own promises: the same seed is the same life, and what breaks says how to see it again.

local program = os.getenv "COXSWAIN_SIM" or "build/spec/sim/coxswain-sim"

-- Output and exit code; every run is a process of its own, at other addresses and with other hash seeds of Lua.
local function run(arguments)
  local pipe = assert(io.popen(("'%s' %s 2>&1"):format(program, arguments)))
  local output = pipe:read "a"
  local _, _, code = pipe:close()
  return output, code
end

describe("the simulator", function()
  it("lives the same life for the same seed in every process", function()
    local first, code = run "--seeds 101..106 --lines"
    assert.equal(0, code, first)
    local hashes = {}
    for seed, hash in first:gmatch "seed (%d+) hash (%x+)" do hashes[seed] = hash end
    for _ = 1, 2 do
      for seed = 101, 106 do
        local again = run("--seed " .. seed)
        assert.equal(hashes[tostring(seed)], again:match "hash (%x+)", "seed " .. seed)
      end
    end
  end)

  it("lives another life for another seed", function()
    local one, other = run "--seed 1", run "--seed 2"
    assert.are_not.equal(one:match "hash (%x+)", other:match "hash (%x+)")
  end)

  it("hashes what it traces, whether it is printed or not", function()
    local printed = run "--seed 5 --life 20 --machines 3 --trace"
    local silent = run "--seed 5 --life 20 --machines 3"
    assert.equal(silent:match "seed 5 hash (%x+)", printed:match "seed 5 hash (%x+)")
    assert.is_true(#printed > 20 * #silent)
  end)

  it("finds a planted bug, and says how to see it again", function()
    local output, code = run "--plant result.accepts_stale --seeds 1..50"
    assert.equal(1, code, output)
    assert.matches("seed %d+ FAILED after [%d.]+ s: results are applied by their fence: ", output)
    local node = output:match "the last lines about (node%d+):\n"
    local lines = output:match "the last lines about [^\n]+\n(.-)\nbroken after"
    assert.matches("BROKEN results are applied by their fence: after the results for " .. node .. ":", lines, 1, true)
    for line in lines:gmatch "[^\n]+" do assert.matches(node .. "%f[%D]", line) end
    local replay = output:match "smallest: coxswain%-sim ([^\n]+)"
    local again, again_code = run(replay)
    assert.equal(1, again_code)
    assert.matches("results are applied by their fence", again, 1, true)
  end)

  it("exchanges scripts, refuses broken ones, and goes back", function()
    local missing = { "reload of scripts is done", "reload of scripts is refused", "rollback of scripts is done", "rollback of scripts is failed",
                      "reload of scripts is failed" }
    for seed = 1, 200 do
      local output, code = run(("--seed %d --trace --trace-of 'of scripts is'"):format(seed))
      assert.equal(0, code, "seed " .. seed)
      for i = #missing, 1, -1 do
        if output:find(missing[i], 1, true) then table.remove(missing, i) end
      end
      if #missing == 0 then return end
    end
    assert.same({}, missing)
  end)

  it("kills the broker, tears what it was writing, and lets clients take their leases over", function()
    local missing = { "process is killed", "is torn", "fsync fails", "disk is full", "takes over: 0", "waited in vain" }
    for seed = 1, 200 do
      local output, code = run(("--seed %d --trace"):format(seed))
      assert.equal(0, code, "seed " .. seed)
      for i = #missing, 1, -1 do
        if output:find(missing[i], 1, true) then table.remove(missing, i) end
      end
      if #missing == 0 then return end
    end
    assert.same({}, missing)
  end)

  it("leaves families of faults out when it is told to", function()
    local calm = "--seed 3 --life 30 --without network --without machines --without chain --without operators --without clock"
    local output, code = run(calm .. " --without restarts --without pace --without disk --without clients --trace")
    assert.equal(0, code)
    for _, fault in ipairs { "cut off", "clock jumps", "chain ", "process is killed", "the disk", "fsync", "client " } do
      assert.is_nil(output:match(fault), fault)
    end
  end)

  -- Operators name moments on that clock; nothing else that the fleet is asked may depend on it. In each of these lives a driver that took
  -- the length of a load from it did something else.
  it("lets nobody measure a duration by the wall clock", function()
    for _, seed in ipairs { 7, 17, 133, 143, 165 } do
      local life = ("--seed %d --without operators --trace"):format(seed)
      local set, code = run(life)
      assert.equal(0, code, "seed " .. seed)
      local left_alone = run(life .. " --without clock")
      assert.matches("clock jumps", set, 1, true)
      assert.is_nil(left_alone:find("clock jumps", 1, true))
      local function asked(trace)
        local lines = {}
        for line in trace:gmatch "[^\n]+" do
          if line:find(" sends ", 1, true) then lines[#lines + 1] = line end
        end
        return table.concat(lines, "\n")
      end
      assert.is_true(#asked(set) > 1000)
      assert.equal(asked(left_alone), asked(set), "seed " .. seed)
    end
  end)

  it("says what it checks", function()
    local output = run "--invariants"
    assert.matches("one mutating call per machine\n", output, 1, true)
  end)

  it("refuses what it does not understand", function()
    for _, arguments in ipairs { "--seeds 5..1", "--seeds x", "--without weather", "--plant nothing", "--machines 101", "--no-such", "word" } do
      local _, code = run(arguments)
      assert.equal(2, code, arguments)
    end
    local _, code = run "--kept no/such/file"
    assert.equal(2, code)
  end)
end)
