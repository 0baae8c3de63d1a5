-- Strict: an unknown global is an error. What the sandbox gives to scripts is named here.
std = "lua54"
max_line_length = 160
exclude_files = { "build*/**" }

stds.sandbox = {
  read_globals = {
    "assert", "error", "getmetatable", "ipairs", "next", "pairs", "pcall", "rawequal", "rawget", "rawlen", "rawset",
    "require", "select", "setmetatable", "tonumber", "tostring", "type", "xpcall", "_VERSION",
    "coroutine", "math", "string", "table", "utf8",
    "json", "log", "time",
  },
}

files["scripts/"] = { std = "sandbox" }
files["scripts/jobs/"] = { std = "sandbox", read_globals = { "broker", "http", "wallet", "ws" } }
files["scripts/spec/"] = { std = "sandbox", read_globals = { "describe", "it", "pending", "before_each", "after_each", "setup", "teardown" } }
files["lua/"] = { read_globals = { "json", "log", "time" } }
for _, name in ipairs { "endpoints", "feed", "hardware", "tx" } do -- libraries of jobs
  files["lua/coxswain/" .. name .. ".lua"] = { read_globals = { "broker", "http", "wallet" } }
end
files["lua/meta/"] = { ignore = { "1", "2", "631" } } -- declarations for editors, never run
files["lua/skeletons/"] = { std = "sandbox", read_globals = { "broker", "http", "wallet", "ws", "describe", "it", "before_each" } }
files["spec/"] = { std = "+busted", globals = { "broker", "http", "json", "log", "time", "wallet", "ws" }, ignore = { "212" } } -- stand-ins take what they need not
files["spec/fixtures/"] = { ignore = { "." } } -- wrong on purpose
