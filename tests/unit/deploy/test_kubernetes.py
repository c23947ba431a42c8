"""The Kubernetes overlays: valid, complete, and locked down."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.settings import Settings
from tests.support.deploy.manifests import KUBERNETES, OVERLAYS, containers, pod_spec, problems, render

KINDS_OF_PODS = {"Deployment", "StatefulSet", "Job"}


@pytest.fixture(scope="module", params=OVERLAYS)
def overlay(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    """The objects of one overlay."""
    return render(KUBERNETES / "overlays" / request.param)


def named(objects: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    [found] = [m for m in objects if (m["kind"], m["metadata"]["name"]) == (kind, name)]
    return found


def test_every_object_is_valid(overlay: list[dict[str, Any]]) -> None:
    assert list(problems(overlay)) == []


def test_a_wrong_field_and_an_unknown_kind_are_found() -> None:
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"port": 1}}
    assert any("port" in line for line in problems([service]))
    unknown = {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "t"}}
    assert list(problems([unknown])) != []


def test_no_file_is_left_out_of_the_kustomizations() -> None:
    for folder in (KUBERNETES / "base", *(KUBERNETES / "overlays" / name for name in OVERLAYS)):
        kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text(encoding="utf-8"))
        used = {*kustomization["resources"], *(patch["path"] for patch in kustomization.get("patches", []))}
        there = {path.name for path in folder.glob("*.yaml")} - {"kustomization.yaml"}
        assert there == used - {"../../base"}


def test_pods_are_locked_down(overlay: list[dict[str, Any]]) -> None:
    made = [manifest for manifest in overlay if manifest["kind"] in KINDS_OF_PODS]
    assert made
    for manifest in made:
        pod = pod_spec(manifest)
        assert pod is not None
        assert pod["securityContext"]["runAsNonRoot"]
        assert not pod["automountServiceAccountToken"]
        for container in containers(manifest):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert {"cpu", "memory"} <= set(container["resources"]["limits"])
            assert ":" in container["image"], f"{container['image']} has no tag from the kustomization"
            assert {mount["name"] for mount in container.get("volumeMounts", [])} <= volume_names(manifest)


def volume_names(manifest: Mapping[str, Any]) -> set[str]:
    spec = manifest["spec"]
    claims = {claim["metadata"]["name"] for claim in spec.get("volumeClaimTemplates", [])}
    return claims | {volume["name"] for volume in spec["template"]["spec"].get("volumes", [])}


def test_selectors_and_targets_are_there(overlay: list[dict[str, Any]]) -> None:
    labels = {m["metadata"]["name"]: m["spec"]["template"]["metadata"]["labels"] for m in overlay if pod_spec(m)}
    for manifest in overlay:
        if manifest["kind"] in {"Service", "PodDisruptionBudget"}:
            selector = manifest["spec"]["selector"]
            assert selector.get("matchLabels", selector).items() <= labels[manifest["metadata"]["name"]].items()
        if manifest["kind"] == "HorizontalPodAutoscaler":
            target = manifest["spec"]["scaleTargetRef"]
            named(overlay, target["kind"], target["name"])
            assert "replicas" not in named(overlay, target["kind"], target["name"])["spec"], "the autoscaler's to set"


def test_the_gateways_settings_are_settings(overlay: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    [gateway] = containers(named(overlay, "Deployment", "weaksam-gateway"))
    given = {row["name"]: row["value"] for row in gateway["env"]}
    given |= named(overlay, "ConfigMap", gateway["envFrom"][0]["configMapRef"]["name"])["data"]
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert {name.removeprefix("WEAKSAM_").lower() for name in given} <= set(Settings.model_fields)
    pod = pod_spec(named(overlay, "Deployment", "weaksam-gateway"))
    assert pod is not None
    assert pod["terminationGracePeriodSeconds"] > settings.drain_s + settings.shutdown_grace_s
    assert pod["enableServiceLinks"] is False, "the variables of Services would be no settings"


def test_the_gateway_knows_every_triton_that_there_may_be() -> None:
    objects = render(KUBERNETES / "overlays" / "gpu")
    most = named(objects, "HorizontalPodAutoscaler", "weaksam-triton")["spec"]["maxReplicas"]
    urls = named(objects, "ConfigMap", "weaksam-gateway")["data"]["WEAKSAM_TRITON_URLS"]
    assert urls.split(",") == [f"weaksam-triton-{index}.weaksam-triton:8001" for index in range(most)]


def test_the_adapter_makes_the_figures_that_the_autoscalers_read() -> None:
    rules = yaml.safe_load((KUBERNETES / "adapter" / "values.yaml").read_text(encoding="utf-8"))["rules"]["custom"]
    read = {
        metric["pods"]["metric"]["name"]
        for manifest in render(KUBERNETES / "overlays" / "gpu")
        if manifest["kind"] == "HorizontalPodAutoscaler"
        for metric in manifest["spec"]["metrics"]
    }
    assert {rule["name"]["as"] for rule in rules} == read


WRONG = {
    "a file that is not there": ({"resources": ["gone.yaml"]}, "gone.yaml"),
    "a feature that is not understood": ({"resources": [], "namePrefix": "x-"}, "namePrefix"),
    "a patch for nothing": (
        {"resources": [], "patches": [{"target": {"kind": "Job", "name": "j"}, "path": "p.yaml"}]},
        "Job j, of which there are 0",
    ),
}


@pytest.mark.parametrize(("kustomization", "sentence"), WRONG.values(), ids=list(WRONG))
def test_a_wrong_kustomization_is_refused(tmp_path: Path, kustomization: dict[str, Any], sentence: str) -> None:
    (tmp_path / "p.yaml").write_text("[]")
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump({"namespace": "n", **kustomization}))
    with pytest.raises(ValueError, match=sentence):
        render(tmp_path)
