-- The journal as a client meets it: it has an answer, and asks for the line that tells of it at once, on the same connection.
local json_text = require "dkjson"
local system = require "support.system"

describe("the journal", function()
  after_each(system.clean)

  --- One command and the question for its line right behind it: the lines after `since`.
  local function command_and_events(daemon, name, body, since)
    local pipe = assert(io.popen(("curl -sS -m 30 -o /dev/null -X POST -H 'Content-Type: application/json' --data-binary '%s' %s/v1/commands/%s"
      .. " --next -sS -m 30 '%s/v1/events?format=json&max=1000&since=%d'"):format(body, daemon.url, name, daemon.url, since)))
    local page = json_text.decode(pipe:read "a")
    pipe:close()
    return page
  end

  for _, store in ipairs { ":memory:", "j.db" } do
    it("has the line of each command whose answer was given, in " .. store, function()
      local config = system.config(system.write("nodes.json", "[]")):gsub('store = ":memory:"', ('store = %q'):format(store))
      local daemon = system.daemon(config)
      local since = command_and_events(daemon, "probe", "{}", 0).last
      for i = 1, 14 do
        local name = i % 2 == 0 and "probe" or "start_poc" -- done and skipped, both without a change that must be durable
        local page = command_and_events(daemon, name, "{}", since)
        local found = false
        for _, record in ipairs(page.events) do found = found or (record.kind == "command" and record.name == name) end
        assert.is_true(found, ("command %d, %s, is not among the %d lines after %d"):format(i, name, #page.events, since))
        since = page.next
      end
    end)
  end
end)
