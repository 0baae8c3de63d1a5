local models = require "policy.models"

describe("merging arguments", function()
  local rows = { -- what, epoch, local, merged
    { "keeps the local ones when the epoch has none", {}, { "--a", "1", "--b" }, { "--a", "1", "--b" } },
    { "keeps the epoch's when there are no local ones", { "--a", "1" }, {}, { "--a", "1" } },
    { "puts the epoch's first", { "--b", "2" }, { "--a", "1" }, { "--b", "2", "--a", "1" } },
    { "lets the epoch win over --key value", { "--a", "2" }, { "--a", "1", "--b", "3" }, { "--a", "2", "--b", "3" } },
    { "lets --key=value win over --key value", { "--a=2" }, { "--a", "1", "--b" }, { "--a=2", "--b" } },
    { "lets --key value win over --key=value", { "--a", "2" }, { "--a=1", "--b" }, { "--a", "2", "--b" } },
    { "lets a bare flag win over all spellings", { "--a" }, { "--a", "--a=1", "--a", "x", "--b" }, { "--a", "--b" } },
    { "drops all values of a lost key", { "--a", "1" }, { "--a", "2", "3", "4", "--b", "5", "6" }, { "--a", "1", "--b", "5", "6" } },
    { "takes negative numbers for values", { "--a", "-2" }, { "--a", "-1", "--b", "-1.5", "-.5" }, { "--a", "-2", "--b", "-1.5", "-.5" } },
    { "keeps repeated local keys", { "--a", "1" }, { "--b", "1", "--b", "2" }, { "--a", "1", "--b", "1", "--b", "2" } },
    { "keeps repeated keys of the epoch", { "--a", "1", "--a", "2" }, { "--a", "3" }, { "--a", "1", "--a", "2" } },
    { "takes underscores and hyphens for the same", { "--max-len", "1" }, { "--max_len=2", "--max_len", "3" }, { "--max-len", "1" } },
    { "takes short keys for keys", { "-tp", "4" }, { "-tp", "2", "-q" }, { "-tp", "4", "-q" } },
    { "does not take one key for the beginning of another", { "--max", "1" }, { "--max-len", "2" }, { "--max", "1", "--max-len", "2" } },
    { "keeps values that hold an equals sign", { "--a" }, { "--b", "x=y" }, { "--a", "--b", "x=y" } },
    { "keeps a value that looks like JSON", { "--a" }, { "--b", '{"--a": 1}' }, { "--a", "--b", '{"--a": 1}' } },
    { "keeps values before the first key", { "--a", "1" }, { "x", "--a", "2" }, { "--a", "1", "x" } },
    { "of nothing is nothing", {}, {}, {} },
  }
  for _, row in ipairs(rows) do
    it(row[1], function()
      local epoch, own = table.move(row[2], 1, #row[2], 1, {}), table.move(row[3], 1, #row[3], 1, {})
      assert.are.same(row[4], models.merge_args(epoch, own))
      assert.are.same(row[2], epoch)
      assert.are.same(row[3], own)
    end)
  end

  it("is right for more tokens than are kept", function()
    for i = 1, 5000 do
      assert.are.same({ "--a" .. i, "1", "--b", "-" .. i }, models.merge_args({ "--a" .. i, "1" }, { "--a" .. i .. "=2", "--b", "-" .. i }))
    end
    assert.are.same({ "--a1", "1" }, models.merge_args({ "--a1", "1" }, { "--a1=2" }))
  end)

  it("gives an empty list as a list, not as an object", function()
    assert.are.equal(getmetatable(json.array {}), getmetatable(models.merge_args({}, {})))
  end)
end)

describe("the model of a node", function()
  local configured = { zeta = { args = { "--z" } }, beta = { args = { "--b", "1" } } }

  it("is the epoch's, with the merged arguments", function()
    local id, args, why = models.choose { models = configured, epoch_models = { { id = "beta", model_args = { "--e" } } } }
    assert.are.equal("beta", id)
    assert.are.same({ "--e", "--b", "1" }, args)
    assert.is_truthy(why:find("epoch", 1, true))
  end)

  it("is of several the epoch names the first that the node is configured for", function()
    assert.are.equal("zeta", (models.choose { models = configured, epoch_models = { { id = "other" }, { id = "zeta" }, { id = "beta" } } }))
  end)

  it("is the epoch's even when the node is not configured for it", function()
    local id, args = models.choose { models = configured, epoch_models = { { id = "other", model_args = { "--o" } } } }
    assert.are.equal("other", id)
    assert.are.same({ "--o" }, args)
  end)

  it("is else the first configured one in sorted order", function()
    for _, epoch_models in ipairs { {}, false } do
      local id, args = models.choose { models = configured, epoch_models = epoch_models or nil }
      assert.are.equal("beta", id)
      assert.are.same({ "--b", "1" }, args)
    end
  end)

  it("may come without arguments anywhere", function()
    local id, args = models.choose { models = { m = {} }, epoch_models = { { id = "m" } } }
    assert.are.equal("m", id)
    assert.are.same({}, args)
  end)

  it("is none where neither names one, and the reason says so", function()
    for _, node in ipairs { {}, { models = {} }, { models = {}, epoch_models = {} } } do
      local id, why = models.choose(node)
      assert.is_nil(id)
      assert.is_truthy(why:find("no model", 1, true))
    end
  end)
end)
