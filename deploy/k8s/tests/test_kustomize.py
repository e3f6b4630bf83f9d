"""The part of Kustomize that our folders use. `make check-k8s` compares it with kubectl."""

from pathlib import Path

import pytest
import yaml

from deploy.k8s.kustomize import Object, build, comparable, documents

DEPLOYMENT = """
kind: Deployment
metadata: {name: post}
spec:
  template:
    metadata: {labels: {a: b}}
    spec:
      containers:
      - {name: app, image: feedmill-post, env: [{name: A, value: "1"}]}
"""


def written(folder: Path, kustomization: str, **files: str) -> list[Object]:
    (folder / "post.yaml").write_text(DEPLOYMENT)
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    (folder / "kustomization.yaml").write_text(f"resources: [post.yaml]\n{kustomization}")
    return build(folder)


def test_a_patch_merges_lists_by_name(tmp_path: Path) -> None:
    patch = """
kind: Deployment
metadata: {name: all}
spec: {template: {spec: {containers: [{name: app, env: [{name: B, value: "2"}]}, {name: other, image: x}]}}}
"""
    (one,) = written(tmp_path, "patches: [{path: patch.yaml, target: {kind: Deployment}}]", patch=patch)
    app, other = one["spec"]["template"]["spec"]["containers"]
    assert app == {
        "name": "app",
        "image": "feedmill-post",
        "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
    }
    assert other == {"name": "other", "image": "x"}


def test_labels_images_and_settings(tmp_path: Path) -> None:
    text = """
namespace: here
labels: [{pairs: {part: of}, includeTemplates: true}]
images: [{name: feedmill-post, newName: registry/feedmill-post, newTag: "1"}]
configMapGenerator: [{name: settings, literals: [A=1=2]}]
"""
    one, settings = written(tmp_path, text)
    assert one["metadata"] == {"name": "post", "namespace": "here", "labels": {"part": "of"}}
    assert one["spec"]["template"]["metadata"]["labels"] == {"a": "b", "part": "of"}
    assert one["spec"]["template"]["spec"]["containers"][0]["image"] == "registry/feedmill-post:1"
    assert settings["data"] == {"A": "1=2"}


def test_what_it_does_not_know_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="replacements"):
        written(tmp_path, "replacements: []")


def test_a_patch_that_changes_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="changes nothing"):
        written(tmp_path, "patches: [{patch: '{kind: Deployment}', target: {kind: Deployment, name: feed}}]")


def test_a_key_that_stands_twice_is_an_error() -> None:
    with pytest.raises(yaml.YAMLError, match="stands twice"):
        documents("a: 1\na: 2\n")


def test_objects_are_compared_without_hash_and_order() -> None:
    one = {"kind": "ConfigMap", "metadata": {"name": "feedmill-settings-b82d75kk7b"}}
    assert comparable([one]) == comparable([{"kind": "ConfigMap", "metadata": {"name": "feedmill-settings"}}])
