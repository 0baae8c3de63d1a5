-- The worked examples of scripts/README.md as a folder of scripts: the shipped ones, and what the text says to add. As a program:
-- lua5.4 spec/support/guide.lua FOLDER (which must not be there yet).

local M = {}

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "a"
  file:close()
  return text
end

local function write(path, text)
  local file = assert(io.open(path, "wb"))
  assert(file:write(text))
  file:close()
end

--- Every block of the guide: { kind = "file"|"into", path, before?, text }.
function M.blocks(guide)
  local blocks = {}
  for comment, text in guide:gmatch "<!%-%- (%l+: [^\n]-) %-%->\n```lua\n(.-)\n```\n" do
    local kind, rest = comment:match "^(%l+): (.*)$"
    local path, before = rest:match "^([^,]+), before: (.*)$"
    blocks[#blocks + 1] = { kind = kind, path = path or rest, before = before, text = text .. "\n" }
  end
  return blocks
end

-- In front of the one line that contains `before`.
local function insert(text, before, block)
  local at = assert(text:find(before, 1, true), "there is no line with " .. before)
  assert(not text:find(before, at + 1, true), "there are two lines with " .. before)
  local line_start = #text:sub(1, at - 1):match "^(.-)[^\n]*$" + 1
  return text:sub(1, line_start - 1) .. block .. text:sub(line_start)
end

--- Makes the folder.
function M.write(folder)
  assert(os.execute(("cp -r scripts '%s'"):format(folder)))
  local blocks = M.blocks(read "scripts/README.md")
  for _, block in ipairs(blocks) do
    local path = folder .. "/" .. block.path
    if block.kind == "file" then write(path, block.text)
    else write(path, insert(read(path), block.before, block.text)) end
  end
  return blocks
end

if arg and arg[0] and arg[0]:match "guide%.lua$" then M.write(assert(arg[1], "which folder?")) end

return M
