"""A bundle as a Triton repository: every file, read with Triton's own description of its configuration."""

from __future__ import annotations

import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2
from typer.testing import CliRunner

from deploy.triton.config import Platform, TritonOptions
from deploy.triton.repository import write_repository
from models.bundle import Bundle, BundleError, GraphSpec, TensorSpec
from models.bundle_files.manifest import load_bundle, write_manifest
from models.triton import sequence_number
from tests.support.bundles.tiny_bundle import write_tiny_bundle
from weaksam.cli import main as command_line

PLATFORMS: list[Platform] = ["onnxruntime", "tensorrt", "ort-trt", "python"]
ENUMS = model_config_pb2


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    folder = tmp_path / "bundle"
    folder.mkdir()
    return write_tiny_bundle(folder)


def options(platform: Platform = "onnxruntime", **changes: Any) -> TritonOptions:
    return TritonOptions(**{"platform": platform, "device": "gpu", "max_batch": 4, **changes})


def read_config(repository: Path, graph: str) -> Any:
    text = (repository / graph / "config.pbtxt").read_text(encoding="utf-8")
    return text_format.Parse(text, model_config_pb2.ModelConfig())


def of_version(bundle: Bundle, version: str) -> Bundle:
    write_manifest(replace(bundle, version=version))
    return load_bundle(bundle.folder)


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("platform", PLATFORMS)
def test_configurations_say_what_the_spec_says(bundle: Bundle, tmp_path: Path, platform: Platform) -> None:
    repository = tmp_path / "repository"
    assert write_repository(bundle, repository, options(platform)) == 1
    for graph, spec in bundle.graphs.items():
        config = read_config(repository, graph)
        assert config.name == graph
        batched = graph != "sam_decoder"
        assert config.max_batch_size == (4 if batched else 0)
        for wanted, found in ((spec.inputs, config.input), (spec.outputs, config.output)):
            assert [(tensor.name, list(tensor.dims)) for tensor in found] == [
                (tensor.name, [size if isinstance(size, int) else -1 for size in tensor.shape[batched:]])
                for tensor in wanted
            ]
        assert config.parameters["bundle_digest_1"].string_value == bundle.digest
    decoder = read_config(repository, "sam_decoder")
    assert [ENUMS.DataType.Name(tensor.data_type) for tensor in decoder.output] == ["TYPE_FP32"] * 3 + ["TYPE_FP16"]
    assert ENUMS.DataType.Name(read_config(repository, "cam").input[0].data_type) == "TYPE_UINT8"


def test_each_platform_has_its_own_files(bundle: Bundle, tmp_path: Path) -> None:
    found = {}
    for platform in PLATFORMS:
        write_repository(bundle, tmp_path / platform, options(platform))
        config = read_config(tmp_path / platform, "wsod")
        found[platform] = config.platform or config.backend, files(tmp_path / platform / "wsod" / "1")
        assert (tmp_path / platform / "build_engines.sh").exists() == (platform == "tensorrt")
    onnx = ["bundle.json", "model.onnx"]
    assert found == {
        "onnxruntime": ("onnxruntime_onnx", onnx),
        "ort-trt": ("onnxruntime_onnx", onnx),
        "tensorrt": ("tensorrt_plan", onnx),
        "python": ("python", [*onnx, "model.py"]),
    }
    optimization = read_config(tmp_path / "ort-trt", "cam").optimization
    [accelerator] = optimization.execution_accelerators.gpu_execution_accelerator
    assert (accelerator.name, accelerator.parameters["precision_mode"]) == ("tensorrt", "FP16")


def test_every_size_of_a_run_is_warmed_up(bundle: Bundle, tmp_path: Path) -> None:
    write_repository(bundle, tmp_path / "r", options())
    decoder = read_config(tmp_path / "r", "sam_decoder").model_warmup
    assert [list(sample.inputs["coords"].dims) for sample in decoder] == [
        [prompts, points, 2] for prompts in (4, 16, 64) for points in (2, 25)
    ]
    assert {sample.batch_size for sample in decoder} == {1}, "Triton skips a sample of batch size 0"
    scorer = read_config(tmp_path / "r", "wsod").model_warmup
    sizes = [(sample.batch_size, *sample.inputs["valid"].dims) for sample in scorer]
    assert sizes == [(batch, boxes) for batch in (1, 4) for boxes in range(8, 57, 8)]
    assert [sample.batch_size for sample in read_config(tmp_path / "r", "cam").model_warmup] == [1, 4]


def test_instances_batching_and_versions_follow_the_options(bundle: Bundle, tmp_path: Path) -> None:
    chosen = options(device="cpu", instances=3, queue_delay_us=70, max_queue=9, threads=2, keep_versions=5)
    write_repository(bundle, tmp_path / "r", chosen)
    config = read_config(tmp_path / "r", "cam")
    [group] = config.instance_group
    assert (ENUMS.ModelInstanceGroup.Kind.Name(group.kind), group.count) == ("KIND_CPU", 3)
    assert config.dynamic_batching.max_queue_delay_microseconds == 70
    policy = config.dynamic_batching.default_queue_policy
    assert (policy.max_queue_size, policy.allow_timeout_override) == (9, True)
    assert config.version_policy.latest.num_versions == 5
    assert config.parameters["intra_op_thread_count"].string_value == "2"


def test_the_engine_script_names_every_graph_and_bucket(bundle: Bundle, tmp_path: Path) -> None:
    write_repository(bundle, tmp_path / "r", options("tensorrt"))
    text = (tmp_path / "r" / "build_engines.sh").read_text(encoding="utf-8")
    calls = [shlex.split(call) for call in text.replace("\\\n", "").splitlines() if call.startswith('"$trtexec"')]
    assert [call[1] for call in calls] == [f"--onnx={graph}/1/model.onnx" for graph in bundle.graphs]
    decoder = next(call for call in calls if "sam_decoder" in call[1])
    shapes = [word for word in decoder if word.startswith("--maxShapes")]
    assert shapes == [f"--maxShapes=coords:{bucket}x25x2,labels:{bucket}x25" for bucket in (4, 16, 64)]
    assert list(read_config(tmp_path / "r", "sam_decoder").instance_group[0].profile) == ["0", "1", "2"]


def test_a_new_version_lies_beside_the_old_one(bundle: Bundle, tmp_path: Path) -> None:
    first = bundle.digest
    write_repository(bundle, tmp_path / "r", options())
    second = of_version(bundle, "2")
    write_repository(second, tmp_path / "r", options())
    config = read_config(tmp_path / "r", "cam")
    digests = {name: config.parameters[f"bundle_digest_{name}"].string_value for name in ("1", "2")}
    assert digests == {"1": first, "2": second.digest}
    assert {path.parts[0] for path in map(Path, files(tmp_path / "r" / "cam"))} == {"1", "2", "config.pbtxt"}


def test_writing_a_version_again_changes_its_configuration_only(bundle: Bundle, tmp_path: Path) -> None:
    write_repository(bundle, tmp_path / "r", options())
    plan = tmp_path / "r" / "cam" / "1" / "model.plan"
    plan.write_text("an engine")
    write_repository(bundle, tmp_path / "r", options("tensorrt", max_batch=2))
    assert read_config(tmp_path / "r", "cam").max_batch_size == 2
    assert plan.read_text() == "an engine"


def test_what_does_not_go_together_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    write_repository(of_version(bundle, "5"), tmp_path / "r", options())
    before = {path: (tmp_path / "r" / path).read_bytes() for path in files(tmp_path / "r")}
    with pytest.raises(ValueError, match="holds version 5, and Triton serves the latest: raise the bundle's version"):
        write_repository(of_version(bundle, "4"), tmp_path / "r", options())
    changed = of_version(replace(bundle, provenance={"made_by": "another"}), "5")
    with pytest.raises(ValueError, match="holds another bundle of version '5'"):
        write_repository(changed, tmp_path / "r", options())
    spec = bundle.graphs["cam"]
    wider = replace(spec, outputs=(TensorSpec("scores", "float32", ("B", 4)), *spec.outputs[1:]))
    other = of_version(replace(bundle, graphs={**bundle.graphs, "cam": wider}), "6")
    with pytest.raises(ValueError, match="has other inputs or outputs than the bundle"):
        write_repository(other, tmp_path / "r", options())
    assert {path: (tmp_path / "r" / path).read_bytes() for path in files(tmp_path / "r")} == before


def test_a_folder_of_others_is_left_alone(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "r" / "cam" / "1").mkdir(parents=True)
    with pytest.raises(ValueError, match="was not written by `weaksam triton`"):
        write_repository(bundle, tmp_path / "r", options())


def test_a_graph_of_whole_pictures_is_served_too(bundle: Bundle, tmp_path: Path) -> None:
    tensors = {
        "image": TensorSpec("image", "uint8", (1, "H", "W", 3)),
        "allowed": TensorSpec("allowed", "bool", (3,)),
        "boxes": TensorSpec("boxes", "float32", ("D", 4)),
    }
    shutil.copy(bundle.path("cam"), bundle.folder / "detector.onnx")
    cam = bundle.graphs["cam"]
    detector: GraphSpec = replace(
        cam, file="detector.onnx", inputs=(tensors["image"], tensors["allowed"]), outputs=(tensors["boxes"],)
    )
    write_repository(replace(bundle, graphs={**bundle.graphs, "detector": detector}), tmp_path / "r", options())
    config = read_config(tmp_path / "r", "detector")
    assert config.max_batch_size == 0
    assert [list(tensor.dims) for tensor in config.input] == [[1, -1, -1, 3], [3]]
    assert [list(sample.inputs["image"].dims) for sample in config.model_warmup] == [[1, 64, 64, 3]]


@pytest.mark.parametrize(
    ("version", "number"), [("1", 1), ("20261122", 20261122), ("1.2", 1002000), ("1.2.3", 1002003), ("0.0.1", 1)]
)
def test_versions_that_are_sequence_numbers(bundle: Bundle, version: str, number: int) -> None:
    assert sequence_number(replace(bundle, version=version)) == number


@pytest.mark.parametrize("version", ["0", "v1", "1.2.3.4", "1.1000", "2026-11-22", "", "9" * 30])
def test_versions_that_are_none(bundle: Bundle, version: str) -> None:
    with pytest.raises(BundleError, match="for Triton it must be a whole number from 1"):
        sequence_number(replace(bundle, version=version))


def test_the_command_writes_and_says_what_remains_to_be_done(bundle: Bundle, tmp_path: Path) -> None:
    arguments = ["triton", str(bundle.folder), "--out", str(tmp_path / "r"), "--platform"]
    ended = CliRunner().invoke(command_line.app, [*arguments, "tensorrt"])
    assert ended.exit_code == 0, ended.output
    assert "as version 1: cam, sam_encoder, sam_decoder, wsod" in ended.output
    assert "its engines are not built yet" in ended.output
    refused = CliRunner().invoke(command_line.app, [*arguments, "tensorrt", "--device", "cpu"])
    assert isinstance(refused.exception, ValueError)
    assert "--platform tensorrt runs on GPUs only" in str(refused.exception)
