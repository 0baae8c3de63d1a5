-- The Debian package of this build in a clean root of its own: installed by dpkg, started by the unit's command line, upgraded over
-- an older version with state, removed, purged. The root holds a shell of this machine for the package's scripts and nothing else; the
-- daemon runs outside of it with every path of its line put below it, for it needs /proc.

local system = require "support.system"

local build = (os.getenv "COXSWAIN_BIN" or ""):match "^(.*)/[^/]*$"
local source = os.getenv "COXSWAIN_SOURCE" or "."

local function run(command)
  local pipe = assert(io.popen("{ " .. command .. "; } 2>&1 </dev/null"))
  local output = pipe:read "a"
  return pipe:close() and true or false, output
end

local function must(command)
  local is_good, output = run(command)
  if not is_good then error(command .. "\n" .. output, 2) end
  return output
end

-- As root plainly, else as root of a user namespace; nil: this machine allows neither.
local function find_way_in()
  for _, way in ipairs { "", "unshare --map-root-user " } do
    if run(way .. "chroot / true") then return way end
  end
end

local function set_of(list)
  local set = {}
  for line in list:gmatch "[^\n]+" do set[line] = true end
  return set
end

describe("the Debian package", function()
  local way = build and find_way_in()
  if not way or not run "command -v cpack dpkg dpkg-shlibdeps file" then
    pending "needs COXSWAIN_BIN, cpack, dpkg-dev, file, and the right to chroot (or user namespaces)"
    return
  end
  local folder, deb, root

  local function pack(name)
    must(("cd %s && umask 022 && SOURCE_DATE_EPOCH=1700000000 cpack -G DEB -D CPACK_DEBIAN_COMPRESSION_TYPE=gzip -B %s/%s"):format(build, folder, name))
    return must(("ls %s/%s/*.deb"):format(folder, name)):match "%S+"
  end

  -- The package as an older version with another default configuration was.
  local function older()
    must(("dpkg-deb -R %s %s/old && sed -i 's/^Version:.*/Version: 0.0.1/' %s/old/DEBIAN/control"):format(deb, folder, folder))
    must(("echo '# an older default' >%s/old/etc/coxswain/environment"):format(folder))
    must(("dpkg-deb --root-owner-group -Zgzip -z1 -b %s/old %s/old.deb"):format(folder, folder))
    return folder .. "/old.deb"
  end

  local function make_root()
    root = folder .. "/root"
    for _, name in ipairs { "bin", "dev", "tmp", "var/lib/dpkg/info", "var/lib/dpkg/updates" } do must(("mkdir -p %s/%s"):format(root, name)) end
    must(("touch %s/dev/null %s/var/lib/dpkg/status"):format(root, root))
    for _, name in ipairs { "sh", "rm", "rmdir", "ls", "tr" } do
      must(("cp -L $(command -v %s) %s/bin/"):format(name, root))
    end
    must(([[for f in %s/bin/*; do ldd "$f"; done | grep -o '/[^ ]*' | sort -u | while read -r l; do
      mkdir -p "%s$(dirname "$l")" && cp -L "$l" "%s$l"; done]]):format(root, root, root))
    -- As on a machine that systemd runs; what is asked of it is written down.
    must(("mkdir -p %s/run/systemd/system && printf '#!/bin/sh\\necho \"$*\" >>/calls\\n' >%s/bin/systemctl && chmod +x %s/bin/systemctl && >%s/calls"):format(
      root, root, root, root))
  end

  --- What systemctl was asked for since the last time, in order.
  local function calls()
    local list = {}
    for line in system.read(root .. "/calls"):gmatch "[^\n]+" do list[#list + 1] = line end
    must(("> %s/calls"):format(root))
    return list
  end

  local function dpkg(words)
    return must(("%sdpkg --root=%s --force-depends --force-unsafe-io --force-confdef --force-confold --log=/dev/null %s"):format(way, root, words))
  end

  local function files()
    return set_of(must(("cd %s && find . -path ./var/lib/dpkg -prune -o -print | sort"):format(root)))
  end

  local function new_files(before)
    local list = {}
    for path in pairs(files()) do
      if not before[path] then list[#list + 1] = path end
    end
    table.sort(list)
    return list
  end

  setup(function()
    folder = system.folder()
    deb = pack "one"
    make_root()
  end)
  teardown(system.clean)

  it("is the same whenever it is made", function() must(("cmp %s %s"):format(deb, pack "two")) end)

  it("does not know where it was built", function()
    must(("dpkg-deb -x %s %s/x"):format(deb, folder))
    local where = must(("readlink -f %s"):format(source)):match "%S+"
    assert.is_false(run(("grep -rlF -e '%s/' %s/x"):format(where, folder)), "the package names " .. where)
  end)

  it("depends on what this machine has, so that it can be installed", function()
    local control = must("dpkg-deb -f " .. deb .. " Depends")
    for _, name in ipairs { "libc6", "libcurl4", "libmicrohttpd12", "libsqlite3-0", "liblua5.4-0", "libjansson4" } do
      assert.matches(name:gsub("%p", "%%%0"), control)
    end
    must(("dpkg --simulate --force-not-root --install %s"):format(deb))
  end)

  it("ships what it promises", function()
    local list = must("dpkg-deb -c " .. deb)
    for _, path in ipairs {
      "/usr/bin/coxswain", "/libcoxswain.a", "/usr/include/coxswain/coxswain.h", "/pkgconfig/coxswain.pc", "/coxswainConfig.cmake",
      "/usr/share/coxswain/scripts/policy/phases.lua", "/usr/share/coxswain/lua/coxswain/handler.lua",
      "/usr/lib/systemd/system/coxswain.service", "/usr/share/bash-completion/completions/coxswain",
      "/usr/share/zsh/vendor-completions/_coxswain", "/usr/share/fish/vendor_completions.d/coxswain.fish",
      "/man1/coxswain.1", "/man5/coxswain.lua.5", "/man7/coxswain-scripts.7", "/usr/share/doc/coxswain/copyright",
    } do
      assert.matches(path, list, 1, true)
    end
    assert.matches("/etc/coxswain/environment", must(("dpkg-deb -I %s conffiles"):format(deb)), 1, true)
    assert.is_nil(list:match " %./usr/local", "something is installed below /usr/local")
    for line in list:gmatch "[^\n]+" do assert.matches("^%S+ root/root ", line) end
  end)

  it("lives a whole life: installed, configured, run, upgraded with its state, removed, purged", function()
    local before = files()
    local said = dpkg("-i " .. older())
    assert.same({ "daemon-reload" }, calls())
    assert.matches("not started", said)
    assert.matches("coxswain init /etc/coxswain", said, 1, true)
    local unit = system.read(root .. "/usr/lib/systemd/system/coxswain.service")
    assert.matches("ConditionPathExists=/etc/coxswain/coxswain.lua", unit, 1, true)

    -- What systemd does before it runs the command line: its folders.
    local line = assert(unit:match "\nExecStart(=[^\n]+)"):gsub("([%s=])/", "%1" .. root .. "/"):sub(2)
    must(("mkdir -p %s/var/lib/%s %s/run/%s"):format(root, unit:match "StateDirectory=(%S+)", root, unit:match "RuntimeDirectory=(%S+)"))
    local file = assert(io.open(root .. "/etc/coxswain/coxswain.lua", "w"))
    file:write 'return { admin = { listen = "127.0.0.1:0" }, feed = { kind = "none" } }\n'
    file:close()
    local function start()
      local daemon = system.spawn(line)
      local port = system.wait("the daemon", function()
        assert(system.is_running(daemon), system.read(daemon.log))
        return system.read(daemon.log):match "msg=ready[^\n]*port=(%d+)"
      end)
      daemon.url = "http://127.0.0.1:" .. port
      return daemon
    end
    local function stop(daemon)
      system.signal(daemon, "TERM")
      system.wait("the daemon's end", function() return not system.is_running(daemon) end)
    end

    local daemon = start()
    local node = { id = "kept", host = "127.0.0.1", inference_port = 1, poc_port = 2, max_concurrent = 3, models = { m = { args = { "--a" } } } }
    assert.equal(200, (system.http("POST", daemon.url .. "/admin/v1/nodes", node)))
    must(("echo 'COXSWAIN_LOG__LEVEL=info # mine' >%s/etc/coxswain/environment"):format(root))
    dpkg("-i " .. deb) -- under the running daemon
    assert.same({ "daemon-reload", "try-restart coxswain.service" }, calls())
    assert.is_true(system.is_running(daemon))
    stop(daemon)
    assert.matches("# mine", system.read(root .. "/etc/coxswain/environment"), 1, true)
    assert.matches("COXSWAIN_LOG__LEVEL", system.read(root .. "/etc/coxswain/environment.dpkg-dist"), 1, true)

    daemon = start()
    assert.equal(200, (system.http("GET", daemon.url .. "/admin/v1/nodes/kept")))
    stop(daemon)

    must(("mkdir -p %s/etc/systemd/system/multi-user.target.wants && cd %s/etc/systemd/system && ln -s x multi-user.target.wants/coxswain.service"):format(
      root, root))
    before["./etc/systemd"], before["./etc/systemd/system"], before["./etc/systemd/system/multi-user.target.wants"] = true, true, true
    dpkg "-r coxswain"
    assert.same({ "stop coxswain.service", "daemon-reload" }, calls())
    assert.same({
      "./etc", "./etc/coxswain", "./etc/coxswain/coxswain.lua", "./etc/coxswain/environment",
      "./etc/coxswain/environment.dpkg-dist", "./run/coxswain",
      "./var/lib/coxswain", "./var/lib/coxswain/coxswain.db",
    }, new_files(before))

    said = dpkg "-P coxswain"
    assert.same({ "daemon-reload" }, calls())
    assert.matches("/etc/coxswain holds files of yours; they stay: coxswain.lua", said, 1, true)
    assert.same({ "./etc", "./etc/coxswain", "./etc/coxswain/coxswain.lua", "./run/coxswain" }, new_files(before))
  end)
end)
