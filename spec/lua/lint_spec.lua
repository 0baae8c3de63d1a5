-- What `coxswain check` sees in a text: the faults that are there, and none that are not.

local lexer = require "coxswain.lexer"
local lint  = require "coxswain.lint"

local classes = { ["coxswain.Broker"] = { node = true, nodes = true, world = true }, ["coxswain.Node"] = { id = true, intend = true } }

local function inspect(text, more)
  assert(load((text:gsub("^#[^\n]*", "")))) -- only texts that compile are looked at
  local options = { globals = { print = print, pairs = pairs, require = require, string = string, pcall = pcall }, modules = { ["coxswain.epoch"] = true },
    classes = classes, parameters = { run = { "coxswain.Broker" } } }
  for name, value in pairs(more or {}) do options[name] = value end
  local lines = {}
  for i, fault in ipairs(lint.inspect(text, options)) do lines[i] = fault.line .. ": " .. fault.message end
  return lines
end

local function finds(text, line, message, more)
  local found = inspect(text, more)
  assert.equal(1, #found, table.concat(found, "\n"))
  assert.equal(line .. ": ", found[1]:sub(1, #tostring(line) + 2))
  assert.matches(message, found[1], 1, true)
end

describe("lint", function()
  it("has nothing to say about good texts, whatever they are written like", function()
    for _, text in ipairs {
      "", "#!/usr/bin/lua\nprint(1)", "local a <const>, b <close> = 1, nil; print(a, b)",
      "local function f(...) local x, y = ... return x, y, select end f()",
      "goto out; do print(1) end ::out::", "for i = 1, 10, 2 do print(i) end for k, v in pairs {} do print(k, v) end",
      "repeat local x = 1 until x == 1", "while true do break end",
      "local t = { 1, 2; a = 3, ['b'] = 4, [1 + 1] = 5 } t.a.b['c'].d = 1 print(#t, -t.a, not t, ~1)",
      "local t = {} function t.f() end function t.g.h:i() return self end", "local a, b a, b = b, a; (print)(1); print 'x'; print { 1 } ('s'):rep(2)",
      "local s = [==[ ]] foo.bar ]==] --[[ foo.bar\n ]] -- foo.bar\nprint(s, '\\'foo', \"\\z  \n x\", 0x1p-4, 1e+5, 3 .. 4, .5)",
      "local x x = function() return function(y) return x, y end end print(x)", "if print then print(1) elseif pairs then else end",
      "local function fact(n) return n == 0 and 1 or n * fact(n - 1) end print(fact)", "return", "return 1, 2;",
      "local a = 1 // 2 ~= 3 >> 1 << 2 & 3 | 4 ~ 5 <= 6 and 7 .. 'x' print(a)",
    } do
      local found = text:find "select" and { table.concat(inspect(text, { globals = { select = select, print = print } })) } or inspect(text)
      assert.equal("", table.concat(found, "\n"), text)
    end
  end)

  it("finds names that nothing declares, where they stand", function()
    finds("local a = 1\nlocal function f()\n  return a + foo.bar\nend\nreturn f", 3, "unknown global 'foo'")
    finds("print(x)", 1, "unknown global 'x'")
    finds("do local y = 1 print(y) end\nprint(y)", 2, "unknown global 'y'")
    finds("local z = z", 1, "unknown global 'z'")
    finds("repeat local q until q\nprint(q)", 2, "unknown global 'q'")
    finds("for i = 1, 2 do end\nprint(i)", 2, "unknown global 'i'")
    finds("local t = {\n  a = 1,\n  b = nope,\n}\nprint(t)", 3, "unknown global 'nope'")
    finds("print(function() return [[\n\n]] .. late end)", 3, "unknown global 'late'")
    finds("pcall(function() nope:call() end)", 1, "unknown global 'nope'")
    finds("nope 'text'", 1, "unknown global 'nope'")
  end)

  it("finds names that would become globals", function()
    finds("x = 1", 1, "'x' would be a global")
    finds("local a\na, b = 1, 2\nprint(a)", 2, "'b' would be a global")
    finds("function f() end", 1, "function 'f' would be a global")
  end)

  it("finds fields that libraries and modules do not have, and lets others be asked for", function()
    finds("print(string.fromat('x'))", 1, "string has no field fromat")
    finds("local epoch = require 'coxswain.epoch'\nepoch.phse()", 2, "module coxswain.epoch has no field phse")
    finds("print(require('coxswain.epoch').phse)", 1, "module coxswain.epoch has no field phse")
    finds("require 'coxswain.nothing'", 1, "there is no module 'coxswain.nothing'")
    assert.same({}, inspect "local epoch = require 'coxswain.epoch'\nprint(epoch.other or 1, epoch.phase)\nif epoch.other then print(1) end")
    assert.same({}, inspect "local string = { anything = 1 }\nprint(string.anything)")
    assert.same({}, inspect "local epoch = require 'coxswain.epoch'\nepoch = {}\nprint(epoch.anything)")
    assert.same({}, inspect "print(require('coxswain.' .. 'any').thing)")
  end)

  it("knows our objects by annotation and by place", function()
    finds("---@param node coxswain.Node\nlocal function f(node) return node.ib end\nreturn f", 2, "Node has no field ib")
    finds("return { run = function(broker)\n  for node in broker:nodes() do\n    node:intent({})\n  end\nend }", 3, "Node has no field intent")
    finds("return { run = function(broker)\n  local node = broker:node('x')\n  return node.idd\nend }", 3, "Node has no field idd")
    finds("return { run = function(b) return b.wrld end }", 1, "Broker has no field wrld")
    assert.same({}, inspect "return { help = 'x', inner = { run = function(any) return any.thing end } }")
    assert.same({}, inspect "return function() return { run = function(any) return any.thing end } end")
    assert.same({}, inspect "local function run(any) return any.thing end\nreturn { run = run }")
  end)

  it("finds keys given twice, at the second place", function()
    finds("return { a = 1,\n b = 2,\n a = 3 }", 3, "the key a twice: first in line 1")
    finds("return { a = 1, ['a'] = 2 }", 1, "the key a twice")
    assert.same({}, inspect "return { a = { a = 1 }, b = { a = 1 }, ['a' .. 'b'] = 1, [1] = 1, 'a' }")
  end)

  it("finds functions of its own module that are not there", function()
    local text = "local M = {}\nfunction M.one() return M.two() end\nreturn M"
    package.loaded["policy.of_spec"] = { one = function() end }
    finds(text, 2, "module policy.of_spec has no field two", { module = "policy.of_spec" })
    package.loaded["policy.of_spec"] = nil
  end)

  it("reads every Lua text of the house without a word", function()
    local list = assert(io.popen "find lua scripts spec -name '*.lua' -not -path 'spec/fixtures/*'")
    for path in list:lines() do
      local file = assert(io.open(path))
      local text = file:read "a"
      file:close()
      local is_good, why = pcall(lint.inspect, text, { globals = setmetatable({}, { __index = function() return true end }),
        modules = setmetatable({}, { __index = function() return true end }) })
      assert.is_true(is_good, path .. ": " .. tostring(why))
    end
    list:close()
  end)
end)

describe("the place of a message", function()
  local text = "local x = {\n  STOPPED = 1,\n}\nlocal function f()\n  return 1\nend\nreturn {\n  help = x,\n  reach = {\n    STOPPED = f,\n  },\n}\n"
  it("is that of the field it names, else of what the file returns", function()
    assert.equal(10, lexer.locate(text, "driver vllm: reach.STOPPED must be a function"))
    assert.equal(8, lexer.locate(text, "driver vllm: help is missing"))
    assert.equal(8, lexer.locate(text, "command a: unknown field help (known are …)"))
    assert.equal(7, lexer.locate(text, "driver vllm: probe must be a function"))
    assert.equal(1, lexer.locate("", "driver vllm: probe must be a function"))
  end)
  it("is that of the case it quotes", function()
    assert.equal(2, lexer.locate('return { cases = {\n  { "a case", expect = false } } }', 'case "a case": expected nothing'))
  end)
end)
