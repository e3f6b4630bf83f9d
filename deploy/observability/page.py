"""docs/alerts.md: the table of alerts for people."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from deploy.observability.rules import RULES, Rule, runbook
from deploy.observability.timing import Timing

PAGE = Path(__file__).parents[2] / "docs" / "alerts.md"
HEAD = """\
# Alerts

Generated from `deploy/observability/rules.py` by `make contracts`. The name of an alert leads to its runbook.

- `page` wakes the person on call, `ticket` waits for a working day, `info` is only shown.
  Symptoms page: what users notice, or will soon. Causes are tickets, or are only shown.
- **Acknowledge a page** with a silence on its label `page` ([how](runbooks/page-not-acknowledged.md)).
  A page without one for 15 minutes goes to the escalation receiver.
- `StoreAway` inhibits what the loss of this store explains (label `stores`), `GatewayDown` inhibits all symptoms.
  `ProcessDown` inhibits `WorkerDown` and `ConsumerStuck` of the same process.
  `FanoutLag` inhibits the page `ConsumerLag` of fan-out.
  A page inhibits the ticket of the same alert, and a ticket its info.
- Ratios and quantiles need a minimum of traffic. So one slow request at night wakes nobody.
- `make drill-alerts` fires each page by a real fault ([chaos](../chaos/README.md#drills-of-alerts)).
- `own` in the column source is a rule that is not in a design document.
"""


def page() -> str:
    """The page as Markdown."""
    conditions = ["| alert | severity | after | source | condition |", "|---|---|---|---|---|"]
    for rule in _distinct(RULES):
        condition = Timing().expression(rule.expression).replace("|", "\\|")
        link = f"[{rule.name}](runbooks/{runbook(rule.name)})"
        after = Timing().duration(rule.hold_s) if rule.hold_s else "at once"
        conditions.append(f"| {link} | {rule.severity} | {after} | {rule.source} | `{condition}` |")
    return "\n".join([HEAD, *conditions]) + "\n"


def _distinct(rules: Iterable[Rule]) -> Iterator[Rule]:
    """The rules without repetitions: some exist for each job or window."""
    seen = set()
    for rule in rules:
        if (row := (rule.name, rule.severity, rule.summary)) not in seen:
            seen.add(row)
            yield rule
