#!/usr/bin/env bash
# Installs what a bare Debian or Ubuntu machine needs before Bookwheel's Python can run: system programs, uv and the locked
# Python environment. Silent and fast when nothing is missing. `make install` runs it; see README.md.
# Arguments PROGRAM=PACKAGE name further programs, such as wrk=wrk for `make bench`.
set -euo pipefail
cd "$(dirname "$0")/../.."

ROOT=$PWD
STATE=${BOOKWHEEL_STATE_DIR:-$ROOT/.bookwheel}
VENV=$ROOT/.venv
STAMP=$VENV/.bookwheel-installed
TOOLS=$STATE/tools
LOG=$STATE/logs/install.log
COMMAND_NAME='make install'
PATH=$PATH:/usr/sbin:/sbin # Debian installs nginx there, outside the PATH of ordinary users

. deploy/local/distribution.sh

# Prints the path of the first suitable Python. Python 3.11 comes first, because the lock is generated for it. Among Pythons of one
# version the distribution's comes first: it has profile-guided optimization, and other builds take a quarter longer.
find_python() {
  local name path
  for name in "${BOOKWHEEL_PYTHON:-python3.11}" python3.12 python3.13 python3; do
    while read -r path; do
      if "$path" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        "$path" -c 'import sys; print(sys.executable)'
        return
      fi
    done < <(type -aP "$name" | grep '^/usr/bin/'; type -aP "$name")
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
    run_logged "$PYTHON" -m venv --clear "$TOOLS"
    run_logged "$TOOLS/bin/python" -m pip install --require-hashes -r deploy/local/bootstrap-requirements.lock
  fi
  UV=${UV:-$TOOLS/bin/uv}
}

list_projects() {
  find packages services demo-shop deploy -maxdepth 2 -name pyproject.toml -not -path '*/.*' | LC_ALL=C sort
}

# Prints a digest of the inputs of the environment. They include the folder's path, because editable installs contain it.
environment_digest() {
  {
    printf '%s\n' "$ROOT" "$(list_projects)"
    # shellcheck disable=SC2046 # the paths of the projects contain no spaces
    cat deploy/local/bootstrap.sh requirements.lock $(list_projects)
  } | sha256sum | cut -d' ' -f1
}

install_python_environment() {
  local project editables=()
  PYTHON=$(find_python) || fail "Python 3.11 or newer is needed. Run: sudo apt-get install python3 python3-venv"
  find_uv
  if ! "$VENV/bin/python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    run_logged "$UV" venv --clear --python "$PYTHON" "$VENV"
  fi
  say "installing the locked Python packages into .venv"
  # Compile here: at run time Python may not have permission to write next to its packages.
  run_logged "$UV" pip sync --python "$VENV/bin/python" --compile-bytecode --require-hashes requirements.lock
  while read -r project; do
    editables+=(--editable "$(dirname "$project")")
  done < <(list_projects)
  run_logged "$UV" pip install --python "$VENV/bin/python" --no-deps --no-build-isolation "${editables[@]}"
  run_logged "$VENV/bin/python" -m compileall -q packages services demo-shop deploy
  environment_digest >"$STAMP"
}

mkdir -p "$STATE/logs"
exec 9>"$STATE/install.lock"
flock 9 # two installs at the same time would write the same environment
need redis-server=redis-server nginx=nginx curl=curl "$@"
if [ "$(cat "$STAMP" 2>/dev/null)" != "$(environment_digest)" ]; then
  install_python_environment
fi
