"""What `kubectl kustomize` makes of our folders, without kubectl: as much of Kustomize as they use.

`make check-k8s` compares the result with that of kubectl.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

Object = dict[str, Any]
_MERGED_BY = {
    "containers": "name",
    "initContainers": "name",
    "env": "name",
    "volumes": "name",
    "volumeMounts": "mountPath",
    "ports": "containerPort",
}
_KNOWN = {
    "apiVersion",
    "kind",
    "namespace",
    "labels",
    "resources",
    "components",
    "images",
    "configMapGenerator",
    "patches",
}


class UniqueKeys(yaml.SafeLoader):  # type: ignore[misc]  # yaml has no types
    """A safe loader for which a key that stands twice in a mapping is an error."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        keys = [key.value for key, _ in node.value if key.value != "<<"]
        if len(keys) != len(set(keys)):
            raise yaml.constructor.ConstructorError(None, None, f"a key stands twice: {keys}", node.start_mark)
        return super().construct_mapping(node, deep)


def documents(text: str) -> list[Any]:
    """Parse YAML documents strictly. Raises yaml.YAMLError."""
    return [one for one in yaml.load_all(text, UniqueKeys) if one]


def build(folder: Path) -> list[Object]:
    """Return the objects of an overlay, in no particular order. The names of ConfigMaps get no hash.

    Raises:
        ValueError: a kustomization uses a field that this module does not know, or a patch changes nothing.
    """
    return _apply(folder, [])


def _apply(folder: Path, objects: list[Object]) -> list[Object]:
    (kustomization,) = documents((folder / "kustomization.yaml").read_text())
    if unknown := set(kustomization) - _KNOWN:
        raise ValueError(f"{folder}: {', '.join(sorted(unknown))}")
    for name in kustomization.get("resources", []):
        path = folder / name
        objects += build(path) if path.is_dir() else documents(path.read_text())
    for name in kustomization.get("components", []):
        objects = _apply(folder / name, objects)
    for given in kustomization.get("configMapGenerator", []):
        _generate(folder, given, objects)
    for given in kustomization.get("patches", []):
        objects = _patch(folder, given, objects)
    for one in objects:
        _transform(one, kustomization)
    return objects


def _generate(folder: Path, given: Object, objects: list[Object]) -> None:
    lines = list(given.get("literals", []))
    for name in given.get("envs", []):
        lines += [line for line in (folder / name).read_text().splitlines() if line and not line.startswith("#")]
    data = dict(line.split("=", 1) for line in lines)
    if given.get("behavior") == "merge":
        (found,) = (one for one in objects if one["kind"] == "ConfigMap" and one["metadata"]["name"] == given["name"])
        found["data"] |= data
    else:
        objects.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": given["name"]}, "data": data})


def _patch(folder: Path, given: Object, objects: list[Object]) -> list[Object]:
    text = given["patch"] if "patch" in given else (folder / given["path"]).read_text()
    (patch,) = documents(text)
    target = given.get("target") or {"kind": patch["kind"], "name": patch["metadata"]["name"]}
    name = re.compile(target.get("name", ".*"))
    chosen = [one for one in objects if one["kind"] == target["kind"] and name.fullmatch(one["metadata"]["name"])]
    if not chosen:
        raise ValueError(f"{folder}: a patch for {target} changes nothing")
    if isinstance(patch, dict) and patch.get("$patch") == "delete":
        return [one for one in objects if one not in chosen]
    for one in chosen:
        if isinstance(patch, list):
            for change in patch:
                _replace(one, change)
        else:
            one["spec"] = _merge(one["spec"], patch["spec"])
    return objects


def _replace(one: Object, change: Object) -> None:
    *parents, last = (part.replace("~1", "/") for part in change["path"].strip("/").split("/"))
    place: Any = one
    for part in parents:
        place = place[int(part) if isinstance(place, list) else part]
    if change["op"] != "replace" or last not in place:
        raise ValueError(f"{change} of {one['metadata']['name']}")
    place[last] = change["value"]


def _merge(old: Any, new: Any, key: str = "") -> Any:
    if isinstance(old, dict) and isinstance(new, dict):
        return old | {name: _merge(old.get(name), value, name) for name, value in new.items()}
    if isinstance(old, list) and isinstance(new, list) and key in _MERGED_BY:
        by = _MERGED_BY[key]
        merged = {item[by]: item for item in old}
        for item in new:
            merged[item[by]] = _merge(merged.get(item[by]), item)
        return list(merged.values())
    return new


def _transform(one: Object, kustomization: Object) -> None:
    metadata = one["metadata"]
    if namespace := kustomization.get("namespace"):
        if one["kind"] == "Namespace":
            metadata["name"] = namespace
        else:
            metadata["namespace"] = namespace
    for label in kustomization.get("labels", []):
        templates = [one["spec"]["template"]["metadata"]] if label.get("includeTemplates") and _template(one) else []
        for place in (metadata, *templates):
            place["labels"] = place.get("labels", {}) | label["pairs"]
    for image in kustomization.get("images", []):
        for container in containers(one):
            if container["image"] == image["name"]:
                container["image"] = f"{image.get('newName', image['name'])}:{image['newTag']}"


def _template(one: Object) -> Object | None:
    template = one.get("spec", {}).get("template")
    return template if one["kind"] in ("Deployment", "StatefulSet", "Job") else None


def pod(one: Object) -> Object:
    """Return the pod spec of an object, or an empty one."""
    template = _template(one)
    return template["spec"] if template else {}


def containers(one: Object) -> Iterator[Object]:
    """Yield all containers of an object, those of its start included."""
    yield from pod(one).get("initContainers", [])
    yield from pod(one).get("containers", [])


def comparable(objects: list[Object]) -> dict[str, Object]:
    """Return objects by kind, namespace and name, without the hash of ConfigMaps and the order of merged lists."""

    def plain(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: plain(part, name) for name, part in value.items()}
        if isinstance(value, list):
            by = _MERGED_BY.get(key)
            if by and all(isinstance(item, dict) and by in item for item in value):
                return {item[by]: plain(item) for item in value}
            return [plain(item) for item in value]
        return re.sub(r"^(feedmill-settings)-\w{10}$", r"\1", value) if isinstance(value, str) else value

    found = [plain(one) for one in objects]
    return {
        "/".join((one["kind"], one["metadata"].get("namespace", ""), one["metadata"]["name"])): one for one in found
    }
