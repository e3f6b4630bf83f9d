"""The settings of the gateway."""

import re
from decimal import Decimal
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from libs.deployables import service_urls


def _networks(text: str) -> str:
    try:
        networks = [ip_network(part.strip()) for part in text.split(",") if part.strip()]
    except ValueError as error:
        raise ValueError(f"expected networks such as 10.0.0.0/8, separated by commas: {error}") from error
    if any(network.prefixlen == 0 for network in networks):
        raise ValueError("a network of all addresses would let every client choose its own")
    return ",".join(map(str, networks))


Networks = Annotated[str, AfterValidator(_networks)]
_HOST = r"[A-Za-z0-9._:\[\]-]+"
_HTTPS = re.compile(f"https://{_HOST}")


class GatewaySettings(BaseSettings):
    """Addresses and folders; everything else is the same everywhere and stands in the template."""

    model_config = SettingsConfigDict(env_prefix="FEEDMILL_", extra="ignore", frozen=True)

    gateway_host: str = Field(default="127.0.0.1", pattern=f"^{_HOST}$")
    gateway_port: int = Field(default=8080, ge=1, le=65535)
    gateway_tls_cert: Path | None = Field(
        default=None, description="PEM file: the certificate, then those that signed it; without it there is no TLS"
    )
    gateway_tls_key: Path | None = Field(default=None, description="PEM file: the key of the certificate, no password")
    gateway_tls_port: int = Field(default=8443, ge=1, le=65535)
    public_url: str = Field(default="http://127.0.0.1:8080", description="the address of the gateway for clients")
    gateway_status_host: str = Field(
        default="127.0.0.1", pattern=f"^{_HOST}$", description="where only gateway-metrics may count connections"
    )
    gateway_status_port: int = Field(default=8081, ge=1, le=65535)
    gateway_metrics_address: str = Field(
        default="127.0.0.1:8006",
        pattern=rf"^{_HOST}:\d{{1,5}}$",
        description="of gateway-metrics, for log lines by UDP",
    )
    trace_ratio: Decimal = Field(
        default=Decimal("0.01"), ge=0, le=1, decimal_places=4, description="part of the requests whose trace is sampled"
    )
    gateway_state_dir: Path | None = Field(
        default=None, description="cache, temporary files, pid; the configuration's folder when not given"
    )
    gateway_docs_dir: Path | None = Field(default=None, description="what `openapi` wrote; docs/ in the state folder")
    gateway_swagger_ui_jar: Path | None = Field(default=None, description="the WebJar; `openapi` needs it")
    gateway_cache_mb: int = Field(default=2048, ge=16, description="disk for the edge cache of media")
    trusted_proxies: Networks = Field(
        default="", description="whose X-Forwarded-For says which client it is: load balancers, by network"
    )
    rate_limits: bool = Field(default=True, description="false: an address may have any number of connections")
    service_urls: dict[str, str] = Field(
        default_factory=service_urls, description="by service; from FEEDMILL_<NAME>_URL, such as FEEDMILL_FEED_URL"
    )

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        if (self.gateway_tls_cert is None) != (self.gateway_tls_key is None):
            raise ValueError("FEEDMILL_GATEWAY_TLS_CERT and FEEDMILL_GATEWAY_TLS_KEY need one another")
        if self.gateway_tls_cert and not _HTTPS.fullmatch(self.public_url):
            raise ValueError("FEEDMILL_PUBLIC_URL must be https://host or https://host:port if there is a certificate")
        return self

    @field_validator("gateway_status_port")
    @classmethod
    def _is_not_public(cls, port: int, known: ValidationInfo) -> int:
        if port == known.data.get("gateway_port"):
            raise ValueError("the port of the gateway is public")
        return port
