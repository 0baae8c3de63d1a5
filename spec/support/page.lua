-- What specs of the dashboard share: a browser of their own, and what they run inside the page.

local browser = require "support.browser"
local system = require "support.system"

local M = {}

local axe = system.read(os.getenv "COXSWAIN_AXE" or "build/axe.min.js")
M.has_axe = axe ~= ""

--- Describes something with a browser that starts before and ends after, together with every process of support.system. Pending where there
--- is no browser.
function M.describe(name, body)
  local busted = require "busted" -- its words are globals of the spec files only
  busted.describe(name, function()
    local missing = browser.missing()
    if missing then
      busted.pending("is looked at in a browser: " .. missing)
      return
    end
    local tab = browser.new()
    busted.setup(function() tab:start() end)
    busted.teardown(function()
      tab:close()
      system.clean()
    end)
    body(tab)
  end)
end

--- Loaded before the page: answers of window.answers["/path?query"] (GET) or ["METHOD /path"], {status, text}, in place of the daemon's.
M.answers = [[
  window.answers = {};
  const real = window.fetch;
  window.fetch = (url, options = {}) => {
    const { pathname, search } = new URL(url, location.href), method = options.method ?? "GET";
    const made = window.answers[method === "GET" ? pathname + search : `${method} ${pathname}`];
    return made ? Promise.resolve(new Response(made[1], { status: made[0] })) : real(url, options);
  };
]]

--- Texts with too little contrast to what is behind them (WCAG AA: 4.5, large ones 3): a list of words about each. Colours are measured as
--- the browser paints them, on a canvas.
M.contrast = [[
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const paint = (colours) => {
    canvas.clearRect(0, 0, 1, 1);
    for (const colour of colours) { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); }
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => {
    const part = (c) => { c /= 255; return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; };
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const behind = (element) => {
    const colours = [];
    for (let e = element; e; e = e.parentElement) {
      const style = getComputedStyle(e);
      if (style.backgroundImage !== "none") return null;
      colours.unshift(style.backgroundColor);
    }
    return ["#fff", ...colours];
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement, text = node.data.trim();
    if (text === "" || !element.checkVisibility({ opacityProperty: true, visibilityProperty: true }) || element.closest("option, :disabled, .skip")) continue;
    const box = element.getBoundingClientRect();
    if (box.width < 2 || box.height < 2) continue;
    const style = getComputedStyle(element), under = behind(element);
    if (!under || style.color === "rgba(0, 0, 0, 0)") continue;
    const a = light(paint([...under, style.color])), b = light(paint(under));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), size = parseFloat(style.fontSize);
    const least = size >= 24 || (size >= 18.66 && style.fontWeight >= 700) ? 3 : 4.5;
    if (ratio < least) found.push(`${ratio.toFixed(2)}: ${element.tagName}.${element.className} "${text.slice(0, 40)}"`);
  }
  return [...new Set(found)];
]]

--- What axe-core finds in the page as it is now, of serious faults: a list of words about each.
function M.barriers(tab)
  if not tab:run "return window.axe !== undefined" then tab:run(axe .. "\nwindow.axe = axe") end
  tab:run("window.result = null; " ..
    "axe.run(document, { resultTypes: ['violations'] }).then((r) => { window.result = r.violations; })")
  tab:wait("axe", "window.result !== null")
  return tab:run([[return window.result.filter((v) => ["serious", "critical"].includes(v.impact))
    .map((v) => `${v.id}: ${v.help}: ${v.nodes.slice(0, 3).map((n) => n.target.join(" ")).join("; ")}`)]])
end

return M
