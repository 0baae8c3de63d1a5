-- Several addresses of the same service, in order of preference. One that failed rests for a while, longer each time, and is then
-- asked only when no other is left.

local chain = require "coxswain.chain"

local REST_FIRST_S, REST_MAX_S = 0.5, 10
local BODY_SHOWN = 80

local M = {}

local Endpoints = {}
Endpoints.__index = Endpoints

--- @param urls string|string[]
--- @param timeout_s number of each request
function M.new(urls, timeout_s)
  local list = {}
  for i, url in ipairs(type(urls) == "table" and urls or { urls }) do
    list[i] = { url = (url:gsub("/+$", "")), failures = 0, rests_until = -math.huge }
  end
  return setmetatable({ list = list, timeout_s = timeout_s }, Endpoints)
end

--- The one to ask now: the most preferred that does not rest, else the one whose rest ends first.
---@param tried table<table, true>? those are left out
---@return table? endpoint
---@return number wait_s until its rest is over, 0: it does not rest
function Endpoints.pick(self, tried)
  local now, best = time.monotonic(), nil
  for _, endpoint in ipairs(self.list) do
    if not (tried and tried[endpoint]) then
      if endpoint.rests_until <= now then return endpoint, 0 end
      if not best or endpoint.rests_until < best.rests_until then best = endpoint end
    end
  end
  return best, best and math.min(best.rests_until - now, REST_MAX_S) or 0
end

function Endpoints.succeeded(_, endpoint) endpoint.failures, endpoint.rests_until = 0, -math.huge end

-- With jitter, so that many who lost the same endpoint do not come back together.
function Endpoints.failed(_, endpoint)
  local longest = math.min(REST_MAX_S, REST_FIRST_S * 2 ^ math.min(endpoint.failures, 10))
  endpoint.failures = endpoint.failures + 1
  endpoint.rests_until = time.monotonic() + math.max(REST_FIRST_S, longest * (0.5 + math.random() / 2))
end

local function shorten(body)
  local text = body:sub(1, BODY_SHOWN):gsub("%c", " ")
  return #body > BODY_SHOWN and text .. "…" or text
end

local function judge(url, answer, failure, read)
  if not answer then return nil, failure.message end
  if chain.is_not_found(answer) then return nil, url .. " was answered 404: there is none", "not_found" end
  if answer.status ~= 200 then return nil, ("%s was answered %d: %s"):format(url, answer.status, shorten(answer.body)) end
  if type(answer.json) ~= "table" then return nil, ("%s was answered with what is no JSON: %s"):format(url, shorten(answer.body)) end
  local value, why = read(answer.json)
  if value == nil then return nil, ("%s was answered badly: %s"):format(url, why) end
  return value, why
end

--- Asks one after the other until an answer is good.
---@param path string
---@param read fun(json: any): any, any of the JSON of a 200: the value, or nil and why it is bad
---@param options { timeout_s: number?, max_bytes: integer?, body: table? }? with a body: POST
---@return any value nil: none was good
---@return any why_or_more why not; beside a value what `read` returned second
---@return string? code "not_found": the service says that there is none, which is an answer
function Endpoints.ask(self, path, read, options)
  options = options or {}
  local request = { timeout_s = options.timeout_s or self.timeout_s, max_bytes = options.max_bytes }
  local tried, first_why = {}, nil
  while true do
    local endpoint, wait_s = self:pick(tried)
    if not endpoint or (wait_s > 0 and next(tried)) then return nil, first_why end
    tried[endpoint] = true
    local url = endpoint.url .. path
    local answer, failure
    if options.body then answer, failure = http.post(url, options.body, request)
    else answer, failure = http.get(url, request) end
    local value, more, code = judge(url, answer, failure, read)
    if value ~= nil or code then
      self:succeeded(endpoint)
      return value, more, code
    end
    self:failed(endpoint)
    first_why = first_why or more
    if options.body then return nil, first_why end -- it may have been taken: never twice
  end
end

return M
