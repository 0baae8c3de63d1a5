-- Commands about single nodes: registration, admin state, training, reconcile and probe.

local fake = require "spec.support.broker"

local params = { epoch_length = 100, poc_stage_duration = 20, poc_validation_delay = 2, poc_validation_duration = 10 }
local epoch = { index = 3, poc_start_block_height = 1000, poc_start_block_hash = "AB" }

local function config(id, changes)
  local node = {
    id = id,
    host = "10.0.0.1",
    inference_port = 5050,
    poc_port = 8080,
    max_concurrent = 5,
    models = { m = { args = { "--own", "1" } } },
  }
  for name, value in pairs(changes or {}) do node[name] = value end
  return node
end

local function fleet_at(height, changes)
  local broker = fake.new()
  for i = 1, 2 do broker:register(config("node" .. i)) end
  local args = { height = height, hash = "FF", epoch = epoch, params = params }
  for name, value in pairs(changes or {}) do args[name] = value end
  assert.are.equal("done", broker:command("new_block", args).status)
  return broker
end

local function done(broker, name, args)
  local answer = broker:command(name, args)
  assert.are.equal("done", answer.status, answer.error or answer.reason)
  return answer.result
end

local function refused(broker, name, args, pattern)
  local answer = broker:command(name, args)
  assert.are.equal("error", answer.status)
  assert.is_truthy(answer.error:find(pattern, 1, true), answer.error)
  return answer
end

describe("register_node", function()
  it("answers the node with its number, and sets its intent at once by the phase", function()
    local broker = fleet_at(950)
    local node = done(broker, "register_node", { node = config "node3" })
    assert.are.equal("node3", node.id)
    assert.are.equal(2, node.node_num)
    assert.are.equal("INFERENCE", broker:intent "node3")
  end)

  it("in the middle of a PoC waits for the next epoch, and splits nobody's nonce space", function()
    local broker = fleet_at(1003)
    done(broker, "register_node", { node = config "node3" })
    assert.are.equal("STOPPED", broker:intent "node3")
    assert.are.equal(2, broker:target("node1").node_count)
    assert.are.equal("done", broker:command("new_block", { height = 1040, hash = "F1" }).status)
    assert.are.equal("INFERENCE", broker:intent "node3")
  end)

  it("where no command is due, not synced or before the first block, leaves the intent to the next one", function()
    for _, broker in ipairs { fleet_at(1017), fleet_at(950, { synced = false }), fake.new() } do
      done(broker, "register_node", { node = config "node3" })
      assert.are.equal("none", broker:intent "node3")
    end
  end)

  it("refuses a known id, a node object that is wrong, and none", function()
    local broker = fleet_at(950)
    refused(broker, "register_node", { node = config "node1" }, "node node1 is registered already: change it with update_node")
    refused(broker, "register_node", { node = { host = "x" } }, "node id is required")
    refused(broker, "register_node", { node = { id = 5, host = "x" } }, "node id is required")
    refused(broker, "register_node", { node = "node3" }, "node must be an object")
    refused(broker, "register_node", {}, "node is required")
    refused(broker, "register_node", { node = config "x", extra = 1 }, "unknown argument extra")
    assert.is_nil(broker.entries.x)
  end)
end)

describe("update_node", function()
  it("sets what the new configuration asks for at once", function()
    local broker = fleet_at(950)
    local node = done(broker, "update_node", { node = config("node1", { models = { m = { args = { "--own", "2" } } } }) })
    assert.are.equal(0, node.node_num)
    assert.are.same({ "--own", "2" }, broker:target("node1").args)
    assert.are.equal(2, broker.entries.node1.changes)
  end)

  it("that changes nothing for the target leaves it alone", function()
    local broker = fleet_at(950)
    done(broker, "update_node", { node = config("node1", { max_concurrent = 9 }) })
    assert.are.equal(1, broker.entries.node1.changes)
  end)

  it("leaves training alone", function()
    local broker = fleet_at(950)
    done(broker, "start_training", { task_id = "7", master_node_addr = "a", world_size = 1, node_ranks = { node1 = 0 } })
    done(broker, "update_node", { node = config("node1", { max_concurrent = 9 }) })
    assert.are.equal("TRAINING", broker:intent "node1")
  end)

  it("refuses an unknown node as not found, and a wrong object", function()
    local broker = fleet_at(950)
    assert.are.equal("not_found", refused(broker, "update_node", { node = config "node9" }, "node node9 is not registered").code)
    refused(broker, "update_node", { node = { id = "node1" } }, "host is required")
    refused(broker, "update_node", { node = 1 }, "node must be an object")
  end)
end)

describe("remove_node", function()
  it("says whether there was one", function()
    local broker = fleet_at(950)
    assert.are.same({ removed = true }, done(broker, "remove_node", { node_id = "node1" }))
    assert.are.same({ removed = false }, done(broker, "remove_node", { node_id = "node1" }))
    refused(broker, "remove_node", { node_id = 5 }, "node_id must be a string")
    refused(broker, "remove_node", {}, "node_id is required")
  end)
end)

describe("set_admin_state", function()
  it("stores the present epoch, and takes effect when the rule says so", function()
    local broker = fleet_at(950)
    local result = done(broker, "set_admin_state", { node_id = "node1", enabled = false, reason = "disk" })
    assert.are.same({ node_id = "node1", enabled = false, epoch = 3 }, result)
    assert.are.equal("INFERENCE", broker:intent "node1") -- to the end of this epoch
    assert.are.equal("disk", broker.entries.node1.admin.reason)
    done(broker, "new_block", { height = 1100, hash = "F2", epoch = { index = 4, poc_start_block_height = 1100 } })
    assert.are.equal("STOPPED", broker:intent "node1")
    assert.are.equal("POC/GENERATING", broker:intent "node2")
    done(broker, "set_admin_state", { node_id = "node1", enabled = true })
    assert.are.equal("STOPPED", broker:intent "node1") -- in the middle of a PoC it waits
    done(broker, "new_block", { height = 1140, hash = "F3" })
    assert.are.equal("INFERENCE", broker:intent "node1")
  end)

  it("enables at once in the Inference phase", function()
    local broker = fleet_at(950)
    broker.entries.node1.admin = { enabled = false, epoch = 1 }
    done(broker, "new_block", { height = 951, hash = "F4", preserved = { "node2" } })
    assert.are.equal("STOPPED", broker:intent "node1")
    done(broker, "set_admin_state", { node_id = "node1", enabled = true })
    assert.are.equal("INFERENCE", broker:intent "node1")
  end)

  it("stores epoch 0 before the first block", function()
    local broker = fake.new()
    broker:register(config "node1")
    assert.are.equal(0, done(broker, "set_admin_state", { node_id = "node1", enabled = false }).epoch)
    assert.are.equal("none", broker:intent "node1")
  end)

  it("takes the epoch of a state that is carried over", function()
    local broker = fleet_at(950)
    assert.are.equal(1, done(broker, "set_admin_state", { node_id = "node1", enabled = false, epoch = 1 }).epoch)
    assert.are.equal("STOPPED", broker:intent "node1") -- that epoch is over
    refused(broker, "set_admin_state", { node_id = "node1", enabled = false, epoch = -1 }, "epoch must not be negative")
    refused(broker, "set_admin_state", { node_id = "node1", enabled = false, epoch = "3" }, "epoch must be an integer")
  end)

  it("takes an end for a disable, and only one that lies ahead", function()
    local broker, now = fleet_at(950), time.now()
    assert.are.equal("2023-11-14T23:13:20.500Z", done(broker, "set_admin_state", { node_id = "node1", enabled = false, expires_s = 3600.5 }).expires_at)
    assert.are.equal(now + 3600.5, broker.entries.node1.admin.expires_at)
    done(broker, "set_admin_state", { node_id = "node1", enabled = false, expires_at = "2023-11-14T22:13:21Z" })
    assert.are.equal(now + 1, broker.entries.node1.admin.expires_at)
    done(broker, "set_admin_state", { node_id = "node1", enabled = false })
    assert.is_nil(broker.entries.node1.admin.expires_at)
    for pattern, args in pairs {
      ["expires_at must be a time"] = { expires_at = "tomorrow" },
      ["must lie in the future"] = { expires_at = "2023-11-14T22:13:20Z" },
      ["within ten years"] = { expires_s = 1e12 },
      ["give either"] = { expires_s = 5, expires_at = "2024-11-14T22:13:20Z" },
      ["an enabled node stays enabled"] = { expires_s = 5, enabled = true },
    } do
      args.node_id = "node1"
      if args.enabled == nil then args.enabled = false end
      refused(broker, "set_admin_state", args, pattern)
    end
    for _, never in ipairs { 0, -1, 0 / 0 } do
      refused(broker, "set_admin_state", { node_id = "node1", enabled = false, expires_s = never }, "must")
    end
  end)

  it("refuses an unknown node as not found, and wrong types", function()
    local broker = fleet_at(950)
    assert.are.equal("not_found", refused(broker, "set_admin_state", { node_id = "node9", enabled = true }, "node node9 is not registered").code)
    refused(broker, "set_admin_state", { node_id = "node1", enabled = "yes" }, "enabled must be a boolean")
    refused(broker, "set_admin_state", { node_id = "node1" }, "enabled is required")
    refused(broker, "set_admin_state", { node_id = "node1", enabled = true, reason = 5 }, "reason must be a string")
  end)
end)

describe("expire_admin_state", function()
  local function with(admin)
    local broker = fleet_at(950)
    broker.entries.node1.admin = admin
    return broker
  end

  it("enables the node again, as of the present epoch", function()
    local broker = with { enabled = false, epoch = 1, reason = "disk", expires_at = time.now() }
    done(broker, "new_block", { height = 951, hash = "F4", preserved = { "node2" } })
    assert.are.equal("STOPPED", broker:intent "node1")
    assert.are.same({ node_id = "node1", enabled = true, epoch = 3 }, done(broker, "expire_admin_state", { node_id = "node1" }))
    assert.are.equal("INFERENCE", broker:intent "node1")
    assert.are.equal("the time of its disable was over, which was: disk", broker.entries.node1.admin.reason)
    assert.is_nil(broker.entries.node1.admin.expires_at)
  end)

  it("does not take a node out of a PoC when its disable never came into force", function()
    local broker = fleet_at(950)
    done(broker, "new_block", { height = 1001, hash = "F2", epoch = { index = 4, poc_start_block_height = 1000, poc_start_block_hash = "F1" } })
    assert.are.equal("POC/GENERATING", broker:intent "node1")
    broker.entries.node1.admin = { enabled = false, epoch = 4, expires_at = time.now() - 1 }
    assert.are.equal(3, done(broker, "expire_admin_state", { node_id = "node1" }).epoch)
    assert.are.equal("POC/GENERATING", broker:intent "node1")
  end)

  it("waits for the next Inference phase in the middle of a PoC otherwise", function()
    local broker = with { enabled = false, epoch = 2, expires_at = time.now() }
    done(broker, "new_block", { height = 1001, hash = "F2", epoch = { index = 4, poc_start_block_height = 1000, poc_start_block_hash = "F1" } })
    done(broker, "expire_admin_state", { node_id = "node1" })
    assert.are.equal("STOPPED", broker:intent "node1")
  end)

  it("is skipped before the time and for a state without an end", function()
    local broker = with { enabled = false, epoch = 1, expires_at = time.now() + 5 }
    assert.are.equal("its admin state goes on for another 5 s", broker:command("expire_admin_state", { node_id = "node1" }).reason)
    assert.are.equal("skipped", broker:command("expire_admin_state", { node_id = "node2" }).status)
    assert.are.equal("not_found", refused(broker, "expire_admin_state", { node_id = "node9" }, "is not registered").code)
  end)
end)

describe("start_training", function()
  local function task(changes)
    local args = { task_id = "7", master_node_addr = "10.0.0.1", world_size = 2, node_ranks = { node1 = 0, node2 = 1 } }
    for name, value in pairs(changes or {}) do args[name] = value end
    return args
  end

  it("gives each node its rank of one task", function()
    local broker = fleet_at(950)
    assert.are.same({ changed = 2, refused = {} }, done(broker, "start_training", task()))
    assert.are.same({ status = "TRAINING", task = { task_id = "7", master_node_addr = "10.0.0.1", world_size = 2, rank = 1,
      participant = "gonka1x", store_url = "http://10.0.0.5:9100" } }, broker:target "node2")
    assert.are.equal(0, done(broker, "start_training", task()).changed)
  end)

  it("takes a number for the task's id, an integral float too", function()
    for _, id in ipairs { 7, 7.0 } do
      local broker = fleet_at(950)
      done(broker, "start_training", task { task_id = id })
      assert.are.equal("7", broker:target("node1").task.task_id)
      assert.are.equal(2, done(broker, "stop_training", { task_id = id }).changed)
    end
  end)

  it("names the nodes that cannot take part, and lets the others", function()
    local broker = fleet_at(950)
    broker.entries.node2.admin = { enabled = false, epoch = 1 }
    local result = done(broker, "start_training", task { world_size = 3, node_ranks = { node1 = 0, node2 = 1, node9 = 2 } })
    assert.are.equal(1, result.changed)
    assert.are.same({
      { node_id = "node2", reason = "it is not operational by the admin rule" },
      { node_id = "node9", reason = "it is not registered" },
    }, result.refused)
    result = done(broker, "start_training", task { task_id = "8", world_size = 1, node_ranks = { node1 = 0 } })
    assert.are.equal("it trains task 7 already: stop that one first", result.refused[1].reason)
  end)

  it("answers an empty list of refused nodes as a list", function()
    local result = done(fleet_at(950), "start_training", task())
    assert.are.equal(getmetatable(json.array {}), getmetatable(result.refused))
  end)

  it("is skipped in every other phase, and when not synced", function()
    for _, height in ipairs { 1003, 1017, 1025, 1031 } do
      assert.are.equal("skipped", fleet_at(height):command("start_training", task()).status)
    end
    assert.are.equal("skipped", fleet_at(950, { synced = false }):command("start_training", task()).status)
  end)

  it("refuses tasks that cannot be, and changes nothing", function()
    local broker = fleet_at(950)
    local rows = {
      { { world_size = 0 }, "world_size must be at least 1" },
      { { node_ranks = {} }, "node_ranks names no node" },
      { { node_ranks = { node1 = 2 } }, "node_ranks.node1 must be from 0 to world_size - 1 = 1, not 2" },
      { { node_ranks = { node1 = -1 } }, "node_ranks.node1 must be from 0" },
      { { node_ranks = { node1 = 1, node2 = 1 } }, "have the same rank 1" },
      { { node_ranks = { node1 = "0" } }, "node_ranks.node1 must be an integer" },
      { { node_ranks = { "node1" } }, "node_ranks must be an object" },
      { { task_id = true }, "task_id must be a string or an integer" },
      { { world_size = 1.5 }, "world_size must be an integer" },
      { { master_node_addr = 5 }, "master_node_addr must be a string" },
      { { train_config = "x" }, "train_config must be an object" },
      { { extra = 1 }, "unknown argument extra" },
    }
    for _, row in ipairs(rows) do refused(broker, "start_training", task(row[1]), row[2]) end
    assert.are.equal("INFERENCE", broker:intent "node1")
  end)

  it("names the same fault each time, whatever the order of tables in memory", function()
    local ranks = {}
    for i = 10, 39 do ranks["node" .. i] = 99 end
    refused(fleet_at(950), "start_training", task { node_ranks = ranks }, "node_ranks.node10 must be from 0")
  end)
end)

describe("stop_training", function()
  local function in_training(height)
    local broker = fleet_at(950)
    done(broker, "start_training", { task_id = "7", master_node_addr = "a", world_size = 2, node_ranks = { node1 = 0, node2 = 1 } })
    if height then done(broker, "new_block", { height = height, hash = "F7" }) end
    return broker
  end

  it("gives its nodes back to the phase", function()
    local broker = in_training()
    assert.are.same({ changed = 2 }, done(broker, "stop_training", { task_id = "7" }))
    assert.are.equal("INFERENCE", broker:intent "node1")
    assert.are.same({ changed = 0 }, done(broker, "stop_training", { task_id = "7" }))
  end)

  it("stops them when the phase is not known", function()
    local broker = in_training()
    done(broker, "new_block", { height = 951, hash = "F8", synced = false })
    assert.are.same({ changed = 2 }, done(broker, "stop_training", { task_id = 7 }))
    assert.are.equal("STOPPED", broker:intent "node1")
  end)

  it("touches no other task, and no node that has left it", function()
    local broker = in_training()
    assert.are.same({ changed = 0 }, done(broker, "stop_training", { task_id = "8" }))
    assert.are.equal("TRAINING", broker:intent "node1")
    broker = in_training(1003)
    assert.are.equal("POC/GENERATING", broker:intent "node1")
    assert.are.same({ changed = 0 }, done(broker, "stop_training", { task_id = "7" }))
    assert.are.equal("POC/GENERATING", broker:intent "node1")
  end)

  it("refuses a wrong id", function()
    refused(in_training(), "stop_training", {}, "task_id is required")
    refused(in_training(), "stop_training", { task_id = 1.5 }, "task_id must be a string or an integer")
  end)
end)

for _, name in ipairs { "reconcile", "probe" } do
  describe(name, function()
    it("is for one node or for all", function()
      local broker = fleet_at(950)
      assert.are.same({ triggered = 2 }, done(broker, name))
      assert.are.same({ triggered = 1 }, done(broker, name, { node_id = "node2" }))
      assert.are.same({ { name }, { name, "node2" } }, broker.asked)
    end)

    it("refuses an unknown node as not found, and wrong types", function()
      local broker = fleet_at(950)
      assert.are.equal("not_found", refused(broker, name, { node_id = "node9" }, "node node9 is not registered").code)
      refused(broker, name, { node_id = 2 }, "node_id must be a string")
    end)
  end)
end
