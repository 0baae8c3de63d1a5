-- The house: who may enter which room, how large things may grow, and that the maps lead somewhere.
-- Each rule is a function of a path and a text, so that it is tried on small broken texts before it judges the tree.

local lfs = require "lfs"

local SIZE_ASKED, SIZE_MAX, FUNCTION_MAX = 600, 1000, 70 -- lines

-- Files over SIZE_ASKED lines, each with the reason why it is not split.
local large = {
  ["spec/c/console_cli_test.c"] = "one small case for each way to misuse the command line; apart they would share all their helpers",
  ["spec/c/fleet_test.c"] = "one test for each way in which the carrier can misbehave on request",
  ["spec/c/fleet_node_test.c"] = "one test for each row of the wire's table: it is read beside that table",
}

-- What each room of src/ may include beside itself. src/*.c wires and may include all.
local rooms = {
  base = {},
  core = { "base" },
  wallet = { "base" },
  script = { "base", "core", "wallet" },
  net = { "base", "core" },
  store = { "base", "core" },
  api = { "base", "core" },
  console = { "base", "core" },
  sim = { "base", "core", "wallet" },
}

-- Headers of libraries (beginnings of their names) and the rooms that may see them.
local library_headers = {
  ["lua"] = { "script" },
  ["lauxlib.h"] = { "script" },
  ["curl/"] = { "net" },
  ["sqlite3.h"] = { "store" },
  ["microhttpd.h"] = { "api", "sim" },
  ["gnutls/"] = { "api" },
  ["wslay/"] = { "net", "sim" },
  ["openssl/"] = { "net", "wallet" },
  ["secp256k1"] = { "wallet" },
  ["histedit.h"] = { "console" },
  ["editline/"] = { "console" },
  ["pthread.h"] = { "base" },
  ["jansson.h"] = { "core", "script", "net", "store", "api", "console", "sim" },
  ["sys/socket.h"] = { "net", "store", "api", "console", "sim", "base" },
  ["sys/un.h"] = { "net", "api", "console", "sim", "base" },
  ["netinet/"] = { "net", "api", "console", "sim", "base" },
  ["arpa/"] = { "net", "api", "console", "sim", "base" },
  ["netdb.h"] = { "net", "api", "console", "sim", "base" },
}

local at_top = { -- beside dotfiles
  ["CMakeLists.txt"] = true, ["README.md"] = true, ["LICENSE"] = true, ["CHANGELOG.md"] = true,
  include = true, docs = true, src = true, lua = true, scripts = true, spec = true, tools = true,
}

local function has(list, value)
  for _, item in ipairs(list) do
    if item == value then return true end
  end
  return false
end

local function lines_of(text)
  local lines = {}
  for line in (text:gsub("\n$", "") .. "\n"):gmatch("(.-)\n") do lines[#lines + 1] = line end
  return lines
end

---@return string? breach
local function library_breach(room, header)
  for start, allowed in pairs(library_headers) do
    if header:sub(1, #start) == start and not has(allowed, room) then
      return ("<%s> belongs to %s"):format(header, table.concat(allowed, ", "))
    end
  end
end

local function room_breach(room, header)
  local other = header:match "^([^/]+)/"
  if other == nil then return ("\"%s\": name the room of the header, and none may include what wires"):format(header) end
  if rooms[other] == nil then return ("\"%s\" is in no room"):format(header) end
  if other ~= room and not has(rooms[room], other) then return ("%s may not include \"%s\""):format(room, header) end
end

---@return string[] breaches
local function include_breaches(path, text)
  local room, breaches = path:match "^src/([^/]+)/", {}
  for number, line in ipairs(lines_of(text)) do
    local open, header = line:match '^%s*#%s*include%s*([<"])([^>"]+)'
    local why
    if header and room then
      if rooms[room] == nil then why = ("src/%s is no room of DESIGN's"):format(room)
      elseif open == "<" then why = library_breach(room, header)
      else why = room_breach(room, header) end
    end
    if why then breaches[#breaches + 1] = ("%s:%d: %s"):format(path, number, why) end
  end
  return breaches
end

-- A definition begins at the left margin, has brackets and no =, and its body ends with } at the left margin.
local function function_breaches(path, text)
  local breaches, head, start = {}, "", nil
  for number, line in ipairs(lines_of(text)) do
    if start then
      if line:match "^}" then
        local length = number - start + 1
        if length > FUNCTION_MAX then
          breaches[#breaches + 1] = ("%s:%d: a function of %d lines (at most %d)"):format(path, start, length, FUNCTION_MAX)
        end
        start = nil
      end
    else
      head = (line:match "^[%a_]" and "" or head) .. line
      if line:match "{%s*$" and head:match "%(" and not head:match "=" then start = number end
      if line:match "[;{}]%s*$" or line:match "^%s*$" or line:match "^[#/]" then head = "" end
    end
  end
  return breaches
end

local function size_breaches(path, text, reasons)
  local count = #lines_of(text)
  if count > SIZE_MAX then return { ("%s: %d lines; split it by noun (at most %d)"):format(path, count, SIZE_MAX) } end
  if count > SIZE_ASKED and not reasons[path] then
    return { ("%s: %d lines; split it, or give the reason in `large` of this spec"):format(path, count) }
  end
  return {}
end

local function tab_breaches(path, text)
  for number, line in ipairs(lines_of(text)) do
    if line:find("\t", 1, true) then return { ("%s:%d: a tab; this house indents with spaces"):format(path, number) } end
  end
  return {}
end

-- Scripts see policy and the trusted library; the library sees only itself.
local function require_breaches(path, text)
  local breaches = {}
  for name in text:gmatch 'require%s*%(?%s*"([^"]+)"' do
    local is_allowed = name:match "^coxswain%." or (path:match "^scripts/" and name:match "^policy%.")
    if not is_allowed then breaches[#breaches + 1] = ("%s: may not require %s"):format(path, name) end
  end
  return breaches
end

-- Targets of links that are files: not those of the net, not places in the page, nothing inside of code.
local function links(text)
  local targets = {}
  text = text:gsub("```.-```", ""):gsub("`[^`\n]*`", "")
  for target in text:gmatch "%]%(%s*<?([^)%s>]+)[^)]*%)" do
    if not target:match "^%a[%w+.-]*:" and not target:match "^#" then targets[#targets + 1] = (target:gsub("#.*$", "")) end
  end
  return targets
end

local function link_breaches(path, text, exists)
  local breaches = {}
  for _, target in ipairs(links(text)) do
    local place = target:match "^/" and target:sub(2) or (path:match "^(.*/)" or "") .. target
    if not exists(place) then breaches[#breaches + 1] = ("%s: the link to %s leads nowhere"):format(path, target) end
  end
  return breaches
end

-- A line of .gitignore as a pattern for a name at the top.
local function ignore_pattern(line)
  return "^" .. line:gsub("^/", ""):gsub("/$", ""):gsub("[%-.+]", "%%%0"):gsub("%*", ".*") .. "$"
end

local function is_ignored(name, ignore)
  for _, line in ipairs(lines_of(ignore)) do
    if line:match "^[^#%s]" and name:match(ignore_pattern(line)) then return true end
  end
  return false
end

local function top_breaches(names, ignore)
  local breaches = {}
  for _, name in ipairs(names) do
    if not (at_top[name] or name:match "^%." or is_ignored(name, ignore)) then
      breaches[#breaches + 1] = name .. ": does not belong at the top; find its room, or keep it out of the tree"
    end
  end
  return breaches
end

local function executable_breaches(path, text, permissions)
  if text:match "^#!" and not permissions:match "^r.x" then return { path .. ": has a #! line but may not be executed: chmod +x" } end
  return {}
end

-- ---- the tree ----

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "a"
  file:close()
  return text
end

local ignore = read ".gitignore"

local function names_in(folder)
  local names = {}
  for name in lfs.dir(folder) do
    if name ~= "." and name ~= ".." and name ~= ".git" then names[#names + 1] = name end
  end
  table.sort(names)
  return names
end

local function walk(folder, found)
  for _, name in ipairs(names_in(folder)) do
    local path = folder == "." and name or folder .. "/" .. name
    local mode = lfs.symlinkattributes(path, "mode")
    if mode == "directory" and not is_ignored(name, ignore) then walk(path, found) end
    if mode == "file" and not is_ignored(name, ignore) then found[#found + 1] = path end
  end
  return found
end

local tree = walk(".", {})

-- All breaches of a rule in the files whose path matches.
local function judge(pattern, rule, ...)
  local breaches, count = {}, 0
  for _, path in ipairs(tree) do
    if path:match(pattern) then
      count = count + 1
      for _, breach in ipairs(rule(path, read(path), ...)) do breaches[#breaches + 1] = breach end
    end
  end
  assert.is_true(count > 0, "no file matches " .. pattern .. ": run this from the top of the tree")
  assert.equal("", table.concat(breaches, "\n"))
end

local function exists(path) return lfs.attributes((path:gsub("/$", "")), "mode") ~= nil end

describe("the house", function()
  it("keeps libraries in their rooms and includes along the arrows", function() judge("^src/.*%.[ch]$", include_breaches) end)
  it("shows embedders no room from inside", function()
    for _, path in ipairs(tree) do
      if path:match "^include/" then assert.is_nil(read(path):match '#%s*include%s*"', path) end
    end
  end)
  it("has no function over 70 lines", function() judge("%.[ch]$", function_breaches) end)
  it("has no file that should be two", function()
    for _, folder in ipairs { "src", "lua", "scripts", "spec", "tools" } do judge("^" .. folder .. "/", size_breaches, large) end
  end)
  it("defends only files that are large", function()
    for path in pairs(large) do assert.is_true(exists(path) and #lines_of(read(path)) > SIZE_ASKED, path) end
  end)
  it("indents with spaces", function()
    for _, folder in ipairs { "src", "lua", "scripts", "spec", "tools", "%.ci" } do judge("^" .. folder .. "/", tab_breaches) end
  end)
  it("lets scripts see policy and the library only", function()
    judge("^scripts/.*%.lua$", require_breaches)
    judge("^lua/coxswain/.*%.lua$", require_breaches)
  end)
  it("has maps that lead somewhere", function() judge("%.md$", link_breaches, exists) end)
  it("has nothing at the top that belongs elsewhere", function()
    assert.equal("", table.concat(top_breaches(names_in ".", ignore), "\n"))
  end)
  it("has tools that can be started", function()
    for _, path in ipairs { "tools/run", "tools/test", ".ci/run" } do assert.is_true(exists(path), path) end
    for _, folder in ipairs { "tools", "%.ci" } do
      judge("^" .. folder .. "/", function(path, text) return executable_breaches(path, text, lfs.attributes(path, "permissions")) end)
    end
  end)
end)

-- ---- the rules themselves ----

describe("a rule of the house", function()
  local function count(breaches) return #breaches end

  it("finds a library outside of its room", function()
    for path, header in pairs {
      ["src/core/a.c"] = "lua.h", ["src/api/a.c"] = "curl/curl.h", ["src/core/b.h"] = "sqlite3.h", ["src/net/a.c"] = "microhttpd.h",
      ["src/store/a.c"] = "pthread.h", ["src/base/a.c"] = "jansson.h", ["src/core/c.c"] = "sys/socket.h",
      ["src/net/b.c"] = "lauxlib.h", ["src/api/b.c"] = "wslay/wslay.h", ["src/net/c.c"] = "lualib.h",
    } do
      assert.equal(1, count(include_breaches(path, "#include <stdio.h>\n#include <" .. header .. ">\n")), path)
    end
    assert.equal(0, count(include_breaches("src/script/a.c", "#include <lua.h>\n# include <jansson.h>\n")))
    assert.equal(0, count(include_breaches("src/main.c", "#include <lua.h>\n")))
  end)
  it("finds an include against the arrows", function()
    for path, header in pairs {
      ["src/base/a.c"] = "core/node.h", ["src/core/a.c"] = "script/script.h", ["src/api/a.c"] = "store/memory.h",
      ["src/net/a.h"] = "declare.h", ["src/sim/a.c"] = "cellar/x.h",
    } do
      local breaches = include_breaches(path, '\n  #include "' .. header .. '"\n')
      assert.equal(1, count(breaches), path)
      assert.matches(path .. ":2: ", breaches[1], 1, true)
    end
    assert.equal(0, count(include_breaches("src/api/a.c", '#include "api/api.h"\n#include "core/node.h"\n#include "base/err.h"\n')))
    assert.equal(0, count(include_breaches("src/daemon.c", '#include "api/api.h"\n#include "declare.h"\n')))
    assert.equal(1, count(include_breaches("src/cellar/a.c", "#include <stdio.h>\n")))
  end)
  it("finds a function that is too long, however its head is written", function()
    local function body(lines) return ("  x();\n"):rep(lines) .. "}\n" end
    for _, head in ipairs { "int f(void) {\n", "static int f(int a,\n             int b) {\n", "int f(void)\n{\n" } do
      assert.equal(1, count(function_breaches("a.c", "#include <a.h>\n\n" .. head .. body(69))), head)
      assert.equal(0, count(function_breaches("a.c", "#include <a.h>\n\n" .. head .. body(68))), head)
    end
    assert.equal(0, count(function_breaches("a.c", "static const int table[] = {\n    f(1),\n" .. body(90))))
    assert.equal(0, count(function_breaches("a.c", "struct a {\n" .. body(90))))
    assert.equal(1, count(function_breaches("a.c", "int g(int a);\nstruct a {\n  int b;\n};\nint f(void) {\n" .. body(80))))
  end)
  it("finds a file that is too large, and one that does not defend itself", function()
    assert.equal(0, count(size_breaches("a.c", ("\n"):rep(600), {})))
    assert.equal(1, count(size_breaches("a.c", ("\n"):rep(601), {})))
    assert.equal(0, count(size_breaches("a.c", ("\n"):rep(601), { ["a.c"] = "a table" })))
    assert.equal(1, count(size_breaches("a.c", ("\n"):rep(1001), { ["a.c"] = "a table" })))
  end)
  it("finds tabs", function()
    assert.same({ "a.lua:2: a tab; this house indents with spaces" }, tab_breaches("a.lua", "x\n\ty\n"))
    assert.equal(0, count(tab_breaches("a.lua", "x\n  y\n")))
  end)
  it("finds a script that requires more than it may", function()
    assert.equal(1, count(require_breaches("scripts/jobs/a.lua", 'local io = require "socket"')))
    assert.equal(1, count(require_breaches("lua/coxswain/a.lua", 'local p = require("policy.phases")')))
    assert.equal(0, count(require_breaches("scripts/jobs/a.lua", 'require "policy.phases" require("coxswain.epoch")')))
  end)
  it("finds links that lead nowhere", function()
    local text = "[a](b.md) [c](../d#e) [f](https://x/y) [g](#h) `[i](j)`\n```\n[k](l)\n```\n![m](n.png \"o\") [p](/q)"
    assert.same({ "b.md", "../d", "n.png", "/q" }, links(text))
    local asked = {}
    local breaches = link_breaches("src/README.md", text, function(path)
      asked[#asked + 1] = path
      return path ~= "src/n.png"
    end)
    assert.same({ "src/b.md", "src/../d", "src/n.png", "q" }, asked)
    assert.same({ "src/README.md: the link to n.png leads nowhere" }, breaches)
  end)
  it("finds what lies about at the top", function()
    local breaches = top_breaches({ "src", ".clang-format", "build", "build-asan", "x.db", "notes.txt" }, "# made\nbuild/\nbuild-*/\n*.db\n")
    assert.equal(1, count(breaches))
    assert.matches("^notes.txt", breaches[1])
  end)
  it("finds a tool that cannot be started", function()
    assert.equal(1, count(executable_breaches("tools/a", "#!/bin/sh\n", "rw-r--r--")))
    assert.equal(0, count(executable_breaches("tools/a", "#!/bin/sh\n", "rwxr-xr-x")))
    assert.equal(0, count(executable_breaches("tools/lib.sh", "# sourced\n", "rw-r--r--")))
  end)
end)
