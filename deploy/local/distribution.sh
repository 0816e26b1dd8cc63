# Installs the distribution's packages. bootstrap.sh and engines.sh source it. They set STATE, the file LOG for the output of
# commands, and COMMAND_NAME, which starts error messages.
# shellcheck shell=bash

say() { printf '%s\n' "$*" >&2; } # standard output is only for the output of the make target, such as `make token`

fail() {
  printf '%s: %s\n' "$COMMAND_NAME" "$*" >&2
  exit 1
}

# Runs a command with its output in the log. If it fails, prints the end of the log and exits.
run_logged() {
  printf '\n$ %s\n' "$*" >>"$LOG"
  if ! "$@" >>"$LOG" 2>&1; then
    tail -n 25 "$LOG" >&2
    fail "'$1' failed: the complete output is in $LOG"
  fi
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

can_be_root() {
  [ "$(id -u)" = 0 ] || { command -v sudo >/dev/null && sudo -n true 2>/dev/null; }
}

# Debian starts a service as soon as its package is installed, unless policy-rc.d forbids it (exit status 101). Bookwheel
# runs its own Redis and nginx, so the packages' services stay off, also after the next boot.
apt_install() {
  local policy=/usr/sbin/policy-rc.d saved='' unit lock
  exec {lock}>"$STATE/packages.lock"
  flock "$lock" # `make install` and engines.sh may run at the same time
  if [ -e "$policy" ]; then
    saved=$(mktemp -u "$policy.bookwheel.XXXXXX")
    as_root mv "$policy" "$saved"
  fi
  printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
  as_root chmod 755 "$policy"
  # shellcheck disable=SC2064 # the variables are expanded now, not when the trap runs
  trap "restore_policy '$policy' '$saved'" EXIT
  run_logged as_root apt-get update
  run_logged as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"
  trap - EXIT
  restore_policy "$policy" "$saved"
  exec {lock}>&-
  if [ -d /run/systemd/system ]; then
    for unit in redis-server nginx postgresql; do
      case " $* " in *" $unit "*) run_logged as_root systemctl disable --now "$unit" ;; esac
    done
  fi
}

restore_policy() {
  if [ -n "$2" ]; then as_root mv "$2" "$1"; else as_root rm -f "$1"; fi
}

# need PROGRAM=PACKAGE…: installs the packages of the programs that are missing.
need() {
  local pair missing=()
  for pair in "$@"; do
    command -v "${pair%%=*}" >/dev/null || missing+=("${pair#*=}")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  if ! command -v apt-get >/dev/null; then
    fail "missing: ${missing[*]}. Install them with your system's package manager, then repeat the command."
  fi
  if ! can_be_root; then
    fail "missing: ${missing[*]}. Run: sudo apt-get install ${missing[*]}"
  fi
  say "installing ${missing[*]} from the distribution"
  apt_install "${missing[@]}"
}
