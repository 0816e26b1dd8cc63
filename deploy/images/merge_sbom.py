"""Adds the distribution's packages and Python to the SBOM of an image, during its build.

`merge_sbom.py SBOM DISTRIBUTION`: two CycloneDX files. The first is updated.
"""

import json
import platform
import sys
from pathlib import Path

sbom_path, distribution_path = (Path(name) for name in sys.argv[1:])
sbom = json.loads(sbom_path.read_text())
version = platform.python_version()
purl = f"pkg:generic/python@{version}"
sbom["components"] += json.loads(distribution_path.read_text())["components"]
# The official image's Python is not a package of the distribution.
sbom["components"].append({"type": "platform", "bom-ref": purl, "name": "python", "version": version, "purl": purl})
sbom_path.write_text(json.dumps(sbom, indent=2, sort_keys=True) + "\n")
