"""Creates the secrets of a compose project at its first start, each in a volume that only its readers mount.

Runs in the image of the accounts service, before everything else. Existing secrets do not change. All passwords are
random: neither a file of this repository nor a setting has a default password.
"""

import secrets
import subprocess
from pathlib import Path

RUN = Path("/run/bookwheel")
SERVICES, REDIS, POSTGRES, SIGNING_KEYS = (RUN / name for name in ("secrets", "redis", "postgres", "signing-keys"))


def write(path: Path, content: str, mode: int) -> None:
    """Writes the file atomically: an interrupted start leaves no partial secret."""
    temporary = path.with_name(f".{path.name}")
    temporary.unlink(missing_ok=True)
    temporary.touch(mode=0o600)
    temporary.write_text(content)
    temporary.chmod(mode)
    temporary.replace(path)


def create(path: Path, content: str, *, mode: int = 0o400) -> str:
    """Writes the file if it does not exist. Returns its content."""
    if not path.exists():
        write(path, content, mode)
        print(f"created {path}")
    return path.read_text()


def main() -> None:
    for folder in (REDIS, POSTGRES):
        folder.chmod(0o755)  # the servers have their own users; only they mount these volumes
    # The servers' files contain the services' passwords, so they are written after them.
    redis = create(SERVICES / "redis-password", secrets.token_urlsafe(24))
    postgres = create(SERVICES / "postgres-password", secrets.token_urlsafe(24))
    create(SERVICES / "BOOKWHEEL_REDIS_URL", f"redis://:{redis}@redis:6379/0")
    create(SERVICES / "BOOKWHEEL_DATABASE_URL", f"postgresql+psycopg://bookwheel:{postgres}@postgres:5432/bookwheel")
    write(REDIS / "redis.conf", redis_conf(redis), 0o444)
    create(POSTGRES / "administrator-password", secrets.token_urlsafe(24), mode=0o444)
    # Not a superuser: services that face a network must not run COPY FROM PROGRAM.
    role = f"CREATE ROLE bookwheel LOGIN PASSWORD '{postgres}';\n"
    # Independent of the server's locale: without UTF-8, titles would be bytes.
    database = "CREATE DATABASE bookwheel OWNER bookwheel TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C.UTF-8';\n"
    create(POSTGRES / "bookwheel.sql", role + database, mode=0o444)
    if not any(SIGNING_KEYS.glob("*.pem")):
        subprocess.run(["bookwheel-accounts", "keygen", SIGNING_KEYS], check=True)


def redis_conf(password: str) -> str:
    """Returns a configuration that appends every write to a file: Redis stores streams, not only a cache."""
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
