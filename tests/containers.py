"""The stores of a test run in containers, by testcontainers and our own docker-compose.yml."""

import os
from pathlib import Path
from typing import Any

import yaml
from testcontainers.compose import DockerCompose

from devstack.providers import ComposeStores
from devstack.stores import ALL


class ContainerStores(ComposeStores):
    """Started and removed by testcontainers, which has no kill and no pause: those are inherited."""

    def stop(self, *, discard: bool = False) -> None:
        self._containers().stop(down=discard)

    def _up(self) -> None:
        self._containers().start()

    def _containers(self) -> DockerCompose:
        """Compose reads the file instead of `.env`; a variable of this process would win over it."""
        variables = self._variables()
        for name in variables:
            os.environ.pop(name, None)
        file = self._state.directory / "compose.env"
        file.write_text("".join(f"{name}={value}\n" for name, value in variables.items()))
        return DockerCompose(self._settings.root, services=list(ALL), env_file=str(file))


class _UniqueKeys(yaml.SafeLoader):  # type: ignore[misc]  # yaml has no types
    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        keys = [key.value for key, _ in node.value if key.value != "<<"]
        if len(keys) != len(set(keys)):
            raise yaml.constructor.ConstructorError(None, None, f"a key stands twice: {keys}", node.start_mark)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> Any:
    """Read a file as Compose does: a key that stands twice in a mapping is an error."""
    return yaml.load(path.read_text(), _UniqueKeys)  # noqa: S506 - it is a safe loader
