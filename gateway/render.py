"""Renders the gateway's templates: `python gateway/render.py TARGET [--port-base N --run-dir DIR] [NAME=value …]`.

Only `${BOOKWHEEL_…}` is replaced, so nginx's own `$variables` stay, and `envsubst` with the names of `defaults.env`
does the same in a container. A value comes from the command line, else the environment, else `--port-base` and
`--run-dir` (a suite on this machine), else `defaults.env`. Then: `nginx -e stderr -c TARGET/nginx.conf`.
"""

import argparse
import os
import re
from collections.abc import Mapping
from pathlib import Path

SOURCE = Path(__file__).resolve().parent
_PLACEHOLDER = re.compile(r"\$\{(BOOKWHEEL_[A-Z_]+)\}")
_VALUE = re.compile(r"[^\x00-\x1f\"'\\${}#;]*|user [a-z_][a-z0-9_-]*;")  # nothing that ends an argument of nginx


class RenderError(Exception):
    """A value is missing, unknown, or would break out of its place in the configuration."""


def defaults() -> dict[str, str]:
    """The variables of `defaults.env`."""
    lines = (SOURCE / "defaults.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def one_machine(*, port_base: int, run_dir: Path) -> dict[str, str]:
    """The values of a suite on this machine, as this user: every address on loopback, counted from `port_base`."""
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
        # nginx would give its workers to `nobody`, who can't enter the run folder.
        "BOOKWHEEL_GATEWAY_USER_DIRECTIVE": "user root;" if os.geteuid() == 0 else "",
    }


def render(target: Path, values: Mapping[str, str]) -> Path:
    """Writes `target/nginx.conf` and `target/conf.d/*.conf`; `values` override the defaults. Raises RenderError."""
    known = defaults()
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise RenderError(f"unknown variables: {', '.join(unknown)}")
    merged = {**known, **values}
    for name, value in merged.items():
        if not _VALUE.fullmatch(value):
            raise RenderError(f"{name} holds a character that nginx.conf can't take: {value!r}")

    def replaced(match: re.Match[str]) -> str:
        if match[1] not in merged:
            raise RenderError(f"no value for {match[1]}")
        return merged[match[1]]

    (target / "conf.d").mkdir(parents=True, exist_ok=True)
    for source in [SOURCE / "nginx.conf.template", *sorted((SOURCE / "conf.d").glob("*.conf"))]:
        relative = source.relative_to(SOURCE).with_name(source.name.removesuffix(".template"))
        (target / relative).write_text(_PLACEHOLDER.sub(replaced, source.read_text()))
    return target / "nginx.conf"


def main() -> None:
    parser = argparse.ArgumentParser(description="Renders the gateway's nginx configuration.")
    parser.add_argument("target", type=Path, help="folder to write")
    parser.add_argument("--port-base", type=int, help="the gateway's port, from which the others are counted")
    parser.add_argument("--run-dir", type=Path, help="an existing folder, closed to others, for what nginx writes")
    parser.add_argument("values", nargs="*", metavar="NAME=value")
    arguments = parser.parse_intermixed_args()
    if (arguments.port_base is None) != (arguments.run_dir is None):
        parser.error("--port-base and --run-dir go together")
    local = arguments.run_dir and one_machine(port_base=arguments.port_base, run_dir=arguments.run_dir)
    from_environment = {name: os.environ[name] for name in defaults() if name in os.environ}
    given = dict(value.partition("=")[::2] for value in arguments.values)
    try:
        print(render(arguments.target, {**(local or {}), **from_environment, **given}))
    except RenderError as error:
        raise SystemExit(f"render: {error}") from error


if __name__ == "__main__":
    main()
