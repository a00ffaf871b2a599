# Shared by the scripts in this folder: source it, don't run it.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
deps=$root/.deps

say() { printf '%s\n' "$*" >&2; }
die() {
  say "${0##*/}: $*"
  exit 1
}

# ccache and precompiled headers go together only with these.
export CCACHE_SLOPPINESS=pch_defines,time_macros

# Prints the Consul binary to use: $CONSUL_BIN, else one on PATH, else the one that scripts/setup
# fetched. Fails when there is none.
find_consul() {
  local candidate
  for candidate in "${CONSUL_BIN:-}" "$(command -v consul || true)" "$deps/bin/consul"; do
    if [[ -n $candidate && -x $candidate ]]; then
      printf '%s\n' "$candidate"
      return 0
    fi
  done
  return 1
}

# configure_build DIR [meson options]: sets up a build folder once; ninja reconfigures it later.
configure_build() {
  local dir=$1
  shift
  [[ -f $root/$dir/build.ninja ]] && return 0
  rm -rf "${root:?}/$dir"
  (cd "$root" && meson setup "$dir" "$@" >"/tmp/lictor-meson-$$.log" 2>&1) || {
    cat "/tmp/lictor-meson-$$.log" >&2
    rm -f "/tmp/lictor-meson-$$.log"
    rm -rf "${root:?}/$dir"
    say "cannot configure $dir"
    return 1
  }
  rm -f "/tmp/lictor-meson-$$.log"
}

build_release() { configure_build build --buildtype=release && ninja -C "$root/build" "$@"; }
# What sanitizers need: whole stacks with lines, and not to be compiled for longer than they run.
sanitized_options=(--buildtype=debugoptimized -Doptimization=1 -Dcpp_args=-g1 -Db_lundef=false)
build_asan() {
  configure_build build-asan "${sanitized_options[@]}" -Db_sanitize=address,undefined && ninja -C "$root/build-asan" "$@"
}
build_tsan() {
  configure_build build-tsan "${sanitized_options[@]}" -Db_sanitize=thread && ninja -C "$root/build-tsan" "$@"
}
build_fuzz() {
  # GCC alone takes the precompiled header, and its warnings are the ones that are kept at none.
  CC=clang-19 CXX=clang++-19 configure_build build-fuzz "${sanitized_options[@]}" \
    -Db_sanitize=address,undefined -Db_pch=false -Dwerror=false -Dfuzz=true &&
    ninja -C "$root/build-fuzz" "$@"
}
