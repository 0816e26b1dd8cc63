#!/usr/bin/env bash
# Writes requirements.lock of the whole suite, and then the lock of each service with the same versions. Locked versions stay;
# `UPGRADE=1 make lock` upgrades them.
set -euo pipefail
cd "$(dirname "$0")/../.."

UV=$(command -v uv || echo "${BOOKWHEEL_STATE_DIR:-.bookwheel}/tools/bin/uv")
OPTIONS=(
  --quiet --universal --python-version 3.11 --generate-hashes
  --no-emit-index-url --no-annotate --no-header # a lock names no registry, so that any mirror serves it
)
SERVICES=()
while read -r project; do
  OPTIONS+=(--no-emit-package "$(sed -n '0,/^name = /s/^name = "\(.*\)"/\1/p' "$project")")
  case $project in services/* | demo-shop/*) SERVICES+=("$(dirname "$project")") ;; esac
done < <(find packages services demo-shop deploy -maxdepth 2 -name pyproject.toml -not -path '*/.*' | LC_ALL=C sort)

UPGRADES=()
[ -z "${UPGRADE:-}" ] || UPGRADES+=(--upgrade)

"$UV" pip compile pyproject.toml --group dev "${OPTIONS[@]}" "${UPGRADES[@]}" --output-file requirements.lock
for service in "${SERVICES[@]}"; do
  "$UV" pip compile "$service/pyproject.toml" "${OPTIONS[@]}" --constraints requirements.lock \
    --output-file "$service/requirements.lock"
done
"$UV" pip compile deploy/images/build-requirements.in "${OPTIONS[@]}" "${UPGRADES[@]}" --constraints requirements.lock \
  --output-file deploy/images/build-requirements.lock
