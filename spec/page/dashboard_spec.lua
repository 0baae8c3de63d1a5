-- The dashboard in a real browser, against a real daemon and simulated nodes: what it shows, and every action.

local page = require "support.page"
local system = require "support.system"

page.describe("a browser", function(tab)
  describe("the dashboard", function()
    local fleet, daemon

    local function state(id)
      local _, answer = system.http("GET", daemon.url .. "/admin/v1/nodes/" .. id)
      return answer.state
    end

    local function block(height, epoch, start, more)
      local args = system.block(height, epoch, start)
      for key, value in pairs(more or {}) do args[key] = value end
      local answer, status = system.command(daemon, "new_block", args)
      assert.equal(200, status, answer.error)
    end

    local function make_faults(list)
      local status, answer = system.http("POST", fleet.control .. "/sim/faults", { faults = list })
      assert.equal(200, status, answer.error)
    end

    -- With a file, so that the journal goes on after a restart.
    local function config() return (system.config(fleet.nodes_file):gsub('":memory:"', '"page.db"')) end

    local function row(id)
      return ("[...document.querySelectorAll('.grid tbody tr')].find((r) => !r.hidden && r.querySelector('.id')?.textContent === '%s')"):format(id)
    end

    local function view(hash, ready)
      tab:run("location.hash = arguments[0]", hash)
      return tab:wait("the view " .. hash, ready)
    end

    setup(function()
      fleet = system.fleet("--count", "6", "--load-ms", "30")
      daemon = system.daemon(config())
      tab:go(daemon.url)
    end)

    it("says that it waits for the first block", function()
      tab:wait("the link", "document.querySelector('#link').textContent === 'live'")
      tab:wait("the title", "document.querySelector('#phase-title').textContent === 'Waiting for the first block'")
      tab:wait("what to do", "/No block has come yet/.test(document.querySelector('.advice').textContent)")
    end)

    it("tells waiting for a first PoC, loading a model and having failed apart, by shape and by words", function()
      make_faults { "2:load_never", "3:refuse" }
      local models = {}
      for _, id in ipairs { "node1", "node2", "node3", "node4", "node5" } do models[id] = { { id = "Qwen/Qwen2.5-7B-Instruct" } } end
      block(150, 1, 100, { epoch_models = models })
      for id, words in pairs { node1 = "Serving", node2 = "Loading a model", node3 = "Failed", node6 = "Waiting for its first PoC" } do
        tab:wait(id, row(id) .. (".querySelector('.words').textContent.startsWith('%s')"):format(words))
      end
      local shapes = tab:run("return ['node1', 'node2', 'node3', 'node6'].map((id) => [...document.querySelectorAll('.grid tbody tr')]" ..
        ".find((r) => r.querySelector('.id')?.textContent === id).querySelector('use').getAttribute('href'))")
      assert.same({ "#g-serving", "#g-loading", "#g-failed", "#g-waiting" }, shapes)
    end)

    it("says in words what to do now", function()
      tab:wait("the refusing node",
        "/node3 refuses connections since \\d\\d:\\d\\d; PoC starts in 50 blocks/.test(document.querySelector('.advice .bad').textContent)")
      assert.matches("node2 is loading a model", tab:run("return document.querySelector('.advice').textContent"), 1, true)
    end)

    it("shows the phase, the blocks and what comes next", function()
      assert.equal("Inference", tab:run("return document.querySelector('#phase-title').textContent"))
      tab:wait("the next phase", "document.querySelector('.phase .next').textContent === 'PoC starts in 50 blocks'")
      assert.equal(5, tab:run("return document.querySelectorAll('.track .part').length"))
      assert.equal("Inference68 blocks", tab:run("return document.querySelector('.part[aria-current]').textContent"))
      make_faults { "none", "2:restart=0" }
      block(160, 1, 100)
      tab:wait("that block", "document.querySelector('.phase .next').textContent === 'PoC starts in 40 blocks'")
      block(200, 2, 200)
      tab:wait("the PoC", "document.querySelector('#phase-title').textContent === 'PoC: generating'")
      tab:wait("the time to the next phase", "/^Generation winds down in .+ · 16 blocks$/.test(document.querySelector('.phase .next').textContent)")
      tab:wait("a generating node", row("node1") .. ".querySelector('use').getAttribute('href') === '#g-generating'")
      block(240, 2, 200)
      tab:wait("all serving", row("node3") .. ".querySelector('.current').textContent === 'Inference'", 90)
    end)

    it("counts, filters, searches and sorts", function()
      tab:type("#search", "node4")
      tab:wait("one row", "[...document.querySelectorAll('.grid tbody .id')].filter((a) => a.checkVisibility()).map((a) => a.textContent).join() === 'node4'")
      assert.equal("1 node of 6", tab:run("return document.querySelector('.found').textContent"))
      tab:run("const s = document.querySelector('#search'); s.value = ''; s.dispatchEvent(new Event('input'))")
      tab:press_button("Node")
      tab:press_button("Node")
      tab:wait("the other order", "document.querySelector('.grid tbody .id').textContent === 'node6'")
      assert.equal("descending", tab:run("return document.querySelector('th.id').getAttribute('aria-sort')"))
      tab:press_button("Condition")
    end)

    it("explains one node in depth", function()
      view("#/nodes/node3", "document.querySelector('#node-title').textContent === 'node3' && document.querySelectorAll('.records li').length > 3")
      local text = tab:run("return document.querySelector('#view-node').innerText")
      for _, words in ipairs { "What it should be, and why", "Because", "inference_up_all", "Gets requests", "Last attempts",
        "connection refused", "Its last day" } do
        assert.matches(words, text, 1, true)
      end
      assert.is_true(tab:run("return document.querySelectorAll('.lane .span').length >= 2 && document.querySelectorAll('.try').length >= 2"))
      local before = tab:run("return document.querySelectorAll('#view-node .records li').length")
      block(300, 3, 300)
      tab:wait("the timeline to grow", ("document.querySelectorAll('#view-node .records li').length > %d"):format(before))
      block(340, 3, 300)
    end)

    it("asks before it disables, and does nothing when that is refused", function()
      view("#/nodes/node1", "document.querySelector('#node-title').textContent === 'node1' && document.querySelector('.actions').checkVisibility()")
      tab:press_button("Drain and disable…")
      tab:wait("the question", "document.querySelector('dialog[open] h2')?.textContent === 'Drain and disable node1?'")
      tab:press("Escape")
      tab:wait("the end of the question", "!document.querySelector('dialog')")
      assert.is_true(state("node1").admin_state.enabled)
      assert.equal("Drain and disable…", tab:run("return document.activeElement.textContent"))
    end)

    it("disables with a reason, and enables", function()
      tab:press_button("Drain and disable…")
      tab:type("#dialog-reason", "a fan is broken")
      tab:press("Enter")
      tab:wait("the disabled node", "/disabled as of epoch 3 by http anonymous 127.0.0.1: a fan is broken/.test(document.querySelector('.cards').textContent)")
      assert.same({ enabled = false, epoch = 3, reason = "a fan is broken", actor = "http anonymous 127.0.0.1" }, state("node1").admin_state)
      tab:press_button("Enable")
      tab:wait("the question", "document.querySelector('dialog[open]')")
      tab:click("dialog button[type=submit]")
      tab:wait("the enabled node", "/enabled as of epoch 3 by/.test(document.querySelector('.cards').textContent)")
      assert.is_true(state("node1").admin_state.enabled)
    end)

    it("probes and tries again", function()
      tab:press_button("Probe now")
      tab:wait("the notice", "/node1 is being probed/.test(document.querySelector('#notices').textContent)")
      tab:press_button("Try again now")
      tab:wait("the notice", "/node1 is looked at again/.test(document.querySelector('#notices').textContent)")
    end)

    it("shows what the daemon refuses in its own words", function()
      view("#/nodes/node6", "document.querySelector('#node-title').textContent === 'node6' && document.querySelector('.actions').checkVisibility()")
      assert.equal(200, (system.http("DELETE", daemon.url .. "/admin/v1/nodes/node6")))
      tab:wait("the end of the node", "document.querySelector('#view-node').innerText.includes('No node node6 is registered.')")
      view("#/nodes/nobody", "document.querySelector('#view-node').innerText.includes('No node nobody is registered.')")
    end)

    it("shows the journal live, by kind and by node", function()
      view("#/journal", "document.querySelectorAll('#view-journal .records li').length > 10")
      tab:run("const k = document.querySelector('#kind'); k.value = 'admin'; k.dispatchEvent(new Event('change'))")
      tab:type("#journal-node", "node1")
      tab:wait("only those",
        "[...document.querySelectorAll('#view-journal .records li')].every((li) => /node1/.test(li.textContent) && /abled as of/.test(li.textContent))")
      local before = tab:run("return document.querySelectorAll('#view-journal .records li').length")
      system.http("POST", daemon.url .. "/admin/v1/nodes/node2/disable")
      system.http("POST", daemon.url .. "/admin/v1/nodes/node1/disable", { reason = "seen live" })
      tab:wait("the new record", "/seen live/.test(document.querySelector('#view-journal .records li').textContent)")
      assert.equal(before + 1, tab:run("return document.querySelectorAll('#view-journal .records li').length"))
      tab:click("#view-journal .records li summary")
      tab:wait("the whole record", "/\"reason\": \"seen live\"/.test(document.querySelector('#view-journal pre').textContent)")
      tab:press_button("Older")
      tab:wait("the oldest", "/older record/.test(document.querySelector('.foot').textContent) || /no older/.test(document.querySelector('.foot').textContent)")
    end)

    it("says that the connection is lost, and goes on where it was cut", function()
      view("#/journal", "document.querySelector('#view-journal').checkVisibility()")
      tab:run("document.querySelector('#journal-node').value = ''; " ..
        "const k = document.querySelector('#kind'); k.value = 'calm'; k.dispatchEvent(new Event('change'))")
      local port = daemon.url:match(":(%d+)$")
      system.signal(daemon, "TERM")
      tab:wait("the loss", "/^no connection since/.test(document.querySelector('#link').textContent)")
      view("#/", "/No connection to the daemon since/.test(document.querySelector('.advice .bad')?.textContent)")
      system.wait("the daemon's end", function() return not system.is_running(daemon) end)
      daemon = system.daemon(config(), "-D", "admin.listen=127.0.0.1:" .. port)
      tab:wait("the connection", "document.querySelector('#link').textContent === 'live'")
      view("#/journal", "/taken up again after record \\d+/.test(document.querySelector('#view-journal').innerText)")
      tab:wait("both starts", [[[...document.querySelectorAll("#view-journal .records li")]
        .filter((li) => /the daemon started/.test(li.textContent)).length === 2]])
    end)

    it("has written no error to the browser's console", function()
      local faults = {}
      for _, line in ipairs(tab:faults()) do
        -- The daemon was away, or about to go; a node was removed.
        local is_expected = line:match "ERR_" or line:match "503" or line:match "404"
        if not is_expected then faults[#faults + 1] = line end
      end
      assert.same({}, faults)
    end)
  end)
end)
