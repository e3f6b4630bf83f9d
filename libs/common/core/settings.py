"""Settings that all deployables share, read from environment variables `FEEDMILL_…`."""

import os
import re
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

RENAMED = {"FEEDMILL_PATIENCE": "FEEDMILL_TIMEOUT_FACTOR", "FEEDMILL_LINGER_S": "FEEDMILL_SHUTDOWN_DELAY_S"}
"""Variables of earlier releases: an operator must not lose their effect without a word."""
_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:\d{1,5})?|https?://\[[0-9a-f:.]+\](:\d{1,5})?")


def faults(error: ValidationError) -> list[str]:
    """Return a line for each setting that is missing or wrong, without its value."""
    return [
        f"FEEDMILL_{str(one['loc'][0]).upper()}: {one['msg']}" if one["loc"] else one["msg"] for one in error.errors()
    ]


def _origins(text: str) -> str:
    origins = [origin.strip() for origin in text.split(",") if origin.strip()]
    if wrong := [origin for origin in origins if not _ORIGIN.fullmatch(origin)]:
        raise ValueError(f"expected origins such as https://app.example.org, separated by commas: {wrong[0]}")
    return ",".join(origins)


class Settings(BaseSettings):
    """Common settings. A deployable adds its own in a subclass."""

    model_config = SettingsConfigDict(env_prefix="FEEDMILL_", extra="ignore", frozen=True)

    host: str = "127.0.0.1"
    port: int = Field(default=0, ge=0, le=65535)
    log_level: str = "INFO"
    otlp_endpoint: str = Field(
        default="", description="base URL of an OTLP collector for traces, such as http://127.0.0.1:4318; empty: none"
    )
    trace_ratio: float = Field(
        default=0.01, ge=0, le=1, description="share of requests whose trace is sampled, if the caller did not decide"
    )
    instance: str = Field(
        default="", description="stable name of this replica, so that it keeps its partitions after a restart"
    )
    namespace: str = Field(default="", pattern=r"^[a-z0-9_]{0,24}$", description="prefix of topics, keyspaces and keys")
    public_url: str = Field(default="http://127.0.0.1:8080", description="the gateway's address for clients")
    kafka_bootstrap: str = "127.0.0.1:9092"
    kafka_replication: int = Field(
        default=1, ge=1, description="replicas of new topics; all but one must acknowledge a message"
    )
    cassandra_contact_points: str = Field(default="127.0.0.1:9042", description="host:port, comma-separated")
    cassandra_replication: str = Field(
        default="{'class': 'SimpleStrategy', 'replication_factor': 1}", description="CQL map for new keyspaces"
    )
    postgres_dsn: SecretStr = SecretStr("postgresql://127.0.0.1/postgres")
    redis_url: SecretStr = SecretStr("redis://127.0.0.1:6379/0")
    redis_cluster: bool = Field(default=False, description="redis_url names one node of a Redis Cluster")
    object_store_dir: Path = Path("/var/lib/feedmill/objects")
    object_store_url: str = Field(
        default="",
        pattern=r"^(s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])?$",
        description="a bucket, such as s3://feedmill; empty: the folder `object_store_dir`",
    )
    s3_endpoint: str = Field(default="", description="base URL of the S3 server; empty: AWS, by the region")
    s3_public_endpoint: str = Field(
        default="", description="the same as clients reach it, for their uploads; empty: `s3_endpoint`"
    )
    s3_region: str = "us-east-1"
    s3_access_key_id: str = Field(default="", description="empty: what botocore finds, such as a role of the platform")
    s3_secret_access_key: SecretStr = SecretStr("")
    s3_ca: Path | None = Field(default=None, description="file of certificates that may sign that of the S3 server")
    internal_secret: SecretStr = Field(
        description="shared by the deployables: signs their calls to one another, and hashes accounts in logs"
    )
    cursor_secret: SecretStr = Field(description="signs page cursors")
    rate_limits: bool = Field(
        default=True, description="false turns off rate limits and caller shares, for sample data, tests, benchmarks"
    )
    requests_a_minute: int = Field(default=1_000, ge=0, description="limit per user, about 16 a second; 0: no limit")
    address_requests_a_minute: int = Field(
        default=10_000, ge=0, description="limit per IP address, which many users may share; 0: no limit"
    )
    cors_origins: Annotated[str, AfterValidator(_origins)] = Field(
        default="",
        description="allowed origins of web clients on other hosts, such as https://app.example.org; comma-separated",
    )
    timeout_factor: float = Field(
        default=1.0, gt=0, description="factor for all time-outs; above 1 where stores and services share a machine"
    )
    max_in_flight: int = Field(
        default=256,
        gt=0,
        description="concurrent client requests, as many internal ones, and as many uploads being received; at 5 ms of"
        " CPU each, more requests would wait over a second",
    )
    outbox_wait_s: float = Field(
        default=3_600, gt=0, description="longest wait of an event for Kafka; beyond it, write requests get 503"
    )
    shutdown_delay_s: float = Field(
        default=1.0,
        ge=0,
        description="seconds to serve after SIGTERM while not ready; longer than the period of readiness probes",
    )
    drain_s: float = Field(default=10.0, gt=0, description="seconds for current work to finish after that")

    @model_validator(mode="after")
    def _no_old_names(self) -> Self:
        if old := next((name for name in RENAMED if name in os.environ), None):
            raise ValueError(f"{old} has been renamed to {RENAMED[old]}")
        return self

    def topic(self, name: str) -> str:
        """The topic's name on this cluster."""
        return f"{self.namespace}{name}"

    def keyspace(self, name: str) -> str:
        """The Cassandra keyspace, or PostgreSQL database, of the service `name`."""
        return f"{self.namespace}feedmill_{name}"

    def redis_prefix(self, name: str) -> str:
        """The prefix of all Redis keys of the service `name`."""
        return f"{self.namespace}{name}:"
