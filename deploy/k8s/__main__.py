"""`python -m deploy.k8s`: check the overlays with kubectl and what else is installed, or print the PrometheusRule.

check: our rules, kubectl kustomize, kubeconform, kube-score, checkov, and a dry-run in the cluster of KUBECONFIG

rules: the alerts of deploy/observability as a PrometheusRule, for `kubectl apply -f -`.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deploy.k8s import check, kustomize
from deploy.observability import rules
from deploy.observability.timing import Timing

FOLDER = Path(__file__).parent
OVERLAYS = tuple(sorted(path.name for path in (FOLDER / "overlays").iterdir()))
NAMESPACES = (check.APPS, check.STORES)
KUBECTL = os.environ.get("KUBECTL", "kubectl")
SCHEMAS = os.environ.get("SCHEMAS", "default").split()
"""Where kubeconform finds schemas: `default` needs the network and has no CRDs."""


def prometheus_rule() -> kustomize.Object:
    """The alerts and recording rules, as an object of the Prometheus operator."""
    (text,) = rules.files(Timing(1), os.environ).values()
    metadata = {"name": "feedmill", "namespace": check.APPS, "labels": {"app.kubernetes.io/part-of": "feedmill"}}
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": metadata,
        "spec": json.loads(text),
    }


class Checks:
    """Collects findings and what could not be checked."""

    def __init__(self) -> None:
        self.findings: list[str] = []
        self.skipped: list[str] = []
        self._exceptions = kustomize.documents((FOLDER / "exceptions.yml").read_text())[0]
        self._used: set[str] = set()
        self._tools: set[str] = set()

    def run(self) -> None:
        """Check every overlay."""
        with tempfile.TemporaryDirectory() as folder:
            files = [self._rendered(name, Path(folder)) for name in OVERLAYS]
            for file in files:
                self._kubeconform(file)
                self._kube_score(file)
                self._checkov(file)
            self._dry_run(files)
        for one in self._exceptions:
            if one["tool"] in self._tools and one["what"] not in self._used:
                self.findings.append(f"exceptions.yml: {one['tool']} does not say: {one['what']}")

    def _rendered(self, name: str, folder: Path) -> Path:
        text = _run(KUBECTL, "kustomize", str(FOLDER / "overlays" / name)).stdout
        objects = kustomize.documents(text)
        ours, theirs = (kustomize.comparable(one) for one in (kustomize.build(FOLDER / "overlays" / name), objects))
        different = sorted(key for key in {*ours, *theirs} if ours.get(key) != theirs.get(key))
        self.findings += [
            f"{name}: kubectl renders {key} differently from deploy/k8s/kustomize.py" for key in different
        ]
        self.findings += check.findings(check.Overlay(name, objects))
        file = folder / f"{name}.yaml"
        extra = f"---\n{json.dumps(prometheus_rule())}\n" if name == "prod" else ""
        file.write_text(f"{text}{extra}")
        print(f"{name}: {len(objects)} objects")
        return file

    def _kubeconform(self, file: Path) -> None:
        if not self._has("kubeconform"):
            return
        locations = [part for one in SCHEMAS for part in ("-schema-location", one)]
        done = _run("kubeconform", "-strict", "-output", "json", *locations, str(file), may_fail=True)
        for one in json.loads(done.stdout or "{}").get("resources", []):
            what = f"{file.stem}: {one['kind']} {one['name']}: {one['msg']}"
            (self.skipped if "could not find schema" in one["msg"] else self.findings).append(f"kubeconform: {what}")

    def _kube_score(self, file: Path) -> None:
        if self._has("kube-score"):
            lines = _run("kube-score", "score", "--output-format", "ci", str(file), may_fail=True).stdout.splitlines()
            self._judge("kube-score", file, (one for one in lines if one.startswith(("[CRITICAL]", "[WARNING]"))))

    def _checkov(self, file: Path) -> None:
        if self._has("checkov"):
            options = ("--framework", "kubernetes", "--compact", "--quiet", "--output", "json", "--file", str(file))
            found = json.loads(_run("checkov", *options, may_fail=True).stdout)
            failed = found.get("results", {}).get("failed_checks", [])
            self._judge(
                "checkov", file, (f"{one['check_id']} {one['resource']}: {one['check_name']}" for one in failed)
            )

    def _judge(self, tool: str, file: Path, lines: Iterator[str]) -> None:
        for line in lines:
            covering = [one["what"] for one in self._exceptions if one["tool"] == tool and one["what"] in line]
            self._used.update(covering)
            if not covering:
                self.findings.append(f"{tool}: {file.stem}: {line}")

    def _dry_run(self, files: list[Path]) -> None:
        if not os.environ.get("KUBECONFIG"):
            self.skipped.append("server-side dry-run: KUBECONFIG names no cluster")
            return
        served = {
            tuple(line.split()[-3::2]) for line in _run(KUBECTL, "api-resources", "--no-headers").stdout.splitlines()
        }
        # Objects can't be tried in a namespace that does not exist. One that exists is not touched.
        missing = [one for one in NAMESPACES if _run(KUBECTL, "get", "namespace", one, may_fail=True).returncode]
        try:
            for file in files:
                objects = kustomize.documents(file.read_text())
                for one in objects:
                    if one["kind"] == "Namespace" and one["metadata"]["name"] in missing:
                        _run(KUBECTL, "apply", "--filename", "-", given=json.dumps(one))
                self._dry_run_of(file, objects, served)
        finally:
            if missing:
                _run(KUBECTL, "delete", "namespace", "--ignore-not-found", *missing)

    def _dry_run_of(self, file: Path, objects: list[kustomize.Object], served: set[tuple[Any, ...]]) -> None:
        known = []
        for one in objects:
            if (one["apiVersion"], one["kind"]) in served:
                known.append(json.dumps(one))
            else:
                self.skipped.append(f"server-side dry-run: {file.stem}: the cluster has no kind {one['kind']}")
        tried = file.with_suffix(".known.yaml")
        tried.write_text("\n---\n".join(known))
        options = ("--server-side", "--force-conflicts", "--dry-run=server", "--warnings-as-errors")
        done = _run(KUBECTL, "apply", *options, "--filename", str(tried), may_fail=True)
        if done.returncode:
            self.findings += [f"dry-run: {file.stem}: {line}" for line in done.stderr.splitlines()]
        print(f"{file.stem}: {len(known)} objects tried by the API server")

    def _has(self, tool: str) -> bool:
        if shutil.which(tool):
            self._tools.add(tool)
            return True
        if (missing := f"{tool}: not installed") not in self.skipped:
            self.skipped.append(missing)
        return False


def _run(*command: str, may_fail: bool = False, given: str = "") -> subprocess.CompletedProcess[str]:
    try:  # the tools are the operator's own
        done = subprocess.run(command, capture_output=True, text=True, check=False, input=given)  # noqa: S603
    except FileNotFoundError:
        sys.exit(f"{command[0]} is not installed")
    if done.returncode and not may_fail:
        sys.exit(f"{' '.join(command)}: {done.stderr.strip()}")
    return done


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m deploy.k8s", description=__doc__)
    parser.add_argument("command", choices=["check", "rules"])
    if parser.parse_args().command == "rules":
        print(json.dumps(prometheus_rule(), indent=2, ensure_ascii=False))
        return
    checks = Checks()
    checks.run()
    for one in checks.skipped:
        print(f"not checked: {one}")
    for one in checks.findings:
        print(one, file=sys.stderr)
    sys.exit(1 if checks.findings else 0)


if __name__ == "__main__":
    main()
