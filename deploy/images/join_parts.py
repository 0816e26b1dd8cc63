"""Within the image's build: adds the distribution's packages and Python itself to the list of the parts.

`join_parts.py LIST DISTRIBUTION`, two CycloneDX files.
"""

import json
import platform
import sys
from pathlib import Path

list_of_parts, distribution = (Path(name) for name in sys.argv[1:])
parts = json.loads(list_of_parts.read_text())
version = platform.python_version()
python = f"pkg:generic/python@{version}"
parts["components"] += json.loads(distribution.read_text())["components"]
# The official image's Python is not a package of the distribution.
parts["components"].append(
    {"type": "platform", "bom-ref": python, "name": "python", "version": version, "purl": python}
)
list_of_parts.write_text(json.dumps(parts, indent=2, sort_keys=True) + "\n")
