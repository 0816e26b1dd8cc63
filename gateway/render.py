"""Renders the gateway's templates: `python gateway/render.py TARGET [--port-base N --run-dir DIR] [NAME=value …]`.

It replaces only `${BOOKWHEEL_…}` and keeps nginx's own `$variables`, like `envsubst` with the names of `defaults.env`
in a container. The order of precedence is: command line, environment, `--port-base` and `--run-dir` (a suite on one
machine), `defaults.env`. Start nginx with `nginx -e stderr -c TARGET/nginx.conf`.
"""

import argparse
import os
import re
from collections.abc import Mapping
from pathlib import Path

SOURCE = Path(__file__).resolve().parent
_PLACEHOLDER = re.compile(r"\$\{(BOOKWHEEL_[A-Z_]+)\}")
_VALUE = re.compile(r"[^\x00-\x1f\"'\\${}#;]*|user [a-z_][a-z0-9_-]*;")  # no character that ends an nginx argument


class RenderError(Exception):
    """A value is missing, unknown or contains a forbidden character."""


def load_defaults() -> dict[str, str]:
    """Returns the variables of `defaults.env`."""
    lines = (SOURCE / "defaults.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def local_values(*, port_base: int, run_dir: Path) -> dict[str, str]:
    """Returns the values of a suite on one machine. All servers listen on loopback ports from `port_base`."""
    offsets = {
        "GATEWAY_LISTEN": 0,
        "CATALOG_ADDRESS": 1,
        "ML_ADDRESS": 2,
        "ACCOUNTS_ADDRESS": 3,
        "ROUTES_LISTEN": 6,
        "GATEWAY_METRICS_LISTEN": 14,
    }
    return {
        **{f"BOOKWHEEL_{name}": f"127.0.0.1:{port_base + offset}" for name, offset in offsets.items()},
        "BOOKWHEEL_GATEWAY_RUN_DIR": str(run_dir.resolve()),
        "BOOKWHEEL_GATEWAY_HTML_DIR": str(SOURCE / "html"),
        # By default nginx runs its workers as `nobody`, who can't enter the run folder.
        "BOOKWHEEL_GATEWAY_USER_DIRECTIVE": "user root;" if os.geteuid() == 0 else "",
    }


def render(target: Path, values: Mapping[str, str]) -> Path:
    """Writes `target/nginx.conf` and `target/conf.d/*.conf`; `values` override the defaults. Raises RenderError."""
    default_values = load_defaults()
    unknown = sorted(set(values) - set(default_values))
    if unknown:
        raise RenderError(f"unknown variables: {', '.join(unknown)}")
    merged = {**default_values, **values}
    for name, value in merged.items():
        if not _VALUE.fullmatch(value):
            raise RenderError(f"{name} is invalid: {value!r} contains a character that nginx.conf does not allow")

    def replacement(match: re.Match[str]) -> str:
        if match[1] not in merged:
            raise RenderError(f"{match[1]} has no value")
        return merged[match[1]]

    (target / "conf.d").mkdir(parents=True, exist_ok=True)
    for source in [SOURCE / "nginx.conf.template", *sorted((SOURCE / "conf.d").glob("*.conf"))]:
        relative = source.relative_to(SOURCE).with_name(source.name.removesuffix(".template"))
        (target / relative).write_text(_PLACEHOLDER.sub(replacement, source.read_text()))
    return target / "nginx.conf"


def main() -> None:
    parser = argparse.ArgumentParser(description="Renders the gateway's nginx configuration.")
    parser.add_argument("target", type=Path, help="folder to write")
    parser.add_argument("--port-base", type=int, help="the gateway's port, the first of the suite's ports")
    parser.add_argument("--run-dir", type=Path, help="an existing private folder for files that nginx writes")
    parser.add_argument("values", nargs="*", metavar="NAME=value")
    arguments = parser.parse_intermixed_args()
    if (arguments.port_base is None) != (arguments.run_dir is None):
        parser.error("--port-base and --run-dir require each other")
    port_values = local_values(port_base=arguments.port_base, run_dir=arguments.run_dir) if arguments.run_dir else {}
    environment_values = {name: os.environ[name] for name in load_defaults() if name in os.environ}
    argument_values = dict(value.partition("=")[::2] for value in arguments.values)
    try:
        print(render(arguments.target, {**port_values, **environment_values, **argument_values}))
    except RenderError as error:
        raise SystemExit(f"render: {error}") from error


if __name__ == "__main__":
    main()
