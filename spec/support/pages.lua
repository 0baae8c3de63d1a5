-- Pages of docs/ that are made from a running daemon: the HTTP API from its OpenAPI document, the metrics from /metrics.

local M = {}

local METHODS = { "get", "put", "post", "delete" }

local function keys(map)
  local list = {}
  for key in pairs(map or {}) do list[#list + 1] = key end
  table.sort(list)
  return list
end

local function name_of(ref) return ref:match "([^/]+)$" end

-- The type of a schema in one word or two.
local function type_of(schema)
  if schema["$ref"] then local name = name_of(schema["$ref"]) return ("[%s](#%s)"):format(name, name:lower()) end
  if schema.enum then return "`" .. table.concat(schema.enum, "`, `") .. "`" end
  if schema.type == "array" then return "list of " .. (schema.items and type_of(schema.items) or "anything") end
  local kind = schema.type
  if type(kind) == "table" then kind = table.concat(kind, " or ") end
  return kind or "anything"
end

local function cell(text) return (tostring(text or ""):gsub("|", "\\|"):gsub("\n", " ")) end

local function add_parameters(out, document, operation)
  if not operation.parameters or #operation.parameters == 0 then return end
  out[#out + 1] = "\n| parameter | in | |\n|---|---|---|"
  for _, parameter in ipairs(operation.parameters) do
    if parameter["$ref"] then parameter = document.components.parameters[name_of(parameter["$ref"])] end
    out[#out + 1] = ("| `%s`%s | %s | %s |"):format(parameter.name, parameter.required and " (needed)" or "", parameter["in"], cell(parameter.description))
  end
end

local function schema_of(body)
  local media = keys(body and body.content)[1]
  local schema = media and body.content[media].schema
  return schema and type_of(schema)
end

local function add_responses(out, document, operation)
  out[#out + 1] = "\n| answer | | |\n|---|---|---|"
  for _, status in ipairs(keys(operation.responses)) do
    local response = operation.responses[status]
    if response["$ref"] then response = document.components.responses[name_of(response["$ref"])] end
    out[#out + 1] = ("| %s | %s | %s |"):format(status, cell(response.description), schema_of(response) or "")
  end
end

local function add_operation(out, document, path, method, operation)
  out[#out + 1] = ("\n### %s %s\n\n%s"):format(method:upper(), path, operation.summary or "")
  if operation.description then out[#out + 1] = "\n" .. operation.description end
  add_parameters(out, document, operation)
  local schema = schema_of(operation.requestBody)
  if schema then out[#out + 1] = "\nBody: " .. schema .. "." end
  add_responses(out, document, operation)
end

local function add_schema(out, name, schema)
  out[#out + 1] = ("\n### %s\n"):format(name)
  if schema.description then out[#out + 1] = schema.description .. "\n" end
  local properties = keys(schema.properties)
  if #properties == 0 then
    out[#out + 1] = type_of(schema) .. "\n"
    return
  end
  local needed = {}
  for _, property in ipairs(schema.required or {}) do needed[property] = true end
  out[#out + 1] = "| field | | |\n|---|---|---|"
  for _, property in ipairs(properties) do
    local inner = schema.properties[property]
    out[#out + 1] = ("| `%s`%s | %s | %s |"):format(property, needed[property] and "" or " (may be absent)", type_of(inner), cell(inner.description))
  end
end

--- docs/http.md from the decoded document.
function M.http(document)
  local out = {
    "# The HTTP API\n",
    "Made by `tools/docs` from `GET /openapi.json` of the daemon; do not edit. The daemon listens on 127.0.0.1:9200 unless `admin.listen` says",
    "otherwise. Bodies and answers are JSON; errors are `{\"error\": \"what, on what, why, what next\"}`. With a token set, every route but `/livez`,",
    "`/readyz` and `/` wants `Authorization: Bearer TOKEN`. The control socket speaks the same API, plain and without a token, to root and the",
    "daemon's user: `curl --unix-socket coxswain.sock http://localhost/admin/v1/nodes`.\n",
    "## Routes",
  }
  for _, path in ipairs(keys(document.paths)) do
    for _, method in ipairs(METHODS) do
      local operation = document.paths[path][method]
      if operation then add_operation(out, document, path, method, operation) end
    end
  end
  out[#out + 1] = "\n## Shapes"
  for _, name in ipairs(keys(document.components.schemas)) do add_schema(out, name, document.components.schemas[name]) end
  return table.concat(out, "\n") .. "\n"
end

--- docs/metrics.md from the text of /metrics.
function M.metrics(text)
  local out = {
    "# Metrics\n",
    "Made by `tools/docs` from `GET /metrics` of the daemon; do not edit. The text is Prometheus' own format; every label value is there from the start,",
    "at 0. [../tools/monitoring](../tools/monitoring) has a Grafana dashboard (`grafana.json`: import it) and alerts (`coxswain.rules.yml`: name it in",
    "`rule_files`), both checked against the daemon. A scrape configuration:\n",
    "```yaml",
    "scrape_configs:",
    "  - job_name: coxswain        # the alerts expect this name",
    "    static_configs: [{ targets: [\"127.0.0.1:9200\"] }]",
    "    # authorization: { credentials_file: /etc/prometheus/coxswain.token }   # with admin.token or a token of scope read",
    "```\n",
    "| metric | type | labels | |\n|---|---|---|---|",
  }
  for name, help in text:gmatch "# HELP (%S+) ([^\n]*)" do
    local kind, labels, list = text:match("# TYPE " .. name .. " (%l+)"), {}, {}
    for set in text:gmatch("\n" .. name .. "[_%l]*{([^}]*)}") do
      for label in set:gmatch '([%w_]+)="' do labels[label] = label ~= "le" or nil end
    end
    for _, label in ipairs(keys(labels)) do list[#list + 1] = "`" .. label .. "`" end
    out[#out + 1] = ("| `%s` | %s | %s | %s |"):format(name, kind, table.concat(list, " "), cell(help))
  end
  return table.concat(out, "\n") .. "\n"
end

return M
