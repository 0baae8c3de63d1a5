-- A real browser for specs of the page: Debian's Chromium without a window, led by its chromedriver over the WebDriver protocol with curl.
-- Nothing waits for a fixed time: M:wait asks until the page is as it should be.

local json_text = require "dkjson"
local system = require "support.system"

local Browser = {}
Browser.__index = Browser

local M = {}

local function which(...)
  for _, name in ipairs { ... } do
    local pipe = assert(io.popen("command -v " .. name .. " 2>/dev/null"))
    local path = pipe:read("l")
    pipe:close()
    if path then return path end
  end
end

local chromium, driver = which("chromium", "chromium-browser"), which("chromedriver")

--- Why there is no browser; nil: there is one.
function M.missing()
  if not chromium then return "Chromium is not installed: apt-get install chromium chromium-driver" end
  if not driver then return "chromedriver is not installed: apt-get install chromium-driver" end
end

local function call(self, method, path, body)
  local out = system.folder() .. "/webdriver"
  local data = ""
  if body then data = "--data-binary @" .. system.write("webdriver.json", json_text.encode(body)) end
  local pipe = assert(io.popen(("curl -sS -m 60 -X %s -o %s -w '%%{http_code}' -H 'Content-Type: application/json' %s '%s%s' 2>&1"):format(
    method, out, data, self.url, path)))
  local status = pipe:read("a")
  pipe:close()
  local answer = json_text.decode(system.read(out)) or {}
  if status ~= "200" then
    local value = type(answer.value) == "table" and answer.value or {}
    error(("the browser refused %s %s: %s %s"):format(method, path, value.error or status, (value.message or ""):match("[^\n]*")), 3)
  end
  return answer.value
end

local flags = {
  "--headless=new", "--disable-dev-shm-usage", "--disable-gpu", "--no-first-run", "--no-default-browser-check", "--hide-scrollbars",
  "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions", "--no-proxy-server",
  "--window-size=1280,900", "--force-color-profile=srgb", "--lang=en",
}

local function is_root()
  local pipe = assert(io.popen("id -u"))
  local id = pipe:read("l")
  pipe:close()
  return id == "0"
end

local function open_session(self)
  local args = { table.unpack(flags) }
  if is_root() then args[#args + 1] = "--no-sandbox" end
  args[#args + 1] = "--user-data-dir=" .. system.folder() .. "/profile"
  local value = call(self, "POST", "/session", { capabilities = { alwaysMatch = {
    browserName = "chrome", ["goog:chromeOptions"] = { binary = chromium, args = args }, ["goog:loggingPrefs"] = { browser = "ALL" },
    timeouts = { script = 30000, pageLoad = 60000, implicit = 0 },
  } } })
  self.session = "/session/" .. value.sessionId
end

-- The port that it takes for IPv6 may be somebody's for IPv4: then it ends, and another try takes another one.
local function start_driver()
  local log, pid_file = system.folder() .. "/chromedriver.log", system.folder() .. "/chromedriver.pid"
  for _ = 1, 20 do
    os.execute(("setsid %s --port=0 >%s 2>&1 </dev/null & echo $! >%s"):format(driver, log, pid_file))
    local group = assert(math.tointeger(tonumber(system.read(pid_file):match("%d+"))))
    local port = system.wait("chromedriver", function()
      return system.read(log):match("successfully on port (%d+)") or not system.is_running { pid = group } and "none", system.read(log)
    end)
    if port ~= "none" then return group, port end
  end
  error("chromedriver does not start: " .. system.read(log))
end

--- One that is not started yet.
function M.new() return setmetatable({}, Browser) end

--- It ends with Browser:close, and with it all of its process group.
function Browser:start()
  local port
  self.group, port = start_driver()
  self.url = "http://127.0.0.1:" .. port
  local ok, problem = pcall(open_session, self)
  if not ok then
    self:close()
    error(problem, 2)
  end
end

function Browser:close()
  if self.session then pcall(call, self, "DELETE", self.session) end
  self.session = nil
  if not self.group then return end
  os.execute(("kill -TERM -%d 2>/dev/null"):format(self.group)) -- whatever is left of it
  local ends = os.time() + 5
  while system.is_running { pid = self.group } and os.time() <= ends do os.execute("sleep 0.05") end
  os.execute(("kill -KILL -%d 2>/dev/null"):format(self.group))
  self.group = nil
end

function Browser:call(method, path, body) return call(self, method, self.session .. path, body) end

function Browser:go(url) self:call("POST", "/url", { url = url }) end

--- Runs JavaScript in the page: its value.
function Browser:run(script, ...)
  return self:call("POST", "/execute/sync", { script = script, args = setmetatable({ ... }, { __jsontype = "array" }) })
end

--- Asks again and again until the JavaScript expression is true; returns its value.
function Browser:wait(what, expression, limit_s)
  local found, value = pcall(system.wait, what, function()
    local ok, value = pcall(self.run, self, "return " .. expression)
    if ok and value and value ~= json_text.null then return value end
    return nil, tostring(value)
  end, limit_s or 30)
  if found then return value end
  local _, text = pcall(self.run, self, "return document.body.innerText.slice(0, 1500)")
  error(("%s\n%s"):format(value, text), 2)
end

local function element_of(value) return value["element-6066-11e4-a52e-4f735466cecf"] end

function Browser:find(css)
  return element_of(self:call("POST", "/element", { using = "css selector", value = css }))
end

--- Clicks as a mouse does: what lies under something else is not clicked.
function Browser:click(css) self:call("POST", ("/element/%s/click"):format(self:find(css)), setmetatable({}, { __jsontype = "object" })) end

--- The button with that text that can be seen.
function Browser:press_button(text)
  local found = self:run([[return [...document.querySelectorAll("button")].find((b) => b.textContent === arguments[0] && b.checkVisibility()) ]], text)
  assert(type(found) == "table", "there is no button " .. text)
  self:call("POST", ("/element/%s/click"):format(element_of(found)), setmetatable({}, { __jsontype = "object" }))
end

function Browser:type(css, text) self:call("POST", ("/element/%s/value"):format(self:find(css)), { text = text }) end

local keys = { Tab = "\u{E004}", Enter = "\u{E007}", Escape = "\u{E00C}", Space = " ", End = "\u{E010}", Home = "\u{E011}", ArrowUp = "\u{E013}",
  ArrowDown = "\u{E015}", Shift = "\u{E008}", PageDown = "\u{E00F}" }

--- Presses keys one after the other, as on a keyboard.
function Browser:press(...)
  local actions = {}
  for _, key in ipairs { ... } do
    local value = keys[key] or key
    actions[#actions + 1] = { type = "keyDown", value = value }
    actions[#actions + 1] = { type = "keyUp", value = value }
  end
  self:call("POST", "/actions", { actions = { { type = "key", id = "keyboard", actions = actions } } })
end

function Browser:devtools(command, parameters)
  return self:call("POST", "/goog/cdp/execute", { cmd = command, params = setmetatable(parameters or {}, { __jsontype = "object" }) })
end

function Browser:size(width, height)
  self:devtools("Emulation.setDeviceMetricsOverride", { width = width, height = height, deviceScaleFactor = 1, mobile = false })
end

function Browser:prefers(scheme)
  self:devtools("Emulation.setEmulatedMedia", { features = {
    { name = "prefers-color-scheme", value = scheme }, { name = "prefers-reduced-motion", value = "reduce" },
  } })
end

function Browser:picture(path)
  local file = system.write("picture.b64", self:call("GET", "/screenshot"))
  assert(os.execute(("base64 -d %s >'%s'"):format(file, path)))
end

--- What the page wrote to its console: errors only, as text.
function Browser:faults()
  local lines = {}
  for _, entry in ipairs(self:call("POST", "/se/log", { type = "browser" })) do
    if entry.level == "SEVERE" then lines[#lines + 1] = entry.message end
  end
  return lines
end

return M
