"""The addresses of the stores."""

from collections.abc import Mapping
from dataclasses import dataclass

VARIABLES = {
    "kafka": "FEEDMILL_KAFKA_BOOTSTRAP",
    "cassandra": "FEEDMILL_CASSANDRA_CONTACT_POINTS",
    "postgres": "FEEDMILL_POSTGRES_DSN",
    "redis": "FEEDMILL_REDIS_URL",
}


@dataclass(frozen=True)
class Endpoints:
    """The address of each store, or None for a store that was not requested."""

    kafka: str | None = None
    cassandra: str | None = None
    postgres: str | None = None
    redis: str | None = None

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "Endpoints":
        return cls(**{name: environ.get(variable) or None for name, variable in VARIABLES.items()})

    def environ(self) -> dict[str, str]:
        """Return the variables that every deployable reads."""
        addresses = vars(self)
        return {variable: addresses[name] for name, variable in VARIABLES.items() if addresses[name]}

    def missing(self) -> list[str]:
        return [variable for variable in VARIABLES.values() if variable not in self.environ()]
