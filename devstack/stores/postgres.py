"""PostgreSQL, with one role `feedmill` that may create databases."""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
from pathlib import Path

from devstack.errors import DevstackError
from devstack.stores.base import Home, StoreName

ROLE = "feedmill"
PASSWORD_FILE = "feedmill-password"  # noqa: S105 - the name of a file


class Postgres:
    """Ready when it accepts a session."""

    name: StoreName = "postgres"
    port_names = ("postgres",)
    stop_signal = signal.SIGINT  # a fast shutdown: SIGTERM would wait for clients to leave

    def prepare(self, home: Home) -> None:
        if not (home.data_dir / "PG_VERSION").exists():
            self._create(home)
        home.render("postgresql.conf", port=home.ports["postgres"], durable="on" if home.durable else "off")

    def command(self, home: Home) -> list[str]:
        config = home.config_dir / "postgresql.conf"
        return [*_as_unprivileged(), _binary("postgres"), "-D", str(home.data_dir), "-c", f"config_file={config}"]

    def is_ready(self, home: Home) -> bool:
        check = [_binary("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(home.ports["postgres"]), "-d", "postgres"]
        return subprocess.run(check, check=False).returncode == 0

    def endpoint(self, home: Home) -> str:
        password = (home.data_dir / PASSWORD_FILE).read_text()
        return f"postgresql://{ROLE}:{password}@127.0.0.1:{home.ports['postgres']}/postgres"

    def _create(self, home: Home) -> None:
        if os.getuid() == 0:
            shutil.chown(home.data_dir, _unprivileged_user())
        layout = ["-D", str(home.data_dir), "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions"]
        access = ["-U", "postgres", "--auth=scram-sha-256", "--pwfile=/dev/stdin"]
        _run([_binary("initdb"), *layout, *access], secrets.token_urlsafe(18))
        password = secrets.token_urlsafe(18)
        create_role = f"CREATE ROLE {ROLE} LOGIN CREATEDB PASSWORD '{password}'\n"
        _run([_binary("postgres"), "--single", "-D", str(home.data_dir), "postgres"], create_role)
        (home.data_dir / PASSWORD_FILE).write_text(password)
        (home.data_dir / PASSWORD_FILE).chmod(0o600)


def _binary(name: str) -> str:
    """Debian keeps the server's programs out of PATH, one folder a version."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4]))
    return str(found[-1]) if found else name


def _unprivileged_user() -> str:
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _as_unprivileged() -> list[str]:
    """PostgreSQL refuses to run as root; the one capability lets it reach a folder under a private one."""
    if os.getuid() != 0:
        return []
    user = pwd.getpwnam(_unprivileged_user())
    identity = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    return ["setpriv", *identity, "--inh-caps=+dac_override", "--ambient-caps=+dac_override"]


def _run(command: list[str], stdin: str) -> None:
    done = subprocess.run(
        [*_as_unprivileged(), *command], check=False, input=stdin, capture_output=True, text=True, cwd="/"
    )
    if done.returncode:
        raise DevstackError(f"postgres could not lay out its data folder: {done.stdout}{done.stderr}")
