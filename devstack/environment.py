"""The environment of each deployable."""

from collections.abc import Iterable
from pathlib import Path

from devstack.names import GATEWAY, GATEWAY_PORT, GATEWAY_STATUS
from devstack.settings import Settings
from devstack.state import State
from devstack.stores import Endpoints
from libs.deployables import SERVICES, Deployable

DEFAULTS = {
    "FEEDMILL_HOST": "127.0.0.1",
    "FEEDMILL_LOG_LEVEL": "INFO",
    # The sample world has 30 people: with this some authors are pushed and some are pulled.
    "FEEDMILL_PUSH_THRESHOLD": "10",
    # A sample world, a benchmark and the tests ask more in a minute than people do in a day.
    "FEEDMILL_RATE_LIMITS": "false",
    "FEEDMILL_TIMEOUT_FACTOR": "4",  # of one machine that everything shares
    "PYTHONUNBUFFERED": "1",
}
SECRETS = ("INTERNAL_SECRET", "CURSOR_SECRET")


def choose_ports(state: State, names: Iterable[str]) -> None:
    """Choose ports for processes that are about to start. The gateway gets the well-known one if it is free."""
    for name in names:
        state.free_port(name, GATEWAY_PORT if name == GATEWAY else None)
        if name == GATEWAY:
            state.free_port(GATEWAY_STATUS)


def common_environ(settings: Settings, state: State, endpoints: Endpoints) -> dict[str, str]:
    """Return the variables of every process: defaults, overridden by devstack's addresses, then by the user."""
    jwt_dir, objects_dir = state.directory / "jwt", state.directory / "data" / "objects"
    jwt_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    objects_dir.mkdir(parents=True, exist_ok=True)
    return {
        **DEFAULTS,
        **{f"FEEDMILL_{name}": state.secret(name.lower()) for name in SECRETS},
        **{f"FEEDMILL_{one.name.upper()}_URL": f"http://127.0.0.1:{state.port(one.name)}" for one in SERVICES},
        "FEEDMILL_PUBLIC_URL": public_url(state),
        "FEEDMILL_GATEWAY_PORT": str(state.port(GATEWAY, GATEWAY_PORT)),
        "FEEDMILL_GATEWAY_STATUS_PORT": str(state.port(GATEWAY_STATUS)),
        "FEEDMILL_GATEWAY_STATUS_URL": f"http://127.0.0.1:{state.port(GATEWAY_STATUS)}",
        "FEEDMILL_GATEWAY_METRICS_ADDRESS": f"127.0.0.1:{state.port('gateway-metrics')}",
        "FEEDMILL_GATEWAY_STATE_DIR": str(gateway_dir(state)),
        "FEEDMILL_GATEWAY_DOCS_DIR": str(gateway_dir(state) / "docs"),
        "FEEDMILL_STATE_DIR": str(state.directory),
        "FEEDMILL_OBJECT_STORE_DIR": str(objects_dir),
        "FEEDMILL_JWT_KEYS_DIR": str(jwt_dir),
        **endpoints.environ(),
        **{key: value for key, value in settings.values.items() if value},
    }


def deployable_environ(common: dict[str, str], state: State, deployable: Deployable) -> dict[str, str]:
    """Return the variables of one deployable. Its own port also names the instance."""
    port = state.port(deployable.name)
    own = {"FEEDMILL_PORT": str(port), "FEEDMILL_INSTANCE": f"{deployable.name}-{port}"}
    return {**common, **own}


def gateway_dir(state: State) -> Path:
    """Where nginx keeps its configuration, cache and documents."""
    return state.directory / "data" / GATEWAY


def public_url(state: State) -> str:
    """Return the address of the gateway."""
    return f"http://127.0.0.1:{state.port(GATEWAY, GATEWAY_PORT)}"
