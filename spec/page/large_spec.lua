-- The dashboard with a thousand nodes.

local page = require "support.page"
local system = require "support.system"

page.describe("the dashboard with a thousand nodes", function(tab)
  local fleet, daemon
  setup(function()
    fleet = system.fleet("--count", "1000")
    daemon = system.daemon((system.config(fleet.nodes_file):gsub("interval_s = 1,", "interval_s = 10,")))
    system.command(daemon, "new_block", system.block(150, 1, 100))
    tab:go(daemon.url)
  end)

  local shown = "[...document.querySelectorAll('.grid tbody tr:not(.space)')].filter((r) => r.checkVisibility())"

  it("has a row for what can be seen only, and says how many there are", function()
    tab:wait("the fleet", "document.querySelector('.grid').getAttribute('aria-rowcount') === '1001'")
    assert.is_true(tab:run("return " .. shown .. ".length") < 60)
    tab:wait("all of them serving", "document.querySelector('.chip[data-key=serving] b')?.textContent === '1,000'", 120)
    local paint = tab:run([[return [performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? -1,
      performance.getEntriesByType("resource").filter((r) => r.name.endsWith("/admin/v1/nodes"))[0].responseEnd] ]])
    io.stderr:write(("# 1 000 nodes: first paint after %.0f ms, the fleet is there after %.0f ms\n"):format(paint[1], paint[2]))
  end)

  it("comes to the last one by scrolling and by the End key", function()
    tab:run("scrollTo(0, document.documentElement.scrollHeight)")
    tab:wait("the last row", shown .. ".at(-1).querySelector('.id').textContent === 'node1000'")
    assert.equal("1001", tab:run("return " .. shown .. ".at(-1).getAttribute('aria-rowindex')"))
    tab:run("scrollTo(0, 0)")
    tab:wait("the first row", shown .. "[0].querySelector('.id').textContent === 'node1'")
    tab:run("document.querySelector(\".grid tbody [tabindex='0']\").focus()")
    tab:press("End")
    tab:wait("the last row", "document.activeElement.textContent === 'node1000'")
    assert.is_true(tab:run("const b = document.activeElement.getBoundingClientRect(); return b.top >= 0 && b.bottom <= innerHeight"))
  end)

  it("finds one among them", function()
    tab:type("#search", "node777")
    tab:wait("one row", shown .. ".length === 1")
    tab:press("Tab", "Tab", "Tab", "Tab", "Tab", "Tab", "Tab", "Tab")
    tab:wait("the row", "document.activeElement.textContent === 'node777'")
    tab:run("const s = document.querySelector('#search'); s.value = ''; s.dispatchEvent(new Event('input'))")
  end)

  it("follows them all through a phase", function()
    system.command(daemon, "new_block", system.block(200, 2, 200))
    tab:wait("all of them",
      "[...document.querySelectorAll('.chip')].some((c) => c.dataset.key === 'generating' && c.querySelector('b').textContent === '1,000')", 120)
    tab:wait("the words", "/all 1,000 nodes are what the phase asks for/.test(document.querySelector('.advice').textContent)")
  end)
end)
