-- Virtual time: what is to happen later stands in a list, and time jumps from one event to the next.

local timeline = {}
timeline.__index = timeline

function timeline.new(now_s) return setmetatable({ now_s = now_s or 1700000000, events = {}, serial = 0 }, timeline) end

--- Has `action` called in `delay_s`. Events of one moment keep their order.
function timeline:after(delay_s, action)
  self.serial = self.serial + 1
  local event = { at_s = self.now_s + delay_s, serial = self.serial, action = action }
  self.events[#self.events + 1] = event
  return event
end

function timeline:cancel(event)
  for i, other in ipairs(self.events) do
    if other == event then return table.remove(self.events, i) end
  end
end

local function is_before(left, right)
  if left.at_s ~= right.at_s then return left.at_s < right.at_s end
  return left.serial < right.serial
end

-- The next event up to that moment, taken out of the list.
local function take(self, until_s)
  local best
  for i, event in ipairs(self.events) do
    if event.at_s <= until_s and (not best or is_before(event, self.events[best])) then best = i end
  end
  return best and table.remove(self.events, best)
end

--- Lets time pass up to that moment, or until `is_done` says so after an event.
function timeline:run(until_s, is_done)
  while not (is_done and is_done()) do
    local event = take(self, until_s)
    if not event then
      self.now_s = math.max(self.now_s, until_s)
      return
    end
    self.now_s = math.max(self.now_s, event.at_s)
    event.action()
  end
end

function timeline:pass(seconds) self:run(self.now_s + seconds) end

return timeline
