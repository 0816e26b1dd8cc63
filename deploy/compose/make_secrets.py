"""Makes the secrets of a compose project on its first start, each in a volume that only its readers mount.

Runs in the image of the accounts service, before everything else. What is there already stays. The passwords are made
here, so no file of this repository and no setting has a default one.
"""

import secrets
import subprocess
from pathlib import Path

RUN = Path("/run/bookwheel")
SERVICES, REDIS, POSTGRES, SIGNING_KEYS = (RUN / name for name in ("secrets", "redis", "postgres", "signing-keys"))


def write(path: Path, content: str, mode: int) -> None:
    """At once or not at all: a start that is cut off leaves no half of a secret."""
    aside = path.with_name(f".{path.name}")
    aside.unlink(missing_ok=True)
    aside.touch(mode=0o600)
    aside.write_text(content)
    aside.chmod(mode)
    aside.replace(path)


def once(path: Path, content: str, *, mode: int = 0o400) -> str:
    if not path.exists():
        write(path, content, mode)
        print(f"made {path}")
    return path.read_text()


def main() -> None:
    for folder in (REDIS, POSTGRES):
        folder.chmod(0o755)  # the servers run as users of their own; only they mount these volumes
    # The servers' files are written last, from the services' passwords.
    redis = once(SERVICES / "redis-password", secrets.token_urlsafe(24))
    postgres = once(SERVICES / "postgres-password", secrets.token_urlsafe(24))
    once(SERVICES / "BOOKWHEEL_REDIS_URL", f"redis://:{redis}@redis:6379/0")
    once(SERVICES / "BOOKWHEEL_DATABASE_URL", f"postgresql+psycopg://bookwheel:{postgres}@postgres:5432/bookwheel")
    write(REDIS / "redis.conf", redis_conf(redis), 0o444)
    once(POSTGRES / "administrator-password", secrets.token_urlsafe(24), mode=0o444)
    # No superuser: services that face a network must not run COPY FROM PROGRAM.
    role = f"CREATE ROLE bookwheel LOGIN PASSWORD '{postgres}';\n"
    # Independent of the server's locale: without UTF-8 titles would be bytes.
    database = "CREATE DATABASE bookwheel OWNER bookwheel TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C.UTF-8';\n"
    once(POSTGRES / "bookwheel.sql", role + database, mode=0o444)
    if not any(SIGNING_KEYS.glob("*.pem")):
        subprocess.run(["bookwheel-accounts", "keygen", SIGNING_KEYS], check=True)


def redis_conf(password: str) -> str:
    """Every write is appended to a file: Redis holds streams, not only a cache."""
    settings = {
        "bind": "*",
        "protected-mode": "no",  # there is a password
        "requirepass": password,
        "dir": "/data",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": '""',
        "maxmemory-policy": "noeviction",
    }
    return "".join(f"{name} {value}\n" for name, value in settings.items())


if __name__ == "__main__":
    main()
