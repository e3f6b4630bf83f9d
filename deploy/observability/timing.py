"""Every interval and window of Prometheus and Alertmanager, and the one factor that shortens all of them for drills."""

import re
from dataclasses import dataclass

SCRAPE_S = 15
SCRAPE_TIMEOUT_S = 10
_UNITS_S = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}
_WRITTEN = r"(\d+)([wdhms])"
_WINDOW = re.compile(rf"(?<=\[){_WRITTEN}(?=[\]:])")
_OFFSET = re.compile(rf"(?<=offset ){_WRITTEN}\b")
_SECONDS = re.compile(rf"\bseconds\({_WRITTEN}\)")


@dataclass(frozen=True, slots=True)
class Timing:
    """Divides all times by one factor; 1 gives the real ones.

    Args:
        factor: at least 1. Scrapes are never less than 1 s apart.
    """

    factor: float = 1

    @property
    def scrape_s(self) -> float:
        """Seconds between two scrapes of a target, and between two evaluations of a rule."""
        return max(SCRAPE_S / self.factor, 1)

    @property
    def scrape(self) -> str:
        """The time between two scrapes as a duration of Prometheus."""
        return _written(self.scrape_s)

    @property
    def scrape_timeout(self) -> str:
        """How long a scrape may take. With a factor it is the whole interval: the machine of a drill is busy."""
        return _written(min(SCRAPE_TIMEOUT_S, self.scrape_s))

    def duration(self, seconds: float) -> str:
        """Return the shortened time as a duration of Prometheus, such as `5m` or `1500ms`."""
        return _written(seconds / self.factor)

    def expression(self, promql: str) -> str:
        """Shorten the windows `[5m]`, the offsets `offset 1w` and the ages `seconds(2m)` of an expression.

        `seconds(2m)` is no PromQL: it becomes a number. A window has at least four scrapes, so that no rate is empty.
        """
        promql = _WINDOW.sub(lambda found: _written(max(_seconds(found) / self.factor, 4 * self.scrape_s)), promql)
        promql = _OFFSET.sub(lambda found: _written(_seconds(found) / self.factor), promql)
        return _SECONDS.sub(lambda found: f"{_seconds(found) / self.factor:g}", promql)


def _seconds(found: re.Match[str]) -> int:
    return int(found[1]) * _UNITS_S[found[2]]


def _written(seconds: float) -> str:
    ms = round(seconds * 1000)
    for unit, unit_s in _UNITS_S.items():
        if ms and ms % (unit_s * 1000) == 0:
            return f"{ms // (unit_s * 1000)}{unit}"
    return f"{ms}ms"
