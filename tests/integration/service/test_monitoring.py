"""What Prometheus sees of a live gateway and of a live Triton, and what the dashboards make of it."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from shutil import which

import httpx
import pytest
import yaml

from models.bundle import Bundle
from service.app import create_app
from service.auth.api_keys import ApiKey, KeyFile, key_sha256, new_key, write_key_file
from service.observability.metrics import Metrics
from tests.support.bundles.service_parts import GREEN, RED, WatchedBackend, tiny_settings
from tests.support.bundles.tiny_bundle import encoded, picture
from tests.support.deploy.prometheus_server import MONITORING, PATIENCE_S, dashboard_queries, running_prometheus
from tests.support.servers.live_server import live_server
from tests.support.triton.fixtures import tiny_repository
from tests.support.triton.server import running_triton

PICTURES = [encoded(picture(((4, y, 20, y + 12), RED), ((40, 40, 56, 52), GREEN))) for y in (4, 24, 44)]
OF_TRITON = "Tritons that serve the bundle"
OF_GPUS = {"GPU utilisation", "GPU memory"}


@pytest.fixture
def key(tmp_path: Path) -> str:
    """A key of the service, kept in `keys.json`."""
    made = new_key()
    write_key_file(tmp_path / "keys.json", KeyFile(keys=(ApiKey(name="line-1", sha256=key_sha256(made)),)))
    return made


def post(client: httpx.Client, image: bytes, tags: str = "red-bolt,gasket") -> int:
    form = {"tags": tags, "unknown_tags": "skip"}
    return client.post("/detect", files={"image": image}, data=form).status_code


def test_every_query_of_the_gateways_dashboard_returns_data(tiny_bundle: Bundle, tmp_path: Path, key: str) -> None:
    backend = WatchedBackend(tiny_bundle)
    settings = tiny_settings(tiny_bundle.folder, api_keys_file=tmp_path / "keys.json", open_metrics=True)
    with (
        live_server(create_app(settings, backend)) as url,
        httpx.Client(base_url=url, timeout=PATIENCE_S, headers={"Authorization": f"Bearer {key}"}) as client,
        running_prometheus(tmp_path, {"gateway": url.removeprefix("http://")}) as prometheus,
    ):
        assert [post(client, image) for image in PICTURES] == [200] * 3
        backend.failing = True
        assert client.post("/detect", files={"image": PICTURES[0]}, data={"tags": "blue-wrench"}).status_code == 500
        backend.failing = False
        prometheus.wait_for('weaksam_requests_total{code="internal_error"}')
        # Growth that Prometheus sees: a first value is none.
        assert [post(client, image) for image in PICTURES * 2] == [200] * 6
        prometheus.wait_for('rate(weaksam_requests_total{code="ok",route="/detect"}[1m]) > 0')
        prometheus.wait_for('rate(weaksam_requests_total{code="internal_error"}[1m])')

        silent = {
            f"{title}: {query}"
            for title, queries in dashboard_queries("gateway").items()
            for query in queries
            if title != OF_TRITON and not prometheus.query(query)
        }
        assert silent == set()
        assert prometheus.value('weaksam_encodes_total{model="cam"} / on () weaksam_images_total') <= 1
        assert prometheus.value('weaksam_key_requests_total{key="line-1",outcome="admitted"}') == 10
        firing = {row["metric"]["alertname"] for row in prometheus.query("ALERTS{alertname!='WeaksamErrors'}")}
        assert firing == set(), "a gateway that answers sets off nothing but what the failing backend did"


def test_every_query_of_tritons_dashboard_returns_data(tiny_bundle: Bundle, tmp_path: Path) -> None:
    repository = tiny_repository(tiny_bundle, tmp_path / "repository")
    with running_triton(repository) as triton:
        settings = tiny_settings(tiny_bundle.folder, backend="triton", triton_urls=triton.grpc_url, cache_bytes=0)
        metrics = triton.metrics_url.removeprefix("http://").removesuffix("/metrics")
        with (
            live_server(create_app(settings)) as url,
            httpx.Client(base_url=url, timeout=PATIENCE_S) as client,
            running_prometheus(tmp_path, {"gateway": url.removeprefix("http://"), "triton": metrics}) as prometheus,
        ):
            assert post(client, PICTURES[0]) == 200
            prometheus.wait_for("nv_inference_request_success > 0")
            assert [post(client, image) for image in PICTURES * 2] == [200] * 6
            prometheus.wait_for('rate(nv_inference_request_success{model="wsod"}[1m]) > 0')
            queries = dashboard_queries("triton") | {OF_TRITON: dashboard_queries("gateway")[OF_TRITON]}
            silent = {title for title, asked in queries.items() for query in asked if not prometheus.query(query)}
            assert silent == OF_GPUS, "there is no GPU here"
            assert prometheus.value("min(weaksam_triton_serving)") == 1
            for rule in adapter_rules():
                assert prometheus.query(rule), rule


def adapter_rules() -> list[str]:
    """The queries that prometheus-adapter would make for every instance."""
    path = MONITORING.parent / "kubernetes" / "adapter" / "values.yaml"
    rules = yaml.safe_load(path.read_text(encoding="utf-8"))["rules"]["custom"]
    return [
        rule["metricsQuery"].replace("<<.GroupBy>>", "instance").replace("<<.LabelMatchers>>", 'instance!=""')
        for rule in rules
    ]


def test_the_page_on_monitoring_lists_every_metric(repository_dir: Path) -> None:
    page = (repository_dir / "docs" / "operations" / "monitoring.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `(weaksam_\w+)` \|", page, re.MULTILINE))
    families = Metrics().registry.collect()
    ours = {f"{family.name}_total" if family.type == "counter" else family.name for family in families}
    assert listed == {name for name in ours if name.startswith("weaksam_")}


@pytest.mark.parametrize("command", [["check", "config", "prometheus.yml"], ["test", "rules", "alerts_test.yml"]])
def test_promtool_agrees(command: list[str]) -> None:
    if which("promtool") is None:
        pytest.skip("there is no promtool: on Debian, apt-get install prometheus")
    ended = subprocess.run(["promtool", *command], cwd=MONITORING, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_every_alert_is_made_to_fire_and_to_stay_silent() -> None:
    groups = yaml.safe_load((MONITORING / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    alerts = {rule["alert"] for group in groups for rule in group["rules"]}
    _, faults = yaml.safe_load((MONITORING / "alerts_test.yml").read_text(encoding="utf-8"))["tests"]
    fired = re.findall(r'alertname="(\w+)"', str(faults["promql_expr_test"][0]["exp_samples"]))
    assert sorted(fired) == sorted(alerts)


def test_dashboards_use_the_provisioned_data_source() -> None:
    grafana = MONITORING / "grafana"
    source = yaml.safe_load((grafana / "provisioning" / "datasources" / "prometheus.yml").read_text(encoding="utf-8"))
    for path in (grafana / "dashboards").glob("*.json"):
        panels = json.loads(path.read_text(encoding="utf-8"))["panels"]
        used = {target["datasource"]["uid"] for panel in panels for target in panel["targets"]}
        assert used == {source["datasources"][0]["uid"]}
