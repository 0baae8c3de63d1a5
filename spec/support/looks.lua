-- What tools/page runs: arg[1] is pictures or memory.

package.path = "./spec/?.lua;" .. package.path
local browser = require "support.browser"

local missing = browser.missing()
if missing then
  io.stderr:write(missing, "\n")
  os.exit(2)
end
local is_good
if arg[1] == "pictures" then
  is_good = require("support.pictures").run(arg[2])
else
  is_good = require("support.tab_memory").run(tonumber(arg[2]))
end
os.exit(is_good and 0 or 1)
