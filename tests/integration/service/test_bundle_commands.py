"""`weaksam bundle check` and `show` on whole, partial and damaged bundles."""

from __future__ import annotations

import errno
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from models.bundle import MANIFEST, PROPOSAL_GRAPHS, Bundle, BundleError, Thresholds
from models.bundle_files.manifest import load_bundle, write_manifest
from service.errors import BackendMismatch
from tests.support.bundles.tiny_bundle import write_tiny_bundle
from weaksam.cli.bundle import bundle_app
from weaksam.errors import UserError


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return write_tiny_bundle(tmp_path)


def run(command: str, bundle: Bundle) -> str:
    ended = CliRunner(env={"COLUMNS": "160"}).invoke(bundle_app, [command, str(bundle.folder)], catch_exceptions=False)
    assert ended.exit_code == 0
    return ended.output


def test_a_whole_bundle(bundle: Bundle) -> None:
    assert run("check", bundle) == "tiny 1 is whole: 4 graphs, 3 labels\n"


def test_thresholds_are_shown_class_by_class(bundle: Bundle) -> None:
    write_manifest(replace(bundle, thresholds=Thresholds((0.11, 0.22, 0.33), (0.44, 0.55, 0.66))))
    rows = [line.replace("│", " ").split() for line in run("show", bundle).splitlines()]
    assert ["red-bolt", "rivet", "0.110", "0.440"] in rows
    assert ["green-nut", "0.220", "0.550"] in rows
    assert ["blue-wrench", "0.330", "0.660"] in rows
    assert any(row[:3] == ["cam", "64", "px"] for row in rows)


def test_a_bundle_for_proposals_is_whole_but_not_served(bundle: Bundle) -> None:
    write_manifest(replace(bundle, graphs={name: bundle.graphs[name] for name in PROPOSAL_GRAPHS}))
    assert "tiny 1 is whole: 3 graphs" in run("check", bundle)
    assert "cannot be served: there is no wsod." in run("check", bundle)
    assert "red-bolt" in run("show", bundle)


def test_a_graph_other_than_stated_is_found_though_its_digest_is_right(bundle: Bundle) -> None:
    manifest = json.loads((bundle.folder / MANIFEST).read_text())
    manifest["graphs"]["cam"]["outputs"][0]["shape"] = ["B", 4]
    (bundle.folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(BackendMismatch, match=r"graph cam has outputs .+,3\].+ bundle.json says .+,4\]"):
        run("check", bundle)


def test_a_changed_file_is_named(bundle: Bundle) -> None:
    bundle.path("wsod").write_bytes(b"x")
    with pytest.raises(BundleError, match="wsod.onnx has sha256"):
        run("check", bundle)


def test_sides_may_differ_between_segmenter_and_classifier_and_nowhere_else(bundle: Bundle) -> None:
    graphs = dict(bundle.graphs)
    for name in ("sam_encoder", "sam_decoder"):
        graphs[name] = replace(graphs[name], side_px=128, fill_rgb=(1, 2, 3))
    write_manifest(replace(bundle, graphs=graphs))
    assert "128 px" in run("show", bundle)
    graphs["wsod"] = replace(graphs["wsod"], side_px=32)
    write_manifest(replace(bundle, graphs=graphs))
    with pytest.raises(BundleError, match=r"cam and wsod.* differ in side_px \[32, 64\]"):
        run("check", bundle)


def test_aliases_are_tags_of_the_new_bundle(bundle: Bundle, tmp_path: Path) -> None:
    table, out = tmp_path / "aliases.csv", tmp_path / "out"
    table.write_text("label,alias\nblue-wrench,spanner\n")
    options = ["with-aliases", str(table), "--bundle", str(bundle.folder), "--out", str(out), "--version", "2"]
    ended = CliRunner().invoke(bundle_app, options, catch_exceptions=False)
    assert ended.output == f"wrote {out}: 3 labels with 2 aliases\n"
    made = load_bundle(out)
    assert made.labels.index("Spanner") == bundle.labels.index("blue-wrench")
    assert (made.version, made.digest != bundle.digest) == ("2", True)
    assert run("check", made).startswith("tiny 2 is whole")


def test_a_copy_that_fails_leaves_what_was_in_the_folder(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, out = tmp_path / "aliases.csv", tmp_path / "out"
    table.write_text("label,alias\nblue-wrench,spanner\n")
    out.mkdir()
    older = write_tiny_bundle(out)

    def copy_half(_: Path, target: Path) -> None:
        target.write_bytes(b"half of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", copy_half)
    options = ["with-aliases", str(table), "--bundle", str(bundle.folder), "--out", str(out)]
    with pytest.raises(OSError, match="make room"):
        CliRunner().invoke(bundle_app, options, catch_exceptions=False)
    assert load_bundle(out).digest == older.digest


def test_aliases_do_not_overwrite_the_bundle(bundle: Bundle, tmp_path: Path) -> None:
    table = tmp_path / "aliases.csv"
    table.write_text("label,alias\nblue-wrench,spanner\n")
    folder = str(bundle.folder)
    with pytest.raises(UserError, match="--out: .* is the bundle itself"):
        CliRunner().invoke(
            bundle_app, ["with-aliases", str(table), "--bundle", folder, "--out", folder], catch_exceptions=False
        )


def test_provenance_is_json_and_stands_alone(bundle: Bundle) -> None:
    write_manifest(replace(bundle, provenance={"runs": {"cam": {"config": {"seed": 7}}}}))
    ended = CliRunner().invoke(bundle_app, ["show", str(bundle.folder), "--provenance"], catch_exceptions=False)
    assert json.loads(ended.output) == {"runs": {"cam": {"config": {"seed": 7}}}}
    assert "seed" not in run("show", bundle)
