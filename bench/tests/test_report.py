import json
import os
import platform
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bench.__main__ import main
from bench.figures import Figure, Row
from bench.report import Report, ReportError

ROWS = (
    Row("page, p50", Figure(2.0, "ms", 1.0, 3.0), Figure(4.0, "ms"), "30 in 3 rounds"),
    Row("nothing", None),
)


def written(path: Path, rows: tuple[Row, ...] = ROWS) -> Report:
    report = replace(Report.begin(["feed", "a graph.edges"]), rows=rows)
    report.write(path)
    return report


def test_a_report_is_read_as_it_was_written_and_names_no_host_and_no_path(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "report.json"
    report = written(path)
    assert Report.read(path) == report
    assert report.machine.cores == len(os.sched_getaffinity(0))
    described = json.dumps(json.loads(path.read_text())["machine"])
    assert platform.node() not in described.split('"')
    assert str(Path.cwd()) not in described
    assert sys.executable not in described


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"rows": [{"what": "page"}]}', '{"rows": [], "machine": {"cpu": 1}}']
)
def test_another_file_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(ReportError, match=r"other\.json holds no figures"):
        Report.read(path)


def test_two_files_side_by_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    written(old)
    written(new, (replace(ROWS[0], figure=Figure(3.0, "ms")),))
    monkeypatch.setattr(sys, "argv", ["bench", "--compare", str(old), str(new)])
    assert main() == 0
    shown = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["measured", "feed", "a", "graph.edges", "feed", "a", "graph.edges"] in shown
    assert ["page,", "p50", "2.00", "ms", "(1.00", "to", "3.00)", "3.00", "ms", "1.50", "0.50", "0.75"] in shown

    new.unlink()
    assert main() == 1
    assert "new.json holds no figures" in capsys.readouterr().err
