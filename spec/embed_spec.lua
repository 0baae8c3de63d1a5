-- The installed package as others meet it: a program is compiled against it, by pkg-config and by CMake, and leases a node.

local binary = os.getenv "COXSWAIN_BIN"
local source = os.getenv "COXSWAIN_SOURCE" or "."
local build = binary and binary:match "^(.*)/[^/]*$"

local function run(command)
  local pipe = assert(io.popen("{ " .. command .. "; } 2>&1", "r"))
  local output = pipe:read "a"
  local is_good, _, code = pipe:close()
  return is_good, output, code
end

local function must(command)
  local is_good, output = run(command)
  if not is_good then error(command .. "\n" .. output, 2) end
  return output
end

local function read(path)
  local file = io.open(path, "rb")
  if not file then return "" end
  local text = file:read "a"
  file:close()
  return text
end

local function write(path, text)
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
end

-- What the build itself was compiled with, so that a sanitized or counted library links.
local function flags_of(cache)
  local sanitizer = cache:match "COX_SANITIZE:STRING=(%w+)"
  if cache:find "COX_COVERAGE:BOOL=ON" then return "--coverage" end
  if sanitizer == "address" then return "-fsanitize=address,undefined" end
  return sanitizer == "thread" and "-fsanitize=thread" or ""
end

-- A command in the background; returns its number once its output matches.
local function start(command, log, pattern)
  local pid = must(command .. " > " .. log .. " 2>&1 & echo $!"):match "%d+"
  for _ = 1, 600 do
    local found = read(log):match(pattern)
    if found then return pid, found end
    os.execute "sleep 0.1"
  end
  os.execute("kill " .. pid)
  error(log .. ": " .. read(log))
end

describe("the installed package", function()
  if not build then
    pending "needs COXSWAIN_BIN, as ctest sets it"
    return
  end
  local prefix, flags, node, port

  setup(function()
    prefix = must("mktemp -d"):match "%S+"
    flags = flags_of(read(build .. "/CMakeCache.txt"))
    must(("cmake --install %s --prefix %s"):format(build, prefix))
    node, port = start(("%s sim mlnodes --count 1 --port 0"):format(binary), prefix .. "/node.log", "management (%d+)")
  end)

  teardown(function()
    if node then os.execute("kill " .. node) end
    if prefix then os.execute("rm -rf " .. prefix) end
  end)

  local function leases(program)
    local is_good, output = run(("cd %s && %s 127.0.0.1 %s"):format(prefix, program, port))
    assert.is_true(is_good, output)
    assert.matches("leased node1: send to http://127.0.0.1:" .. port .. "/v1/chat/completions", output, 1, true)
    assert.matches("handed over: a lease of node1", output, 1, true)
    assert.matches("a second release: lease %x+ has ended", output)
    assert.matches('event: {"seq":%d+.-"node_id":"node1"', output) -- which of them are told before its end is a matter of luck
  end

  it("has a header that stands alone, in C and in C++", function()
    write(prefix .. "/alone.c", '#include <coxswain/coxswain.h>\nint main(void) { return COXSWAIN_OK; }\n')
    must(("cc -std=c11 -Wall -Wextra -Wpedantic -Werror -I%s/include -c %s/alone.c -o %s/alone.o"):format(prefix, prefix, prefix))
    if run "command -v c++" then
      must(("c++ -std=c++17 -Wall -Werror -I%s/include -x c++ -c %s/alone.c -o %s/alone.o"):format(prefix, prefix, prefix))
    end
  end)
  it("is found by pkg-config", function()
    local config = "PKG_CONFIG_PATH=$(dirname $(find " .. prefix .. " -name coxswain.pc)) pkg-config"
    assert.matches("^%d+%.%d+%.%d+", must(config .. " --modversion coxswain"))
    must(("cc -std=c11 -Wall -Werror %s %s/tools/examples/embed.c $(%s --cflags --libs coxswain) -o %s/bin/embed"):format(
      flags, source, config, prefix))
    leases "bin/embed"
  end)
  it("is found by CMake", function()
    must(("mkdir -p %s/project && cp %s/tools/examples/embed.c %s/project"):format(prefix, source, prefix))
    write(prefix .. "/project/CMakeLists.txt", ([[
cmake_minimum_required(VERSION 3.25)
project(example C)
find_package(coxswain 0.1 REQUIRED)
add_executable(embedded embed.c)
target_compile_options(embedded PRIVATE %s)
target_link_options(embedded PRIVATE %s)
target_link_libraries(embedded PRIVATE coxswain::coxswain)
install(TARGETS embedded)
]]):format(flags, flags))
    must(("cd %s/project && cmake -G Ninja -B build -DCMAKE_PREFIX_PATH=%s -DCMAKE_INSTALL_PREFIX=%s . && cmake --build build --target install")
      :format(prefix, prefix, prefix))
    leases "bin/embedded"
  end)
  it("says what is wrong with a configuration", function()
    write(prefix .. "/wrong.c", [[
#include <coxswain/coxswain.h>
#include <stdio.h>
int main(void) {
  struct coxswain_error error;
  if (coxswain_start("nowhere.lua", NULL, &error) != NULL || error.code >= 0) return 1;
  puts(error.text);
  if (coxswain_start(NULL, "[1]", &error) != NULL || error.code != COXSWAIN_INVALID) return 2;
  if (coxswain_start(NULL, "{\"workers\": \"many\", \"colour\": 1}", &error) != NULL) return 3;
  puts(error.text);
  coxswain_stop(NULL);
  return 0;
}
]])
    local config = "PKG_CONFIG_PATH=$(dirname $(find " .. prefix .. " -name coxswain.pc)) pkg-config"
    must(("cc %s %s/wrong.c $(%s --cflags --libs coxswain) -o %s/bin/wrong"):format(flags, prefix, config, prefix))
    local output = must(prefix .. "/bin/wrong")
    assert.matches("nowhere.lua", output, 1, true)
    assert.matches("workers", output, 1, true)
    assert.matches("colour", output, 1, true)
  end)
end)

describe("the client example", function()
  if not build then
    pending "needs COXSWAIN_BIN, as ctest sets it"
    return
  end
  if not (run "command -v jq" and run "command -v curl") then
    pending "needs curl and jq"
    return
  end
  local folder, node, daemon, port

  setup(function()
    folder = must("mktemp -d"):match "%S+"
    node = start(("%s sim mlnodes --count 1 --port 0 --nodes-file %s/nodes.json"):format(binary, folder), folder .. "/node.log", "ready")
    write(folder .. "/coxswain.lua", [[
return {
  nodes = "nodes.json", store = ":memory:", feed = { kind = "none" }, admin = { listen = "127.0.0.1:0", socket = "c.sock" },
  participant = { address = "gonka1example", pubkey = "Aexample" }, callback_url = "http://127.0.0.1:9100",
}
]])
    daemon, port = start(("%s run -c %s/coxswain.lua"):format(binary, folder), folder .. "/daemon.log", "msg=ready.- port=(%d+)")
    must(([[curl -sSf -X POST http://127.0.0.1:%s/v1/commands/new_block -d '{"height":50,"hash":"AB",
      "epoch":{"index":1,"poc_start_block_height":0},"params":{"epoch_length":1000,"poc_stage_duration":10,
      "poc_validation_delay":2,"poc_validation_duration":10}}']]):format(port))
  end)

  teardown(function()
    for _, pid in ipairs { daemon or false, node or false } do
      if pid then os.execute("kill " .. pid) end
    end
    if folder then os.execute("rm -rf " .. folder) end
  end)

  local function lease(model)
    return run(("COXSWAIN_ADMIN=http://127.0.0.1:%s %s/tools/examples/lease.sh %s 'What is a coxswain?'"):format(port, source, model))
  end

  it("leases, calls and releases", function()
    local model = read(folder .. "/nodes.json"):match '"models": {%s*"([^"]+)"'
    local is_good, output = lease(model)
    assert.is_true(is_good, output)
    assert.matches('"choices"', output, 1, true)
    assert.matches('"lock_count": ?0', must(("curl -sS http://127.0.0.1:%s/admin/v1/nodes"):format(port)))
  end)
  it("says why there is no lease", function()
    local is_good, output, code = lease "unheard-of"
    assert.is_nil(is_good)
    assert.equal(1, code)
    assert.matches("no node names model unheard-of", output, 1, true)
  end)
end)
