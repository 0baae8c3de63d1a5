# What tools/run, tools/test and .ci/run share. To be sourced by bash.

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
fail() {
  say "$@"
  exit 1
}

# The packages of tools/packages that these purposes ("run test") need and that are not installed.
missing_packages() {
  local needed installed package
  needed=$(awk -v purposes=" $* " '/^[a-z]/ && index(purposes, " " $1 " ") { print $2 }' "$top/tools/packages")
  installed=$(dpkg-query --show --showformat='${db:Status-Abbrev} ${Package}\n' | sed -n 's/^.i  *//p')
  for package in $needed; do
    case $'\n'$installed$'\n' in *$'\n'$package$'\n'*) ;; *) printf '%s\n' "$package" ;; esac
  done
}

apt() { DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 "$@" >&2; }

# Lists of packages may be absent or name versions that are gone: then they are fetched once.
install_packages() {
  apt install --yes --no-install-recommends "$@" && return
  say "that did not work with the package lists at hand; fetching new ones"
  apt update && apt install --yes --no-install-recommends "$@"
}

# need_packages PURPOSE…: installs what is missing, or ends with the reason and what to do.
need_packages() {
  local list missing
  command -v dpkg-query >/dev/null && command -v apt-get >/dev/null ||
    fail "this is not Debian or a relative of it, so nothing can be installed from here. Install what tools/packages names by its Debian" \
      "name, then: cmake -S . -B build -G Ninja && cmake --build build"
  list=$(missing_packages "$@")
  [ -n "$list" ] || return 0
  mapfile -t missing <<<"$list"
  [ "$(id -u)" -eq 0 ] || fail "these packages are missing and only root can install them: sudo apt-get install ${missing[*]}"
  say "installing ${#missing[@]} packages: ${missing[*]}"
  install_packages "${missing[@]}" ||
    fail "installing packages failed; the lines above say why (no network? another release than Debian 12?). Needed: ${missing[*]}"
}

# configure FOLDER SANITIZER [-DNAME=VALUE…]
configure() {
  local folder=$1 sanitizer=$2 options=()
  shift 2
  if [ ! -f "$folder/CMakeCache.txt" ]; then
    options+=(-G Ninja)
  elif ! grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$top" "$folder/CMakeCache.txt"; then
    options+=(--fresh) # the tree was moved or copied with its build
  fi
  mkdir -p "$folder"
  cmake -S "$top" -B "$folder" "${options[@]}" -DCOX_SANITIZE="$sanitizer" "$@" >"$folder/configure.log" 2>&1 && return
  cat "$folder/configure.log" >&2
  say "configuring $folder failed; the lines above say why"
  return 1
}

# build FOLDER [TARGET…]
build() {
  local folder=$1
  shift
  cmake --build "$folder" ${1:+--target "$@"} >&2 && return
  say "building in $folder failed; the lines above say why"
  return 1
}

# The words to put before a program with a sanitizer: gcc 12's runtimes find no room for their shadow memory when the kernel
# moves mappings by more than 28 bits, and die at the start, now and then or always.
steady_addresses() {
  local bits
  [ -r /proc/self/maps ] || fail "the sanitizers need /proc, and it is not mounted here: mount -t proc proc /proc"
  bits=$(cat /proc/sys/vm/mmap_rnd_bits 2>/dev/null || echo 32)
  [ "$bits" -gt 28 ] || return 0
  if setarch "$(uname -m)" -R true 2>/dev/null; then
    printf 'setarch %s -R\n' "$(uname -m)"
  else
    say "this kernel moves mappings by $bits bits and forbids to switch that off: programs with a sanitizer may die at their start." \
      "Then allow personality(2) to this container, or set vm.mmap_rnd_bits to 28 on the host"
  fi
}
