from pathlib import Path

import pytest

from devstack.stores import ALL, cassandra, kafka
from devstack.stores.base import Home
from devstack.stores.store_set import KINDS


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Jars and data are pretended to be there: nothing is run."""
    for module in (kafka, cassandra):
        monkeypatch.setattr(module, "jars_dir", lambda product: Path("/jars") / product)
    data = tmp_path / "data"
    data.mkdir()
    for marker in ("meta.properties", "PG_VERSION"):
        (data / marker).touch()
    names = [port_name for kind in KINDS.values() for port_name in kind.port_names]
    ports = {name: 20_000 + index for index, name in enumerate(names)}
    return Home(data, tmp_path / "conf", ports, durable=True)


@pytest.mark.parametrize("name", ALL)
def test_every_template_is_filled(home: Home, name: str) -> None:
    kind = next(kind for kind in KINDS.values() if kind.name == name)
    kind.prepare(home)
    rendered = "".join(path.read_text() for path in home.config_dir.iterdir())
    assert "$" not in rendered
    assert str(home.ports[name]) in rendered


def test_durable_cassandra_waits_for_the_disk(home: Home) -> None:
    KINDS["cassandra"].prepare(home)
    assert "commitlog_sync: group" in (home.config_dir / "cassandra.yaml").read_text()
    assert "-Dcassandra.unsafesystem=false" in (home.config_dir / "cassandra.args").read_text()
