import threading
from pathlib import Path

from chaos.drills import REAL, Row, drills
from deploy.observability.rules import RULES
from devstack.settings import Settings
from devstack.stack import Stack
from libs.common.core.settings import Settings as CommonSettings
from libs.common.testing import settings_for

PAGES = {" ".join(filter(None, (one.name, one.labels.get("store")))) for one in RULES if one.severity == "page"}


def test_each_page_is_fired_by_a_drill(tmp_path: Path) -> None:
    stack = Stack(Settings(tmp_path, tmp_path, {"FEEDMILL_STORES": "processes"}), threading.Event())

    found = drills(stack, settings_for(CommonSettings, {}))

    assert sorted(page for one in found for page in one.pages) == sorted(PAGES)
    assert {one.name for one in found} > set(REAL)


def test_a_page_that_did_not_fire_or_does_not_end_is_not_clean() -> None:
    assert Row("a fault", "FeedWrong", fired_s=20.0, inactive_s=30.0).is_clean
    assert not Row("a fault", "FeedWrong").is_clean
    assert not Row("a fault", "FeedWrong", fired_s=20.0).is_clean
    assert not Row("a fault", "FeedWrong", fired_s=20.0, inactive_s=361.0).is_clean
