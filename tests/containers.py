"""The stores of a test run in containers, by testcontainers and our own docker-compose.yml."""

import os

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
