-- Virtual time: what is to happen later stands in a list, and time jumps from one event to the next.

local timeline = {}
timeline.__index = timeline

--- `on_move`, when given, is called with each moment that time moves on to.
function timeline.new(now_s, on_move)
  return setmetatable({ now_s = now_s or 1700000000, events = {}, serial = 0, on_move = on_move }, timeline)
end

local function move(self, to_s)
  if to_s <= self.now_s then return end
  self.now_s = to_s
  if self.on_move then self.on_move(to_s) end
end

--- When the next event is due; nil: there is none.
function timeline:next_s()
  local first
  for _, event in ipairs(self.events) do
    if not first or event.at_s < first then first = event.at_s end
  end
  return first
end

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
      if until_s < math.huge then move(self, until_s) end
      return
    end
    move(self, event.at_s)
    event.action()
  end
end

function timeline:pass(seconds) self:run(self.now_s + seconds) end

return timeline
