-- The dashboard among strangers: texts that want to be markup, a token that is asked for, headers that shut everything else out.

local page = require "support.page"
local system = require "support.system"

local evil = [[<img src=x onerror="window.owned=1"><script>window.owned=2</script>"'&amp;]]

page.describe("a browser", function(tab)
  describe("the dashboard among strangers", function()
    local daemon
    setup(function()
      system.write("none.json", "[]")
      daemon = system.daemon(system.config("none.json"))
      tab:go(daemon.url)
    end)

    local function is_untouched()
      local found = tab:run([[return [window.owned ?? "untouched", document.querySelectorAll("img, iframe, object, body script").length]
        .concat([...document.querySelectorAll("*")].filter((e) => [...e.attributes].some((a) => a.name.startsWith("on"))).length)]])
      assert.same({ "untouched", 0, 0 }, found)
    end

    it("shows ids, models, hardware, versions, paths and failures of strangers as text", function()
      local status, answer = system.http("POST", daemon.url .. "/admin/v1/nodes", {
        id = evil, host = "127.0.0.1", inference_port = 1, poc_port = 1, poc_segment = "/<svg/onload=window.owned=3>", max_concurrent = 1,
        version = evil, models = { [evil] = { args = { evil } } }, hardware = { { type = evil, count = 1 } },
      })
      assert.equal(200, status, answer.error)
      system.command(daemon, "new_block", system.block(50, 0, 0))
      tab:wait("the failure", "/refused/.test(document.querySelector('.grid .detail')?.textContent) && " ..
        "/<svg.onload/.test(document.querySelector('.grid .detail').title)")
      assert.equal(evil, tab:run("return document.querySelector('.grid tbody .id').textContent"))
      is_untouched()
      tab:click(".grid tbody .id")
      tab:wait("its page", "document.querySelector('#view-node').checkVisibility() && document.querySelectorAll('.records li').length > 2")
      assert.equal(evil, tab:run("return document.querySelector('#node-title').textContent"))
      assert.matches("<svg/onload", tab:run("return document.querySelector('.list .fault').textContent"), 1, true)
      is_untouched()
      tab:press_button("Drain and disable…")
      tab:type("#dialog-reason", evil)
      tab:press("Enter")
      tab:wait("the reason", "document.querySelector('.cards').textContent.includes('window.owned=2')")
      tab:run("location.hash = '#/journal'")
      tab:wait("the journal", "document.querySelector('#view-journal .records').textContent.includes('window.owned=1')")
      tab:run("document.querySelectorAll('#view-journal details').forEach((d) => { d.open = true; })")
      is_untouched()
      tab:run("location.hash = '#/nodes/<img src=x onerror=window.owned=4>'")
      tab:wait("a page of nobody", "document.querySelector('#view-node').innerText.includes('is registered')")
      is_untouched()
    end)

    it("runs and loads nothing that got into it, and cannot be framed", function()
      local refused = tab:run([[
        const seen = [];
        try { document.createElement("p").innerHTML = "<b>x</b>"; seen.push("innerHTML"); } catch { /* as it should be */ }
        const script = document.createElement("script");
        try { script.textContent = "window.owned = 5"; document.body.append(script); } catch { /* same */ }
        script.remove();
        return seen]])
      assert.same({}, refused)
      is_untouched()
      local status = system.http("GET", daemon.url .. "/")
      assert.equal(200, status)
      local pipe = assert(io.popen("curl -sI " .. daemon.url .. "/"))
      local head = pipe:read("a"):lower()
      pipe:close()
      for _, line in ipairs { "default%-src 'none'", "script%-src 'self'", "connect%-src 'self'", "frame%-ancestors 'none'",
        "x%-content%-type%-options: nosniff" } do
        assert.matches(line, head)
      end
    end)

    it("asks nobody but the daemon", function()
      local urls = tab:run("return performance.getEntriesByType('resource').map((r) => r.name).filter((url) => !url.startsWith(location.origin + '/'))")
      assert.same({}, urls)
    end)
  end)

  describe("the dashboard of a daemon with a token", function()
    local daemon
    setup(function()
      system.write("none.json", "[]")
      daemon = system.daemon(system.config("none.json", [[admin = { token = "s3cret-token", socket = "second.sock" },]]))
      tab:go(daemon.url)
    end)

    it("asks for the token, and says when it is wrong", function()
      tab:wait("the question", "document.querySelector('dialog[open] #token')")
      assert.equal("signed out", tab:run("return document.querySelector('#link').textContent"))
      tab:press("Escape")
      assert.is_true(tab:run("return document.querySelector('dialog').open"))
      tab:type("#token", "wrong")
      tab:press("Enter")
      tab:wait("what is wrong", "document.querySelector('.fault').textContent === 'The daemon does not know this token.'")
    end)

    it("goes on with the right one, and keeps it in this tab only", function()
      tab:run("document.querySelector('#token').value = ''")
      tab:type("#token", "s3cret-token")
      tab:press("Enter")
      tab:wait("the link", "document.querySelector('#link').textContent === 'live' && !document.querySelector('dialog')")
      assert.same({ "s3cret-token", false, "" }, tab:run([[
        return [sessionStorage["coxswain.token"], JSON.stringify(localStorage).includes("s3cret"), document.cookie] ]]))
      tab:run("location.reload()")
      tab:wait("the link after a reload", "document.querySelector('#link').textContent === 'live'")
      tab:run("location.hash = '#/journal'")
      tab:wait("the stream, with the token", "document.querySelectorAll('#view-journal .records li').length > 0")
    end)

    it("forgets it when told to", function()
      tab:press_button("Sign out")
      tab:wait("the question", "document.querySelector('dialog[open] #token') && sessionStorage.length === 0")
    end)
  end)
end)
