-- The dashboard for everybody: with the keyboard alone, in both themes, at both sizes, for screen readers. The view of the scripts:
-- scripts_spec.lua.

local page = require "support.page"
local system = require "support.system"

page.describe("the dashboard for everybody", function(tab)
  local fleet, daemon
  local views = {
    { "#/", "document.querySelectorAll('.grid tbody tr:not(.space)').length > 3" },
    { "#/nodes/node2", "document.querySelector('#node-title').textContent === 'node2' && document.querySelectorAll('#view-node .records li').length > 2" },
    { "#/journal", "document.querySelectorAll('#view-journal .records li').length > 5" },
  }

  local function view(index)
    tab:run("location.hash = arguments[0]", views[index][1])
    tab:wait("the view " .. views[index][1], views[index][2])
  end

  setup(function()
    fleet = system.fleet("--count", "6", "--fault", "2:refuse")
    daemon = system.daemon(system.config(fleet.nodes_file))
    tab:go(daemon.url)
    system.command(daemon, "new_block", system.block(150, 1, 100))
    tab:wait("a failure", "document.querySelector('tr[data-key=failed]')")
  end)

  local focused = [[(() => {
    const e = document.activeElement;
    return e === document.body ? "" : `${e.tagName} ${e.textContent.trim().slice(0, 30) || e.id}`;
  })()]]

  it("is reached by Tab everywhere, and the grid is one stop", function()
    view(1)
    tab:run("document.activeElement.blur(); getSelection().removeAllRanges(); scrollTo(0, 0)")
    local wanted = tab:run([[return [...document.querySelectorAll("a[href], button, input, select, summary, [tabindex='0']")]
      .filter((e) => e.checkVisibility() && e.tabIndex >= 0 && !e.disabled).length]])
    local seen, count = {}, 0
    for _ = 1, wanted + 3 do
      tab:press("Tab")
      local name = tab:run("return " .. focused)
      if name ~= "" and not seen[name] then
        seen[name] = true
        count = count + 1
      end
    end
    for _, name in ipairs { "A Skip to the content", "A Journal", "BUTTON Theme: auto", "INPUT search", "BUTTON Load", "A node2" } do
      assert.is_true(seen[name], name .. " is not reached")
    end
    assert.is_nil(seen["A node6"])
    assert.is_true(count >= wanted - 2, ("%d of %d were reached"):format(count, wanted)) -- names that are there twice
  end)

  it("goes through the grid by arrows and opens a node by Enter", function()
    tab:run("document.querySelector(\".grid tbody [tabindex='0']\").focus()")
    tab:press("End")
    tab:wait("the last row", "document.activeElement.closest('tr').getAttribute('aria-rowindex') === '7'")
    tab:press("Home", "ArrowDown")
    tab:wait("the second row", "document.activeElement.closest('tr').getAttribute('aria-rowindex') === '3'")
    local id = tab:run("return document.activeElement.textContent")
    tab:press("Enter")
    tab:wait("its page", ("document.querySelector('#node-title').textContent === '%s' && document.activeElement.id === 'node-title'"):format(id))
  end)

  it("keeps the focus inside of a question, and gives it back", function()
    tab:run("[...document.querySelectorAll('.actions button')].find((b) => b.checkVisibility()).focus()")
    tab:press("Enter")
    tab:wait("the question", "document.activeElement.id === 'dialog-reason'")
    for _ = 1, 6 do
      tab:press("Tab")
      assert.is_true(tab:run("return document.querySelector('dialog').contains(document.activeElement) || document.activeElement === document.body"))
    end
    tab:press("Escape")
    tab:wait("the button", "document.activeElement.textContent === 'Drain and disable…'")
  end)

  it("shows where the focus is", function()
    tab:press("Tab")
    assert.equal("solid", tab:run("return getComputedStyle(document.activeElement).outlineStyle"))
  end)

  for _, scheme in ipairs { "light", "dark" } do
    it("has enough contrast when it is " .. scheme .. ", and fits a phone", function()
      tab:prefers(scheme)
      for _, width in ipairs { 1280, 390 } do
        tab:size(width, 844)
        for i = 1, #views do
          view(i)
          assert.same({}, tab:run(page.contrast), ("%s at %d"):format(views[i][1], width))
          assert.is_true(tab:run("return document.documentElement.scrollWidth <= innerWidth"), views[i][1] .. " is wider than the screen")
        end
      end
      tab:size(1280, 900)
    end)
  end

  it("changes its theme, and keeps it", function()
    tab:prefers("light")
    local day = tab:run("return getComputedStyle(document.body).backgroundColor")
    tab:press_button("Theme: auto")
    tab:press_button("Theme: light")
    assert.not_equal(day, tab:run("return getComputedStyle(document.body).backgroundColor"))
    tab:run("location.reload()")
    tab:wait("the theme", "document.documentElement.dataset.theme === 'dark' && document.querySelector('#theme').textContent === 'Theme: dark'")
    tab:press_button("Theme: dark")
  end)

  it("has no serious fault that axe finds", function()
    if not page.has_axe then
      pending("axe-core is not here: tools/axe fetches it")
      return
    end
    for _, width in ipairs { 1280, 390 } do
      tab:size(width, 844)
      for i = 1, width == 390 and 2 or #views do
        view(i)
        assert.same({}, page.barriers(tab), views[i][1])
      end
    end
  end)
end)
