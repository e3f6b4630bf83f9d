"""TLS of the gateway, in the real nginx."""

import contextlib
import http.client
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from devstack.ports import choose
from gateway.__main__ import main
from gateway.render import DRAINING
from gateway.settings import GatewaySettings
from gateway.tests.nginx import NGINX, running_nginx
from gateway.tests.upstream import Upstream
from libs.common.testing.eventually import eventually
from libs.deployables import service_urls

PUBLIC = "https://feedmill.example.org"
real = [pytest.mark.stores, pytest.mark.xdist_group("gateway")]


@dataclass(frozen=True)
class Files:
    certificate: Path
    key: Path


def make_certificate(folder: Path, days: int = 1, password: bytes | None = None) -> Files:
    """A self-signed certificate of 127.0.0.1, and its key. With negative `days` it has expired."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "feedmill test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=9))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir(exist_ok=True)
    files = Files(folder / "tls.crt", folder / "tls.key")
    files.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    hidden = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    files.key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, hidden),
    )
    return files


@dataclass
class Gateway:
    files: Files
    upstream: Upstream
    folder: Path
    port: int
    tls_port: int

    def trusting(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.files.certificate)

    def get(
        self, path: str, context: ssl.SSLContext | None = None, *, port: int | None = None
    ) -> tuple[int, http.client.HTTPMessage]:
        """Status and headers, over TLS if there is a context."""
        port = port or (self.tls_port if context else self.port)
        connection = (
            http.client.HTTPSConnection("127.0.0.1", port, timeout=30, context=context)
            if context
            else http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        )
        with contextlib.closing(connection):
            connection.request("GET", path, headers={"Connection": "close"})
            with connection.getresponse() as answer:
                answer.read()
                return answer.status, answer.headers

    def reload(self) -> str:
        """What nginx says about it."""
        argv: list[str | Path] = [NGINX, "-e", "stderr", "-c", self.folder / "nginx.conf", "-s", "reload"]
        return str(subprocess.run(argv, check=False, capture_output=True, text=True).stderr)

    def serial(self) -> int:
        """Of the certificate that a new connection gets."""
        pem = ssl.get_server_certificate(("127.0.0.1", self.tls_port))
        return x509.load_pem_x509_certificate(pem.encode()).serial_number


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    files = make_certificate(tmp_path / "tls")
    port = choose(set())
    tls_port = choose({port})
    with Upstream("feed") as upstream:
        settings = {
            "gateway_port": port,
            "gateway_tls_port": tls_port,
            "gateway_status_port": choose({port, tls_port}),
            "gateway_tls_cert": files.certificate,
            "gateway_tls_key": files.key,
            "public_url": PUBLIC,
            "service_urls": dict.fromkeys(service_urls({}), upstream.url),
        }
        with running_nginx(tmp_path, GatewaySettings.model_validate(settings)):
            yield Gateway(files, upstream, tmp_path, port, tls_port)


class TestServer:
    pytestmark = real

    def test_everything_is_served_over_tls(self, gateway: Gateway) -> None:
        status, headers = gateway.get("/v1/feed", gateway.trusting())
        assert status == 200
        assert headers["Strict-Transport-Security"] == "max-age=63072000"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert gateway.get("/nothing", gateway.trusting())[0] == 404

    def test_plain_http_is_sent_to_the_public_address(self, gateway: Gateway) -> None:
        for port in (gateway.port, gateway.tls_port):
            status, headers = gateway.get("/v1/feed?limit=2", port=port)
            assert (status, headers["Location"]) == (308, f"{PUBLIC}/v1/feed?limit=2")
        assert not gateway.upstream.hits

    def test_it_answers_its_own_health_until_it_drains(self, gateway: Gateway) -> None:
        for context in (None, gateway.trusting()):
            assert gateway.get("/health", context)[0] == 200
        (gateway.folder / DRAINING).touch()
        for context in (None, gateway.trusting()):
            assert gateway.get("/health", context)[0] == 503
        assert gateway.get("/v1/feed", gateway.trusting())[0] == 200

    def test_old_versions_and_strangers_are_refused(self, gateway: Gateway) -> None:
        with pytest.raises(ssl.SSLCertVerificationError):
            gateway.get("/v1/feed", ssl.create_default_context())
        old = gateway.trusting()
        old.set_ciphers("DEFAULT:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning, match="TLSv1"):
            old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
        with pytest.raises(ssl.SSLError, match="protocol"):
            gateway.get("/v1/feed", old)

    async def test_a_new_certificate_cuts_nothing(self, gateway: Gateway, tmp_path: Path) -> None:
        first, trusting, answers = gateway.serial(), gateway.trusting(), list[int]()
        held = threading.Thread(target=lambda: answers.append(gateway.get("/v1/feed/held", trusting)[0]))
        held.start()
        assert gateway.upstream.held.acquire(timeout=20)
        fresh = make_certificate(tmp_path / "fresh")
        shutil.copy(fresh.certificate, gateway.files.certificate)
        shutil.copy(fresh.key, gateway.files.key)
        assert "[emerg]" not in gateway.reload()

        async def changed() -> bool:
            return gateway.serial() != first

        await eventually(changed)
        assert gateway.get("/v1/feed", gateway.trusting())[0] == 200
        gateway.upstream.go.set()
        held.join(20)
        assert answers == [200]

    def test_a_bad_one_leaves_the_old_one_in_use(self, gateway: Gateway, tmp_path: Path) -> None:
        first, trusting = gateway.serial(), gateway.trusting()
        other = make_certificate(tmp_path / "other")
        shutil.copy(other.key, gateway.files.key)
        assert "key values mismatch" in gateway.reload()
        assert gateway.serial() == first
        assert gateway.get("/v1/feed", trusting)[0] == 200


def test_bad_certificates_are_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    good, other = make_certificate(tmp_path / "good"), make_certificate(tmp_path / "other")
    old = make_certificate(tmp_path / "old", days=-1)
    locked = make_certificate(tmp_path / "locked", password=b"word")
    junk = tmp_path / "junk"
    junk.write_bytes(b"\0 no certificate")
    cert, key = "FEEDMILL_GATEWAY_TLS_CERT", "FEEDMILL_GATEWAY_TLS_KEY"
    monkeypatch.setenv("FEEDMILL_PUBLIC_URL", PUBLIC)
    for certificate, its_key, setting, said in (
        (tmp_path / "missing", good.key, cert, "No such file"),
        (good.certificate, tmp_path / "missing", key, "No such file"),
        (tmp_path, good.key, cert, "Is a directory"),
        (junk, good.key, cert, "no PEM certificate"),
        (good.certificate, junk, key, "is not the key"),
        (good.certificate, other.key, key, "is not the key"),
        (old.certificate, old.key, cert, "has expired"),
        (locked.certificate, locked.key, key, "is not the key"),
    ):
        monkeypatch.setenv(cert, str(certificate))
        monkeypatch.setenv(key, str(its_key))
        assert main(["render", "--out", str(tmp_path / "nginx.conf")]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"gateway: {setting}: ")
        assert said in line
    monkeypatch.setenv(cert, str(good.certificate))
    monkeypatch.setenv(key, str(good.key))
    assert main(["render", "--out", str(tmp_path / "nginx.conf")]) == 0


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"gateway_tls_cert": "a"}, "FEEDMILL_GATEWAY_TLS_KEY"),
        ({"gateway_tls_key": "a"}, "FEEDMILL_GATEWAY_TLS_CERT"),
        ({"gateway_tls_cert": "a", "gateway_tls_key": "b"}, "FEEDMILL_PUBLIC_URL"),
        ({"gateway_tls_cert": "a", "gateway_tls_key": "b", "public_url": "https://a/b"}, "FEEDMILL_PUBLIC_URL"),
    ],
)
def test_settings_that_need_one_another(given: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        GatewaySettings.model_validate(given)
