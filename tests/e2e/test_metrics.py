"""What the running processes export, against the catalog of metrics."""

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from devstack.stack import Stack
from libs.deployables import DEPLOYABLES
from libs.telemetry.catalog import BY_NAME, EVERY

pytestmark = pytest.mark.stack

SERIES_MAX = 4_000  # of a process: one of 100 routes, statuses or statements has about 15
OF_A_HISTOGRAM = ("_bucket", "_count", "_sum")


@pytest.mark.parametrize("name", [one.name for one in DEPLOYABLES])
async def test_a_process_exports_declared_metrics_with_known_labels_and_few_series(stack: Stack, name: str) -> None:
    async with httpx2.AsyncClient() as http:
        text = (await http.get(f"http://127.0.0.1:{stack.state.port(name)}/metrics")).text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    ours = [sample for sample in samples if sample.name.startswith("feedmill_")]
    assert "feedmill_http_requests_in_flight" in {sample.name for sample in ours}
    for sample in ours:
        metric = BY_NAME.get(sample.name) or BY_NAME[sample.name.rpartition("_")[0]]
        assert sample.name == metric.name or sample.name.removeprefix(metric.name) in OF_A_HISTOGRAM
        assert metric.jobs == EVERY or name in metric.jobs, metric.name
        assert sample.labels.keys() - {"le"} == metric.labels.keys(), metric.name
        for label, values in metric.labels.items():
            assert not values or sample.labels[label] in values, f"{metric.name}: {sample.labels}"
    assert len(samples) <= SERIES_MAX
