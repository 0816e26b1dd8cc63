#!/usr/bin/env bash
# Installs the service and its Bookwheel packages during the build of its image. Links its command as `service` and writes the
# SBOM of the environment.
set -euo pipefail
cd /build/source

projects=(service)
if grep -q '"bookwheel-contracts"' service/pyproject.toml; then # every service except the demo shop
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
