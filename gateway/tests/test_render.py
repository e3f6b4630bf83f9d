import json
import re
from decimal import Decimal
from pathlib import Path

import pytest

from gateway.__main__ import main
from gateway.problems import PROBLEMS
from gateway.render import render
from gateway.routes import ROUTES
from gateway.settings import GatewaySettings
from libs.deployables import service_urls


def test_all_places_are_filled() -> None:
    text = render(GatewaySettings(), Path("/srv/gateway"))
    assert "<<" not in text
    assert text.count("{") - text.count("}") == 0
    assert all(f'location ~ "{route.pattern}"' in text for route in ROUTES)


def test_settings_reach_the_configuration() -> None:
    settings = GatewaySettings(
        gateway_host="0.0.0.0",
        gateway_port=81,
        gateway_state_dir=Path("/var/state"),
        gateway_docs_dir=Path("/etc/docs"),
        gateway_cache_mb=64,
        service_urls=service_urls({"FEEDMILL_FEED_URL": "http://feed:8000/"}),
    )
    text = render(settings, Path("/elsewhere"))
    assert "listen 0.0.0.0:81 default_server;" in text
    assert 'pid "/var/state/nginx.pid";' in text
    assert "max_size=64m" in text
    assert 'alias "/etc/docs/viewer/";' in text
    assert "server feed:8000 " in text
    assert "/elsewhere" not in text


def test_state_stands_beside_the_configuration_by_default() -> None:
    text = render(GatewaySettings(), Path("/srv/gateway"))
    assert 'alias "/srv/gateway/docs/openapi.json";' in text


@pytest.mark.parametrize(
    "url", ["https://feed", "http://feed", "http://feed:80/x", "http://a:1; include /x;", "feed:80"]
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="expected http://host:port"):
        service_urls({"FEEDMILL_FEED_URL": url})


def test_nobodys_word_about_an_address_is_taken_unless_told() -> None:
    assert "real_ip" not in render(GatewaySettings(), Path("/srv"))
    text = render(GatewaySettings(trusted_proxies="10.0.0.0/8, 192.0.2.1,2001:db8::/32,"), Path("/srv"))
    for network in ("10.0.0.0/8", "192.0.2.1/32", "2001:db8::/32"):
        assert f"set_real_ip_from {network};" in text
    assert "real_ip_header X-Forwarded-For;\n    real_ip_recursive on;" in text


@pytest.mark.parametrize("networks", ["10.0.0.1/8", "lb.example", "10.0.0.0/8; include x", "0.0.0.0/0", "::/0", "/8"])
def test_what_is_no_network_of_proxies_is_refused_in_one_line(
    networks: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FEEDMILL_TRUSTED_PROXIES", networks)
    assert main(["render", "--out", str(tmp_path / "nginx.conf")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("gateway: FEEDMILL_TRUSTED_PROXIES: ")
    assert not (tmp_path / "nginx.conf").exists()


@pytest.mark.parametrize(
    ("ratio", "flags"),
    [("0", ["* 00"]), ("0.0001", ["0.01% 01", "* 00"]), ("0.01", ["1.00% 01", "* 00"]), ("1.0", ["* 01"])],
)
def test_the_ratio_of_sampled_traces_is_exact(ratio: str, flags: list[str]) -> None:
    text = render(GatewaySettings(trace_ratio=Decimal(ratio)), Path("/srv"))
    block = text.partition("split_clients $request_id $trace_flags {")[2].partition("}")[0]
    assert [line.strip() for line in block.split(";")] == [*flags, ""]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FEEDMILL_TRACE_RATIO", "0.00001"),
        ("FEEDMILL_TRACE_RATIO", "1.1"),
        ("FEEDMILL_GATEWAY_STATUS_PORT", "8080"),
        ("FEEDMILL_GATEWAY_METRICS_ADDRESS", "observer"),
        ("FEEDMILL_GATEWAY_METRICS_ADDRESS", "a:1 json; include /x"),
    ],
)
def test_a_setting_that_nginx_can_not_have_is_refused(
    name: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(name, value)
    assert main(["render", "--out", str(tmp_path / "nginx.conf")]) == 1
    assert capsys.readouterr().err.startswith(f"gateway: {name}: ")


def test_connections_are_not_counted_where_limits_are_lifted() -> None:
    assert "limit_conn addresses 100;" in render(GatewaySettings(), Path("/srv"))
    assert "limit_conn addresses" not in render(GatewaySettings(rate_limits=False), Path("/srv"))


def test_a_folder_that_nginx_would_misread_is_refused() -> None:
    with pytest.raises(ValueError, match="folder"):
        render(GatewaySettings(gateway_state_dir=Path('/srv/"; include x')), Path("/srv"))


def test_the_command_writes_the_file(tmp_path: Path) -> None:
    out = tmp_path / "new" / "nginx.conf"
    assert main(["render", "--out", str(out)]) == 0
    assert str(tmp_path / "new") in out.read_text()
    assert [path.name for path in out.parent.iterdir()] == ["nginx.conf"]


def test_problems_are_json_and_each_cause_has_one() -> None:
    causes = [cause for problem in PROBLEMS for cause in problem.causes]
    assert len(causes) == len(set(causes))
    for problem in PROBLEMS:
        body = json.loads(problem.body())
        assert body.keys() == {"type", "title", "status", "detail", "code", "request_id"}
        assert not re.search(r"['\\]|\$(?!rid)", problem.body())
