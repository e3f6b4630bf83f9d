"""The gateway's certificate: whether nginx can use it, and the lines of nginx about it."""

import ssl
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509


def check(certificate: Path, key: Path) -> None:
    """Return if the files can be used now.

    Raises:
        ValueError: with one line that names the file and its setting.
    """
    for path, setting in ((certificate, "FEEDMILL_GATEWAY_TLS_CERT"), (key, "FEEDMILL_GATEWAY_TLS_KEY")):
        try:
            path.read_bytes()
        except OSError as error:
            raise ValueError(f"{setting}: {path} can't be read: {error.strerror}") from error
    try:
        first = x509.load_pem_x509_certificates(certificate.read_bytes())[0]
    except ValueError as error:
        raise ValueError(f"FEEDMILL_GATEWAY_TLS_CERT: {certificate} has no PEM certificate") from error
    if first.not_valid_after_utc <= datetime.now(UTC):
        ended = f"{first.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
        raise ValueError(f"FEEDMILL_GATEWAY_TLS_CERT: {certificate} has expired: {ended}")
    try:
        # A password can't be asked for: nginx has nobody to ask, either.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=_no_password)
    except (ssl.SSLError, ValueError) as error:
        raise ValueError(f"FEEDMILL_GATEWAY_TLS_KEY: {key} is not the key of {certificate}: {error}") from error


def _no_password() -> str:
    raise ValueError("it needs a password")


def directives(certificate: str, key: str) -> str:
    """Lines of a server of nginx: TLS 1.2 and 1.3 with forward secrecy, as Mozilla's intermediate configuration."""
    return f"""
        ssl_certificate "{certificate}";
        ssl_certificate_key "{key}";
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_ciphers ECDHE+AESGCM:ECDHE+CHACHA20;
        ssl_session_cache shared:tls:10m;
        ssl_session_timeout 1d;
        ssl_session_tickets off;  # their key would have to be rotated
        add_header Strict-Transport-Security "max-age=63072000" always;"""
