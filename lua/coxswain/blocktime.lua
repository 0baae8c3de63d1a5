-- RFC 3339 times of blocks, as the chain writes them: "2026-06-01T12:00:00.123456789Z".

local M = {}

-- Days from 1970-01-01 to a date of the Gregorian calendar (Howard Hinnant, "chrono-compatible low-level date algorithms").
local function days_of(year, month, day)
  if month <= 2 then year = year - 1 end
  local era = year // 400
  local year_of_era = year - era * 400
  local day_of_year = (153 * (month > 2 and month - 3 or month + 9) + 2) // 5 + day - 1
  return era * 146097 + year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year - 719468
end

local function offset_of(zone)
  if zone == "Z" or zone == "z" then return 0 end
  local sign, hours, minutes = zone:match("^([+-])(%d%d):(%d%d)$")
  if not sign then return nil end
  local seconds = tonumber(hours) * 3600 + tonumber(minutes) * 60
  return sign == "-" and -seconds or seconds
end

--- Seconds since 1970 of an RFC 3339 time.
---@param text string
---@return number? seconds nil: not such a time
function M.parse(text)
  local year, month, day, hour, minute, second, zone =
    text:match("^(%d%d%d%d)-(%d%d)-(%d%d)[Tt ](%d%d):(%d%d):(%d%d%.?%d*)([Zz+-][%d:]*)$")
  local offset = zone and offset_of(zone)
  if not offset then return nil end
  year, month, day = tonumber(year), tonumber(month), tonumber(day)
  hour, minute, second = tonumber(hour), tonumber(minute), tonumber(second)
  if month < 1 or month > 12 or day < 1 or day > 31 then return nil end
  if hour > 23 or minute > 59 or second >= 61 then return nil end -- 60: a leap second
  return days_of(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset
end

-- The inverse of days_of, from the same source.
local function date_of(days)
  local shifted = days + 719468
  local era = shifted // 146097
  local day_of_era = shifted - era * 146097
  local year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36524 - day_of_era // 146096) // 365
  local day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
  local month_from_march = (5 * day_of_year + 2) // 153
  local month = month_from_march < 10 and month_from_march + 3 or month_from_march - 9
  return year_of_era + era * 400 + (month <= 2 and 1 or 0), month, day_of_year - (153 * month_from_march + 2) // 5 + 1
end

--- The RFC 3339 time, in UTC with milliseconds, of seconds since 1970.
---@param seconds number
---@return string
function M.format(seconds)
  local ms = math.floor(seconds * 1000 + 0.5)
  local s = ms // 1000
  local year, month, day = date_of(s // 86400)
  return ("%04d-%02d-%02dT%02d:%02d:%02d.%03dZ"):format(year, month, day, s // 3600 % 24, s // 60 % 60, s % 60, ms % 1000)
end

--- Seconds by which a block's time lies behind now, from 0.
---@param block_time string|number|nil RFC 3339, or seconds since 1970
---@return number? stale_s nil: no time, or one that cannot be read
function M.staleness(block_time)
  local at = type(block_time) == "string" and M.parse(block_time) or tonumber(block_time)
  if at == nil or at ~= at or math.abs(at) == math.huge then return nil end
  return math.max(0, time.now() - at)
end

return M
