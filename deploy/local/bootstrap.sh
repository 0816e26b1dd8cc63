#!/usr/bin/env bash
# Brings a bare Debian or Ubuntu machine to the point where Python takes over: system programs, uv and the locked
# Python environment. Quiet and quick when nothing is missing. `make install` runs it; see the README beside it.
# Arguments PROGRAM=PACKAGE name further programs, such as wrk=wrk for `make bench`.
set -euo pipefail
cd "$(dirname "$0")/../.."

ROOT=$PWD
STATE=${BOOKWHEEL_STATE_DIR:-$ROOT/.bookwheel}
VENV=$ROOT/.venv
STAMP=$VENV/.bookwheel-installed
TOOLS=$STATE/tools
LOG=$STATE/logs/install.log
PATH=$PATH:/usr/sbin:/sbin # where Debian keeps nginx, and an ordinary user's PATH does not look

say() { printf '%s\n' "$*" >&2; } # standard output belongs to the verb, such as `make token`

fail() {
  printf 'make install: %s\n' "$*" >&2
  exit 1
}

# A step's output goes to the log; on failure its end is shown.
logged() {
  printf '\n$ %s\n' "$*" >>"$LOG"
  if ! "$@" >>"$LOG" 2>&1; then
    tail -n 25 "$LOG" >&2
    fail "'$1' failed; the whole output is in $LOG"
  fi
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

can_be_root() {
  [ "$(id -u)" = 0 ] || { command -v sudo >/dev/null && sudo -n true 2>/dev/null; }
}

# Debian starts a service as soon as its package is installed, unless policy-rc.d forbids it (exit status 101). Bookwheel
# runs its own Redis and nginx, so the packages' services stay off now and after the next boot.
apt_install() {
  local policy=/usr/sbin/policy-rc.d saved='' unit
  if [ -e "$policy" ]; then
    saved=$(mktemp -u "$policy.bookwheel.XXXXXX")
    as_root mv "$policy" "$saved"
  fi
  printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
  as_root chmod 755 "$policy"
  # shellcheck disable=SC2064 # the names are meant to be those of now
  trap "restore_policy '$policy' '$saved'" EXIT
  logged as_root apt-get update
  logged as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"
  trap - EXIT
  restore_policy "$policy" "$saved"
  if [ -d /run/systemd/system ]; then
    for unit in redis-server nginx; do
      case " $* " in *" $unit "*) logged as_root systemctl disable --now "$unit" ;; esac
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
    fail "missing: ${missing[*]}. Install them with your system's package manager, then run this again."
  fi
  if ! can_be_root; then
    fail "missing: ${missing[*]}. Run: sudo apt-get install ${missing[*]}"
  fi
  say "installing ${missing[*]} from the distribution"
  apt_install "${missing[@]}"
}

# Prints the first Python that is new enough; the lock is made for 3.11, so that is preferred.
find_python() {
  local name
  for name in "${BOOKWHEEL_PYTHON:-python3.11}" python3.12 python3.13 python3; do
    if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      "$name" -c 'import sys; print(sys.executable)'
      return
    fi
  done
  return 1
}

find_uv() {
  UV=''
  if uv --version >/dev/null 2>&1; then
    UV=uv
  elif [ ! -x "$TOOLS/bin/uv" ]; then
    say "installing uv into ${TOOLS#"$ROOT"/}"
    if ! "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null; then
      can_be_root && command -v apt-get >/dev/null || fail "missing: python3-venv. Run: sudo apt-get install python3-venv"
      apt_install python3-venv
    fi
    logged "$PYTHON" -m venv --clear "$TOOLS"
    logged "$TOOLS/bin/python" -m pip install --require-hashes -r deploy/local/bootstrap-requirements.lock
  fi
  UV=${UV:-$TOOLS/bin/uv}
}

our_projects() {
  find packages services demo-shop deploy -maxdepth 2 -name pyproject.toml -not -path '*/.*' | LC_ALL=C sort
}

# What the environment was made from. The folder's own path counts: editable installs hold it.
wanted() {
  {
    printf '%s\n' "$ROOT" "$(our_projects)"
    # shellcheck disable=SC2046 # our own paths hold no spaces
    cat deploy/local/bootstrap.sh requirements.lock $(our_projects)
  } | sha256sum | cut -d' ' -f1
}

install_python_environment() {
  local project editables=()
  PYTHON=$(find_python) || fail "Python 3.11 or newer is needed. Run: sudo apt-get install python3 python3-venv"
  find_uv
  if ! "$VENV/bin/python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    logged "$UV" venv --clear --python "$PYTHON" "$VENV"
  fi
  say "installing the locked Python packages into .venv"
  # Compiled once here rather than at every start, where Python may not write beside its packages.
  logged "$UV" pip sync --python "$VENV/bin/python" --compile-bytecode --require-hashes requirements.lock
  while read -r project; do
    editables+=(--editable "$(dirname "$project")")
  done < <(our_projects)
  logged "$UV" pip install --python "$VENV/bin/python" --no-deps --no-build-isolation "${editables[@]}"
  wanted >"$STAMP"
}

mkdir -p "$STATE/logs"
exec 9>"$STATE/install.lock"
flock 9 # two at once would write the same environment
need redis-server=redis-server nginx=nginx curl=curl "$@"
if [ "$(cat "$STAMP" 2>/dev/null)" != "$(wanted)" ]; then
  install_python_environment
fi
