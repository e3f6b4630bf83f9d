"""Every overlay against the rules, and each rule against a planted fault. No cluster and no kubectl."""

import re
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from deploy.k8s import check
from deploy.k8s.__main__ import FOLDER, OVERLAYS, prometheus_rule
from deploy.k8s.check import (
    APPS,
    PORT,
    RULES,
    SECRETS,
    STORES,
    Overlay,
    Pod,
    findings,
    may_connect,
)
from deploy.k8s.kustomize import Object, build, documents
from devstack.settings import ROOT
from libs.deployables import BY_NAME, DEPLOYABLES, SERVICES, Deployable
from tests.traces.test_edges import LIFE, READ

BUILT = {name: build(FOLDER / "overlays" / name) for name in OVERLAYS}
Fault = Callable[[Overlay], object]


def app(overlay: Overlay, name: str) -> Object:
    return check._app(overlay.find("Deployment", name))


def spec(overlay: Overlay, kind: str, name: str) -> Any:
    found = overlay.find(kind, name)
    assert found is not None
    return found["spec"]


def drop(kind: str, name: str) -> Fault:
    return lambda overlay: overlay.objects.remove(overlay.find(kind, name) or {})


def in_app(name: str, change: Callable[[Object], object]) -> Fault:
    return lambda overlay: change(app(overlay, name))


def in_spec(kind: str, name: str, change: Callable[[Any], object]) -> Fault:
    return lambda overlay: change(spec(overlay, kind, name))


def in_hpa(name: str, change: Callable[[Any], object]) -> Fault:
    return in_spec("HorizontalPodAutoscaler", name, change)


def in_pod(name: str, change: Callable[[Any], object]) -> Fault:
    return in_spec("Deployment", name, lambda found: change(found["template"]["spec"]))


def setting(name: str, value: str) -> Fault:
    def change(overlay: Overlay) -> None:
        (found,) = (one for one in overlay.all("ConfigMap") if one["metadata"]["name"] == "feedmill-settings")
        found["data"][name] = value

    return change


def twice(kind: str, name: str, new_name: str) -> Fault:
    def change(overlay: Overlay) -> None:
        copy = deepcopy(overlay.find(kind, name))
        assert copy is not None
        copy["metadata"]["name"] = new_name
        overlay.objects.append(copy)

    return change


def keys(name: str, variable: str, key: str) -> Fault:
    def change(one: Object) -> None:
        (found,) = (env for env in one["env"] if env["name"] == variable)
        found["valueFrom"]["secretKeyRef"]["key"] = key

    return in_app(name, change)


FAULTS: tuple[tuple[str, Fault, str], ...] = (
    ("local", drop("Deployment", "counters"), "counters has no Deployment"),
    ("local", twice("Deployment", "post", "poster"), "Deployment poster is in no row"),
    ("prod", in_app("feed", lambda one: one.update(image="registry.example/feedmill-post:1")), "feed runs the image"),
    ("local", in_app("canary", lambda one: one.update(env=[])), "canary does not run ops.canary"),
    ("local", in_app("gateway", lambda one: one.update(command=["true"])), "gateway-metrics does not run"),
    ("local", drop("Service", "feed"), "feed has no Service"),
    ("local", in_spec("Service", "feed", lambda one: one["ports"][0].update(port=80)), "does not lead to port 8000"),
    ("prod", setting("FEEDMILL_POST_URL", "http://user:8000"), "FEEDMILL_POST_URL is not http://post:8000"),
    ("prod", drop("Job", "user-migrate"), "user has a store and no Job user-migrate"),
    (
        "local",
        in_spec("Job", "post-migrate", lambda one: one["template"]["spec"]["containers"][0].update(args=["serve"])),
        "Job post-migrate does not migrate",
    ),
    ("local", drop("Job", "topics"), "neither a Job nor KafkaTopics"),
    ("prod", drop("KafkaTopic", "graph.dlq"), "KafkaTopic graph.dlq is missing"),
    (
        "prod",
        in_spec("KafkaTopic", "graph", lambda one: one["config"].update({"retention.ms": 1})),
        "KafkaTopic graph is not retained",
    ),
    (
        "local",
        in_pod("user", lambda one: one["securityContext"].pop("runAsNonRoot")),
        "user may run as root",
    ),
    ("local", in_pod("user", lambda one: one.pop("automountServiceAccountToken")), "user gets a token"),
    ("local", in_app("user", lambda one: one["securityContext"].pop("capabilities")), "user: app may get more rights"),
    (
        "local",
        in_app("user", lambda one: one["securityContext"].update(readOnlyRootFilesystem=False)),
        "user: app may write to its root",
    ),
    ("local", in_app("user", lambda one: one.update(image="feedmill-user")), "feedmill-user has no version"),
    ("local", in_app("fanout", lambda one: one["resources"]["requests"].pop("cpu")), "fanout: app requests no CPU"),
    ("local", in_app("fanout", lambda one: one["resources"].pop("limits")), "fanout: app has no limit of memory"),
    ("local", in_app("fanout", lambda one: one["resources"]["limits"].update(cpu=1)), "fanout: app has a limit of CPU"),
    (
        "local",
        in_app("fanout", lambda one: one["resources"]["requests"].update(cpu="400m")),
        "all CPU requests together are 1.575",
    ),
    (
        "prod",
        in_app("post", lambda one: one["livenessProbe"]["httpGet"].update(path="/health/ready")),
        "post: app has the livenessProbe /health/ready",
    ),
    ("prod", in_app("post", lambda one: one.pop("startupProbe")), "post: app has the startupProbe None"),
    ("prod", in_app("post", lambda one: one.pop("lifecycle")), "post: app stops before others know it"),
    ("prod", in_pod("post", lambda one: one.update(terminationGracePeriodSeconds=28)), "post: app is killed before"),
    ("prod", setting("FEEDMILL_DRAIN_S", "60"), "app is killed before it has drained"),
    ("prod", in_pod("post", lambda one: one["topologySpreadConstraints"].pop()), "post is not spread"),
    ("prod", drop("PodDisruptionBudget", "gateway"), "gateway has no PodDisruptionBudget"),
    (
        "prod",
        in_spec("PodDisruptionBudget", "feed", lambda one: one.update(maxUnavailable=0)),
        "feed has no PodDisruptionBudget with maxUnavailable 1",
    ),
    ("prod", drop("HorizontalPodAutoscaler", "post"), "post has no autoscaler"),
    ("prod", twice("HorizontalPodAutoscaler", "post", "feed"), "feed has more than one autoscaler"),
    ("prod", in_spec("Deployment", "post", lambda one: one.update(replicas=3)), "post sets replicas"),
    ("prod", in_spec("Deployment", "canary", lambda one: one.update(replicas=2)), "canary must have one replica"),
    (
        "prod",
        in_hpa("post", lambda one: one.update(maxReplicas=20)),
        "may not have 200 pods",
    ),
    (
        "prod",
        in_hpa("post", lambda one: one["behavior"]["scaleDown"].clear()),
        "post is scaled down before 300 s",
    ),
    (
        "prod",
        in_spec(
            "HorizontalPodAutoscaler", "post", lambda one: one["behavior"]["scaleUp"]["policies"][0].update(value=1)
        ),
        "post is scaled by [1] pods, not by 5",
    ),
    ("prod", in_spec("ScaledObject", "fanout", lambda one: one.update(minReplicaCount=0)), "fewer than 2 pods"),
    ("prod", in_spec("ScaledObject", "fanout", lambda one: one["triggers"].pop(0)), "ScaledObject fanout does not ask"),
    (
        "prod",
        in_spec("KafkaTopic", "feed.fanout", lambda one: one.update(partitions=999)),
        "topic feed.fanout has fewer partitions than fanout may have pods",
    ),
    ("prod", drop("NetworkPolicy", "post"), "feed may not connect to post"),
    (
        "prod",
        in_spec("NetworkPolicy", "fanout", lambda one: one["egress"].append({"ports": [{"port": 9042}]})),
        "",  # the store refuses: both ends must allow
    ),
    ("local", in_spec("NetworkPolicy", "user", lambda one: one.update(ingress=[{}])), "a stranger may connect to user"),
    (
        "local",
        in_spec("NetworkPolicy", "counters", lambda one: one["egress"].pop(2)),
        "counters may not connect to cassandra",
    ),
    ("local", in_spec("NetworkPolicy", "dns", lambda one: one["egress"][0]["ports"].pop()), "by UDP and by TCP"),
    (
        "local",
        in_spec("NetworkPolicy", "gateway", lambda one: one.pop("ingress")),
        "client may not connect to gateway",
    ),
    ("local", setting("FEEDMILL_PATIENCE", "2"), "no process reads FEEDMILL_PATIENCE"),
    ("prod", setting("FEEDMILL_TRUSTED_PROXIES", "0.0.0.0/0"), "gateway: FEEDMILL_TRUSTED_PROXIES"),
    ("prod", setting("FEEDMILL_TIMEOUT_FACTOR", "0"), "post: FEEDMILL_TIMEOUT_FACTOR"),
    ("local", setting("FEEDMILL_PUSH_THRESHOLD", "10"), "FEEDMILL_PUSH_THRESHOLD is not 10000"),
    (
        "local",
        in_app("feed", lambda one: one["envFrom"][0]["configMapRef"].update(name="feedmill")),
        "Deployment feed: no ConfigMap feedmill",
    ),
    ("prod", keys("user", "FEEDMILL_POSTGRES_DSN", "url"), "nobody creates url of the Secret feedmill-postgres"),
    (
        "prod",
        in_pod("user", lambda one: one["volumes"][0]["secret"].update(secretName="keys")),  # the first is that of user
        "nobody creates the Secret keys",
    ),
    ("prod", drop("PodMonitor", "workers"), "fanout is not scraped once"),
    ("prod", in_spec("ServiceMonitor", "services", lambda one: one.pop("jobLabel")), "post is not scraped once"),
)


@pytest.fixture
def overlay(request: pytest.FixtureRequest) -> Overlay:
    return Overlay(request.param, deepcopy(BUILT[request.param]))


@pytest.mark.parametrize("name", OVERLAYS)
def test_no_overlay_breaks_a_rule(name: str) -> None:
    assert findings(Overlay(name, BUILT[name])) == []


@pytest.mark.parametrize(("overlay", "plant", "finding"), FAULTS, indirect=["overlay"], ids=[one[2] for one in FAULTS])
def test_a_planted_fault_is_found(overlay: Overlay, plant: Fault, finding: str) -> None:
    plant(overlay)
    found = findings(overlay)
    assert any(finding in one for one in found) if finding else found == []


def test_every_rule_has_a_planted_fault() -> None:
    unproven = set(RULES)
    for name, plant, _ in FAULTS:
        plant(overlay := Overlay(name, deepcopy(BUILT[name])))
        unproven -= {rule for rule in unproven if any(rule(overlay))}
    assert unproven == set()


def test_a_new_deployable_needs_manifests(monkeypatch: pytest.MonkeyPatch) -> None:
    row = Deployable(name="ranking", module="services.post", port=8006, store="cassandra")
    monkeypatch.setattr(check, "DEPLOYABLES", (*DEPLOYABLES, row))
    monkeypatch.setattr(check, "SERVICES", (*SERVICES, row))
    found = " ".join(findings(Overlay("local", BUILT["local"])))
    for missing in ("no Deployment", "no Service", "no Job ranking-migrate", "gateway may not connect to ranking"):
        assert missing in found


def test_policies_name_the_calls_that_traces_show() -> None:
    """The traces of the running system, in which tests/traces finds these edges, against the table."""
    edges = [(caller.split(":")[0], called.split(":")[0], called) for caller, called in LIFE | READ]
    calls = {
        (one, other)
        for one, other, span in edges
        if other in {s.name for s in SERVICES} and re.search(r": [A-Z]+ /", span)
    }
    calls = {(one, other) for one, other in calls if one != other}
    assert calls
    assert {other for one, other in calls if other not in BY_NAME[one].calls} == set()
    stores = {(one, span.split(": ")[1].replace("postgresql", "postgres")) for one, _, span in edges}
    used = {(one, store) for one, store in stores if store in check.STORE_PORTS}
    assert used
    assert {(one, store) for one, store in used if store not in BY_NAME[one].backends} == set()


def test_an_edge_needs_both_ends() -> None:
    overlay = Overlay("local", deepcopy(BUILT["local"]))
    fanout = Pod(APPS, {"app.kubernetes.io/name": "fanout"})
    user = Pod(APPS, {"app.kubernetes.io/name": "user"})
    cassandra = Pod(STORES, {"feedmill.dev/store": "cassandra"})
    assert may_connect(overlay, fanout, user, PORT)
    assert not may_connect(overlay, user, fanout, PORT)
    assert not may_connect(overlay, fanout, user, 22)
    assert not may_connect(overlay, fanout, cassandra, 9042)


def test_every_secret_is_documented() -> None:
    page = (ROOT / "docs/deploy.md").read_text()
    missing = [name for secret, names in SECRETS.items() for name in (secret, *names) if f"`{name}`" not in page]
    assert missing == []


def test_every_exception_has_a_reason() -> None:
    (exceptions,) = documents((FOLDER / "exceptions.yml").read_text())
    assert all(set(one) == {"tool", "what", "reason"} and one["reason"] for one in exceptions)


def test_the_prometheus_rule_has_every_alert() -> None:
    from deploy.observability.rules import RULES as ALERTS

    written = {rule.get("alert") for group in prometheus_rule()["spec"]["groups"] for rule in group["rules"]}
    assert written >= {one.name for one in ALERTS}
