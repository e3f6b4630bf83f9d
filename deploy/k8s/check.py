"""Rules for the objects of an overlay, from the table of deployables, the settings and the contracts of topics.

A rule yields findings, one sentence each. What Kubernetes itself checks is not repeated here.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from pydantic import ValidationError
from pydantic_settings import BaseSettings

from deploy.k8s.kustomize import Object, containers, pod
from gateway.settings import GatewaySettings
from libs.common.core.settings import Settings, faults
from libs.common.web.runtime import LEAVE_S
from libs.contracts.topics import TOPICS, dead_letter_topic
from libs.deployables import DEPLOYABLES, SERVICES, Deployable
from libs.deployables.application import Application

APPS, STORES, DNS = "feedmill", "feedmill-stores", "kube-system"
PORT = 8000
STORE_PORTS = {"cassandra": 9042, "kafka": 9092, "postgres": 5432, "redis": 6379}
GATEWAY, OBSERVER = "gateway", "gateway-metrics"  # the second is a container in the pods of the first
SINGLE = ("canary",)
CPU_OF_LOCAL = 1.5
PUSH_THRESHOLD = "10000"
STABLE_S = 300
SCALE = {"feed": (10, 500), "post": (5, 200), "fanout": (20, 1_000), "media-worker": (10, 200)}
"""Scale §9.1: pods at a time, and at most. The queue of the media service is the lag of its worker."""
SECRETS: Mapping[str, tuple[str, ...]] = {
    "feedmill-internal": ("FEEDMILL_INTERNAL_SECRET", "FEEDMILL_CURSOR_SECRET"),
    "feedmill-postgres": ("FEEDMILL_POSTGRES_DSN",),
    "feedmill-redis": ("FEEDMILL_REDIS_URL",),
    "feedmill-s3": ("FEEDMILL_S3_ACCESS_KEY_ID", "FEEDMILL_S3_SECRET_ACCESS_KEY"),
    "feedmill-jwt": (),
    "postgres": ("POSTGRES_PASSWORD",),
}
"""What people create themselves: docs/deploy.md names each."""
_UNITS = {"m": 1e-3, "": 1.0}


@dataclass(frozen=True)
class Overlay:
    """The objects of an overlay, as Kustomize renders them."""

    name: str
    objects: list[Object]

    def all(self, kind: str) -> list[Object]:
        """Return the objects of a kind."""
        return [one for one in self.objects if one["kind"] == kind]

    def find(self, kind: str, name: str) -> Object | None:
        """Return an object, or None."""
        return next((one for one in self.all(kind) if one["metadata"]["name"] == name), None)

    @property
    def workloads(self) -> list[Object]:
        """Return everything that runs pods of ours."""
        return [one for kind in ("Deployment", "StatefulSet", "Job") for one in self.all(kind)]

    @property
    def settings(self) -> dict[str, str]:
        """Return the variables of the ConfigMap that all processes get."""
        found = (one for one in self.all("ConfigMap") if one["metadata"]["name"].startswith("feedmill-settings"))
        return dict(next(found, {"data": {}})["data"])


Rule = Callable[[Overlay], Iterator[str]]


def findings(overlay: Overlay) -> list[str]:
    """Apply all rules."""
    return [f"{overlay.name}: {one}" for rule in RULES for one in rule(overlay)]


def _name(one: Object) -> str:
    return str(one["metadata"]["name"])


def _where(row: Deployable) -> str:
    """The Deployment in which a deployable runs."""
    return GATEWAY if row.name == OBSERVER else row.name


def _app(one: Object | None) -> Object:
    return next(
        (container for container in pod(one or {"kind": ""}).get("containers", []) if container["name"] == "app"), {}
    )


def _image(container: Object) -> str:
    return str(container.get("image", "")).rpartition("/")[2].partition(":")[0]


def _variables(overlay: Overlay, container: Object) -> dict[str, str]:
    """What the process reads. A value from a Secret is its key."""
    found = overlay.settings if container.get("envFrom") else {}
    return found | {one["name"]: one.get("value", one["name"]) for one in container.get("env", [])}


def application(row: Deployable) -> Application[Any]:
    """Return the composition of a deployable."""
    module = import_module(row.module)
    found = (import_module(f"{row.module}.__main__") if hasattr(module, "__path__") else module).APPLICATION
    assert isinstance(found, Application)
    return found


def every_deployable_runs(overlay: Overlay) -> Iterator[str]:
    """Each row of the table has a container, and nothing else runs."""
    expected = {_where(row) for row in DEPLOYABLES}
    yield from (
        f"{name} has no Deployment" for name in sorted(expected - {_name(one) for one in overlay.all("Deployment")})
    )
    yield from (
        f"Deployment {_name(one)} is in no row of libs/deployables"
        for one in overlay.all("Deployment")
        if _name(one) not in expected
    )
    for row in DEPLOYABLES:
        if (deployment := overlay.find("Deployment", _where(row))) is None:
            continue
        app = _app(deployment)
        if _image(app) != f"feedmill-{_where(row)}":
            yield f"{row.name} runs the image {app.get('image')}"
        package = row.module.partition(".")[0] in ("ops", "gateway")
        says = [*app.get("command", []), *(f"{one['name']}={one.get('value')}" for one in app.get("env", []))]
        if package and not any(f"FEEDMILL_DEPLOYABLE={row.module}" in one or f"-m {row.module}" in one for one in says):
            yield f"{row.name} does not run {row.module}"


def every_service_has_a_name(overlay: Overlay) -> Iterator[str]:
    """Services are found by their name, in the cluster and in the settings."""
    for row in SERVICES:
        service = overlay.find("Service", row.name)
        if service is None:
            yield f"{row.name} has no Service"
        elif (
            service["spec"]["selector"] != {"app.kubernetes.io/name": row.name}
            or service["spec"]["ports"][0]["port"] != PORT
        ):
            yield f"Service {row.name} does not lead to port {PORT} of {row.name}"
        variable, url = f"FEEDMILL_{row.name.upper()}_URL", f"http://{row.name}:{PORT}"
        if overlay.settings.get(variable) != url:
            yield f"{variable} is not {url}"


def every_store_is_migrated(overlay: Overlay) -> Iterator[str]:
    """Migrations are Jobs with the image of their owner; topics come from a Job or from the operator."""
    owners = {f"{row.name}-migrate": row for row in DEPLOYABLES if row.store}
    for name, row in owners.items():
        job, owner = _app(overlay.find("Job", name)), _app(overlay.find("Deployment", row.name))
        if not job:
            yield f"{row.name} has a store and no Job {name}"
        elif (job.get("args"), job["image"]) != (["migrate"], owner.get("image")):
            yield f"Job {name} does not migrate with the image of {row.name}"
    topics = {_name(one) for one in overlay.all("KafkaTopic")}
    job = _app(overlay.find("Job", "topics"))
    if not topics and job.get("command") != ["python", "-m", "libs.common.kafka"]:
        yield "neither a Job nor KafkaTopics create the topics"
    if topics:
        wanted = {name for topic in TOPICS for name in (topic.name, dead_letter_topic(topic.name))}
        yield from (f"KafkaTopic {name} is missing or in no contract" for name in sorted(topics ^ wanted))
        if job:
            yield "both a Job and KafkaTopics create the topics"
    for topic in TOPICS:
        if (found := overlay.find("KafkaTopic", topic.name)) and found["spec"]["config"][
            "retention.ms"
        ] != topic.retention_ms:
            yield f"KafkaTopic {topic.name} is not retained for {topic.retention_ms} ms"


def pods_are_contained(overlay: Overlay) -> Iterator[str]:
    """Pod Security "restricted", a read-only root, no token, and versions that are said."""
    for one in overlay.workloads:
        spec, name = pod(one), f"{one['kind']} {_name(one)}"
        general = spec.get("securityContext", {})
        if not general.get("runAsNonRoot") or general.get("seccompProfile", {}).get("type") != "RuntimeDefault":
            yield f"{name} may run as root or without seccomp"
        if spec.get("automountServiceAccountToken") is not False:
            yield f"{name} gets a token of the API server"
        for container in containers(one):
            own = container.get("securityContext", {})
            if own.get("allowPrivilegeEscalation") is not False or own.get("capabilities", {}).get("drop") != ["ALL"]:
                yield f"{name}: {container['name']} may get more rights"
            if one["kind"] != "StatefulSet" and not own.get("readOnlyRootFilesystem"):
                yield f"{name}: {container['name']} may write to its root"
            if container["image"].rpartition(":")[2] in (container["image"], "latest", ""):
                yield f"{name}: {container['image']} has no version"


def resources_are_said(overlay: Overlay) -> Iterator[str]:
    """CPU requests are what autoscaling is a share of; a limit of memory is what a leak meets. CPU has no limit."""
    for one in overlay.workloads:
        for container in containers(one):
            asked, most = (container.get("resources", {}).get(part, {}) for part in ("requests", "limits"))
            place = f"{one['kind']} {_name(one)}: {container['name']}"
            if "cpu" not in asked or "memory" not in asked:
                yield f"{place} requests no CPU or no memory"
            if "memory" not in most:
                yield f"{place} has no limit of memory"
            if "cpu" in most:
                yield f"{place} has a limit of CPU, which makes it slow in bursts"
    if overlay.name == "local" and (total := sum(map(cpu, overlay.workloads))) > CPU_OF_LOCAL:
        yield f"all CPU requests together are {total:.3f}, more than {CPU_OF_LOCAL}"


def cpu(one: Object) -> float:
    """Return what one pod requests, in cores: the containers together, or the largest that starts them."""

    def requested(container: Object) -> float:
        text = str(container.get("resources", {}).get("requests", {}).get("cpu", 0))
        return float(text.removesuffix("m")) * _UNITS["m" if text.endswith("m") else ""]

    spec = pod(one)
    return max(sum(map(requested, spec["containers"])), *map(requested, spec.get("initContainers", [])), 0)


def probes_are_right(overlay: Overlay) -> Iterator[str]:
    """Liveness asks no store, and a pod has time to drain and to leave its groups."""
    wanted = {"livenessProbe": "/health/live", "startupProbe": "/health/live", "readinessProbe": "/health/ready"}
    common = {name: field.default for name, field in Settings.model_fields.items()}
    for one in overlay.all("Deployment"):
        for container in pod(one)["containers"]:
            place = f"{_name(one)}: {container['name']}"
            for probe, path in wanted.items():
                found = container.get(probe, {}).get("httpGet", {}).get("path")
                if found is None or (container["name"] == "app" and found != path):
                    yield f"{place} has the {probe} {found}"
            waits = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
            ready = container.get("readinessProbe", {})
            if waits < ready.get("periodSeconds", 10) * ready.get("failureThreshold", 3):
                yield f"{place} stops before others know it: preStop is {waits} s"
            read = _variables(overlay, container)
            delay, drain = (
                float(read.get(f"FEEDMILL_{name.upper()}", common[name])) for name in ("shutdown_delay_s", "drain_s")
            )
            if pod(one).get("terminationGracePeriodSeconds", 30) <= waits + delay + drain + LEAVE_S + 2:
                yield f"{place} is killed before it has drained"
        spread = [on["topologyKey"] for on in pod(one).get("topologySpreadConstraints", [])]
        if spread != ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]:
            yield f"{_name(one)} is not spread over zones and nodes"


def disruptions_are_bounded(overlay: Overlay) -> Iterator[str]:
    """A drain of a node ends, and takes one pod of a deployable at a time."""
    for one in overlay.all("Deployment"):
        budget = (overlay.find("PodDisruptionBudget", _name(one)) or {"spec": {}})["spec"]
        if (budget.get("maxUnavailable"), budget.get("selector")) != (1, one["spec"]["selector"]):
            yield f"{_name(one)} has no PodDisruptionBudget with maxUnavailable 1"


def everything_scales(overlay: Overlay) -> Iterator[str]:
    """Each Deployment has one autoscaler, with the unit and the maximum of scale §9.1."""
    for one in overlay.all("Deployment"):
        name = _name(one)
        hpa, keda = (overlay.find(kind, name) for kind in ("HorizontalPodAutoscaler", "ScaledObject"))
        if name in SINGLE:
            if hpa or keda or one["spec"].get("replicas") != 1:
                yield f"{name} must have one replica"
            continue
        if (hpa is None) == (keda is None):
            yield f"{name} has {'no' if hpa is None else 'more than one'} autoscaler"
            continue
        if "replicas" in one["spec"]:
            yield f"{name} sets replicas, so each `kubectl apply` undoes its autoscaler"
        spec: Any = (hpa or keda or {})["spec"]
        if spec["scaleTargetRef"]["name"] != name:
            yield f"the autoscaler {name} scales {spec['scaleTargetRef']['name']}"
        behavior = spec.get("behavior") or spec.get("advanced", {}).get("horizontalPodAutoscalerConfig", {}).get(
            "behavior", {}
        )
        if behavior.get("scaleDown", {}).get("stabilizationWindowSeconds") != STABLE_S:
            yield f"{name} is scaled down before {STABLE_S} s"
        unit, most = SCALE.get(name, (5, 200))
        found = [one["value"] for one in behavior.get("scaleUp", {}).get("policies", []) if one["type"] == "Pods"]
        if found != [unit]:
            yield f"{name} is scaled by {found} pods, not by {unit}"
        if overlay.name != "local" and spec.get("maxReplicas", spec.get("maxReplicaCount")) != most:
            yield f"{name} may not have {most} pods"
    yield from _keda(overlay)


def _keda(overlay: Overlay) -> Iterator[str]:
    rows = {row.name: row for row in DEPLOYABLES}
    for one in overlay.all("ScaledObject"):
        name, spec = _name(one), one["spec"]
        if spec["minReplicaCount"] < 2:
            yield f"ScaledObject {name} may have fewer than 2 pods"
        triggers = [trigger["metadata"] for trigger in spec["triggers"] if trigger["type"] == "kafka"]
        declared = [(group, topic) for group, topics in rows[name].consumes.items() for topic in topics]
        if triggers and [(one["consumerGroup"], one["topic"]) for one in triggers] != declared:
            yield f"ScaledObject {name} does not ask for {declared}"
        for trigger in triggers:
            topic = overlay.find("KafkaTopic", trigger["topic"])
            if topic and topic["spec"]["partitions"] < spec["maxReplicaCount"]:
                yield f"topic {trigger['topic']} has fewer partitions than {name} may have pods"


@dataclass(frozen=True)
class Pod:
    """A pod that sends or receives: its namespace and labels."""

    namespace: str
    labels: Mapping[str, str]


def _matches(selector: Object, labels: Mapping[str, str]) -> bool:
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    for one in selector.get("matchExpressions", []):
        if one["operator"] != "In":
            raise ValueError(f"no rule for the operator {one['operator']}")
        if labels.get(one["key"]) not in one["values"]:
            return False
    return True


def _peer(peer: Object, policy: Object, other: Pod) -> bool:
    if "ipBlock" in peer:
        return False
    where = peer.get("namespaceSelector")
    if where is None:
        if other.namespace != policy["metadata"]["namespace"]:
            return False
    elif not _matches(where, {"kubernetes.io/metadata.name": other.namespace}):
        return False
    return _matches(peer.get("podSelector", {}), other.labels)


def _open(policies: list[Object], one: Pod, other: Pod, port: int, protocol: str, direction: str) -> bool:
    """True if the policies of `one` let it send to (egress) or receive from (ingress) `other`."""
    ours = [
        policy
        for policy in policies
        if policy["metadata"]["namespace"] == one.namespace
        and _matches(policy["spec"]["podSelector"], one.labels)
        and direction
        in [
            kind.lower()
            for kind in policy["spec"].get(
                "policyTypes", ["Ingress", *(["Egress"] if "egress" in policy["spec"] else [])]
            )
        ]
    ]
    if not ours:
        return True
    for policy in ours:
        for rule in policy["spec"].get(direction, []):
            ports = rule.get("ports")
            peers = rule.get("from" if direction == "ingress" else "to")
            if ports and not any((at.get("port"), at.get("protocol", "TCP")) == (port, protocol) for at in ports):
                continue
            if peers is None or any(_peer(peer, policy, other) for peer in peers):
                return True
    return False


def may_connect(overlay: Overlay, one: Pod, other: Pod, port: int, protocol: str = "TCP") -> bool:
    """True if the NetworkPolicies at both ends allow the connection."""
    policies = overlay.all("NetworkPolicy")
    return _open(policies, one, other, port, protocol, "egress") and _open(
        policies, other, one, port, protocol, "ingress"
    )


def _clients(overlay: Overlay) -> dict[str, tuple[set[str], set[str]]]:
    """Return the pods of ours by name, with the services and stores that they connect to."""
    clients: dict[str, tuple[set[str], set[str]]] = {
        row.name: (set(row.calls), set(row.backends)) for row in DEPLOYABLES if row.name != OBSERVER
    }
    (observer,) = (row for row in DEPLOYABLES if row.name == OBSERVER)
    clients[GATEWAY] = ({row.name for row in SERVICES} | set(observer.calls), set(observer.backends))
    clients |= {f"{row.name}-migrate": (set(), {row.store}) for row in DEPLOYABLES if row.store}
    return clients | ({"topics": (set(), {"kafka"})} if overlay.find("Job", "topics") else {})


def edges_are_those_of_the_table(overlay: Overlay) -> Iterator[str]:
    """Every pair of pods may connect exactly if the table says that one calls or uses the other."""
    clients = _clients(overlay)
    overlay = Overlay(overlay.name, overlay.all("NetworkPolicy"))
    part = {"app.kubernetes.io/part-of": "feedmill"}
    at = {name: Pod(APPS, {**part, "app.kubernetes.io/name": name}) for name in clients}
    stores = {name: Pod(STORES, {"feedmill.dev/store": name}) for name in STORE_PORTS}
    stranger, dns = Pod("default", {}), Pod(DNS, {"k8s-app": "kube-dns"})
    wanted = [(name, at[name], other, at[other], PORT, other in clients[name][0]) for name in at for other in at]
    wanted += [(a, at[a], b, stores[b], STORE_PORTS[b], b in clients[a][1]) for a in at for b in stores]
    wanted += [("a stranger", stranger, name, place, PORT, False) for name, place in at.items()]
    wanted += [("a stranger", stranger, name, place, STORE_PORTS[name], False) for name, place in stores.items()]
    wanted += [("a client", stranger, GATEWAY, at[GATEWAY], 8080, True)]
    for name, one, other, place, port, allowed in wanted:
        if name != other and may_connect(overlay, one, place, port) != allowed:
            yield f"{name} {'may not' if allowed else 'may'} connect to {other}"
    for name, one in at.items():
        if not all(may_connect(overlay, one, dns, 53, protocol) for protocol in ("UDP", "TCP")):
            yield f"{name} may not ask for names by UDP and by TCP"


def settings_exist(overlay: Overlay) -> Iterator[str]:
    """Each variable is one of a settings class, and its value is accepted."""
    urls = {f"FEEDMILL_{row.name.upper()}_URL" for row in SERVICES}
    classes: dict[str, type[Settings]] = {row.name: application(row).settings for row in DEPLOYABLES}
    known = {
        f"FEEDMILL_{name.upper()}"
        for fields in [*(one.model_fields for one in classes.values()), GatewaySettings.model_fields]
        for name in fields
    }
    used = {name for one in overlay.workloads for part in containers(one) for name in _variables(overlay, part)}
    for name in sorted(one for one in used if one.startswith("FEEDMILL_")):
        if name not in known | urls | {"FEEDMILL_DEPLOYABLE"}:
            yield f"no process reads {name}"
    if overlay.settings.get("FEEDMILL_PUSH_THRESHOLD") != PUSH_THRESHOLD:
        yield f"FEEDMILL_PUSH_THRESHOLD is not {PUSH_THRESHOLD}"
    for row in DEPLOYABLES:
        yield from _accepted(
            row.name, classes[row.name], _variables(overlay, _app(overlay.find("Deployment", _where(row))))
        )
    yield from _accepted(GATEWAY, GatewaySettings, overlay.settings)


def _accepted(name: str, settings: type[BaseSettings], variables: Mapping[str, str]) -> Iterator[str]:
    given: dict[str, Any] = {key.removeprefix("FEEDMILL_").lower(): value for key, value in variables.items()}
    try:
        settings(**{key: value for key, value in given.items() if key in settings.model_fields})
    except ValidationError as error:
        yield from (f"{name}: {fault}" for fault in faults(error))


def references_lead_somewhere(overlay: Overlay) -> Iterator[str]:
    """Each ConfigMap exists, and each key of a Secret is one that people are asked to create."""
    maps = {_name(one) for one in overlay.all("ConfigMap")}
    for one in overlay.workloads:
        place = f"{one['kind']} {_name(one)}"
        for container in containers(one):
            for source in container.get("envFrom", []):
                if (name := source.get("configMapRef", {}).get("name")) not in maps:
                    yield f"{place}: no ConfigMap {name}"
            for variable in container.get("env", []):
                if not (ref := variable.get("valueFrom", {}).get("secretKeyRef")):
                    continue
                if ref["key"] not in SECRETS.get(ref["name"], ()) or ref["key"] != variable["name"]:
                    yield f"{place}: nobody creates {ref['key']} of the Secret {ref['name']}"
        for volume in pod(one).get("volumes", []):
            if (secret := volume.get("secret", {}).get("secretName")) and secret not in SECRETS:
                yield f"{place}: nobody creates the Secret {secret}"


def everything_is_scraped(overlay: Overlay) -> Iterator[str]:
    """Where there are monitors, each deployable has one, under its name."""
    if not (monitors := [*overlay.all("ServiceMonitor"), *overlay.all("PodMonitor")]):
        return
    for row in DEPLOYABLES:
        labels, kind = {"app.kubernetes.io/name": _where(row)}, "ServiceMonitor" if row.port else "PodMonitor"
        found = [one for one in monitors if one["kind"] == kind and _matches(one["spec"]["selector"], labels)]
        jobs = [
            rule.get("replacement")
            for one in found
            for rule in one["spec"].get("podMetricsEndpoints", [{}])[0].get("relabelings", [])
        ]
        if len(found) != 1 or (jobs != [row.name] and found[0]["spec"].get("jobLabel") != "app.kubernetes.io/name"):
            yield f"{row.name} is not scraped once, with its name as the label job"


RULES: tuple[Rule, ...] = (
    every_deployable_runs,
    every_service_has_a_name,
    every_store_is_migrated,
    pods_are_contained,
    resources_are_said,
    probes_are_right,
    disruptions_are_bounded,
    everything_scales,
    edges_are_those_of_the_table,
    settings_exist,
    references_lead_somewhere,
    everything_is_scraped,
)
