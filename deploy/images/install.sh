#!/usr/bin/env bash
# Runs in the image's build: installs the service and its Bookwheel packages, links its command as `service`, and lists the
# environment's packages.
set -euo pipefail
cd /build/source

projects=(service)
if grep -q '"bookwheel-contracts"' service/pyproject.toml; then # all but the demo shop
  projects+=(packages/contracts packages/runtime packages/stores)
fi
if grep -q '"bookwheel-extraction"' service/pyproject.toml; then
  projects+=(packages/extraction)
fi
for project in "${projects[@]}"; do
  uv build --quiet --wheel --no-build-isolation --out-dir /build/wheels "$project"
done
uv pip install --no-cache --python /opt/bookwheel/bin/python --compile-bytecode --no-deps --no-index /build/wheels/*.whl

command=$(sed -n '/^\[project.scripts\]/{n;s/ *=.*//p}' service/pyproject.toml)
ln -s "$command" /opt/bookwheel/bin/service
cyclonedx-py environment --output-reproducible --output-format JSON --output-file /opt/bookwheel/sbom.cdx.json \
  /opt/bookwheel/bin/python
