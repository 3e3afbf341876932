"""The Kubernetes manifest is valid and its references resolve; the Dockerfile passes hadolint."""

import os
import shutil
import subprocess
import sysconfig

import kubernetes_validate
import pytest
import yaml
from faults import ROOT

from ssdie.cli import COMMANDS, main

OBJECTS = list(yaml.safe_load_all((ROOT / "examples" / "kubernetes.yaml").read_text(encoding="utf-8")))
RELEASE = "1.30"  # oldest supported release of Kubernetes


def pods() -> list[dict]:
    return [found["spec"]["template"]["spec"] for found in OBJECTS if "template" in found["spec"]]


@pytest.mark.parametrize("document", OBJECTS, ids=lambda found: f"{found['kind']} {found['metadata']['name']}")
def test_the_manifest_is_valid(document):
    kubernetes_validate.validate(document, RELEASE, strict=True)


def test_validation_refuses_an_unknown_field():
    with pytest.raises(kubernetes_validate.ValidationError, match="replica"):
        kubernetes_validate.validate(OBJECTS[1] | {"spec": OBJECTS[1]["spec"] | {"replica": 1}}, RELEASE, strict=True)


def test_references_in_the_manifest_resolve():
    named = {(found["kind"], found["metadata"]["name"]): found for found in OBJECTS}
    assert len(named) == len(OBJECTS)
    service = named["Service", "ssdie-scheduler"]["spec"]
    labels = [found["spec"]["template"]["metadata"]["labels"] for found in OBJECTS if found["kind"] == "Deployment"]
    assert service["selector"] in labels
    ports = {port["containerPort"] for pod in pods() for one in pod["containers"] for port in one.get("ports", [])}
    assert {port["port"] for port in service["ports"]} <= ports
    for pod in pods():
        volumes = {volume["name"]: volume["persistentVolumeClaim"]["claimName"] for volume in pod.get("volumes", [])}
        assert all(("PersistentVolumeClaim", claim) in named for claim in volumes.values())
        for container in pod["containers"]:
            assert {mount["name"] for mount in container.get("volumeMounts", [])} == set(volumes)
            words = " ".join(container.get("command", []) + container.get("args", []))
            assert "tcp://" not in words or "tcp://ssdie-scheduler:8786" in words


def test_no_container_runs_as_root_and_each_has_a_memory_limit():
    assert len(pods()) == 3
    for pod in pods():
        assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] == 1000
        assert all(container["resources"]["limits"]["memory"] for container in pod["containers"])


def test_the_client_in_the_manifest_runs_ssdie_enhance(monkeypatch):
    (words,) = [one["args"] for pod in pods() for one in pod["containers"] if "args" in one]
    seen = []
    replaced = COMMANDS["enhance"]._replace(run=lambda args: seen.append(args) or 0)
    monkeypatch.setitem(COMMANDS, "enhance", replaced)
    assert main(words) == 0 and seen[0].resume and seen[0].cluster == "tcp://ssdie-scheduler:8786"


def test_the_dockerfile_passes_hadolint():
    program = shutil.which("hadolint", path=f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ['PATH']}")
    if program is None:
        pytest.skip("hadolint comes with the extra dev")
    done = subprocess.run([program, ROOT / "Dockerfile"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
