"""`weaksam weights pull` against a server over a socket that misbehaves in every way a server can."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deploy.weights.download import ATTEMPTS, address_in, pull_weights
from deploy.weights.published import WEIGHTS, WeightsError, WeightsFile, find_weights
from models.nets.published_sam.open_published import MOBILE_SAM
from models.nets.published_sam.sam2 import TRUNKS
from models.nets.published_sam.vit import OFFICIAL_SIZES
from tests.support.servers.file_server import CONTENT, CUT_AFTER, FileServer, serving
from weaksam.cli.weights import weights_app
from weaksam.errors import UserError


@pytest.fixture
def server() -> FileServer:
    return FileServer()


@pytest.fixture
def weights(server: FileServer) -> Iterator[WeightsFile]:
    """The content as a published file at the server's address."""
    with serving(server) as address:
        digest = hashlib.sha256(CONTENT).hexdigest()
        yield WeightsFile("net", f"{address}/net.pth", "edgetam", "tests", len(CONTENT), digest)


def pull(weights: WeightsFile, folder: Path) -> Path:
    return pull_weights(weights, folder, first_wait_s=0.001)


def test_the_file_arrives_and_is_not_asked_for_again(weights: WeightsFile, server: FileServer, tmp_path: Path) -> None:
    seen: list[int] = []
    path = pull_weights(weights, tmp_path / "new", on_bytes=seen.append)
    assert path == tmp_path / "new" / "net.pth"
    assert path.read_bytes() == CONTENT
    assert (seen[-1], seen) == (len(CONTENT), sorted(seen))
    assert pull(weights, tmp_path / "new") == path
    assert server.ranges == [None]
    assert [entry.name for entry in path.parent.iterdir()] == ["net.pth"]


def test_a_connection_that_is_cut_is_resumed(weights: WeightsFile, server: FileServer, tmp_path: Path) -> None:
    server.cuts = 2
    assert pull(weights, tmp_path).read_bytes() == CONTENT
    assert server.ranges == [None, f"bytes={CUT_AFTER}-", f"bytes={2 * CUT_AFTER}-"]


def test_another_run_goes_on_where_the_last_was_killed(
    weights: WeightsFile, server: FileServer, tmp_path: Path
) -> None:
    (tmp_path / "net.pth.part").write_bytes(CONTENT[:1234])
    assert pull(weights, tmp_path).read_bytes() == CONTENT
    assert server.ranges == ["bytes=1234-"]


def test_a_part_without_the_whole_size_is_taken(weights: WeightsFile, server: FileServer, tmp_path: Path) -> None:
    server.states_total = False
    server.cuts = 1
    assert pull(weights, tmp_path).read_bytes() == CONTENT
    assert server.ranges == [None, f"bytes={CUT_AFTER}-"]


def test_a_server_without_ranges_begins_anew(weights: WeightsFile, server: FileServer, tmp_path: Path) -> None:
    server.with_ranges = False
    server.cuts = 1
    assert pull(weights, tmp_path).read_bytes() == CONTENT
    assert server.ranges == [None, f"bytes={CUT_AFTER}-"]


@pytest.mark.parametrize("length", [len(CONTENT) - 1, len(CONTENT) + 1], ids=["too short", "too long"])
def test_a_length_that_is_not_the_published_one_is_refused(
    weights: WeightsFile, server: FileServer, tmp_path: Path, length: int
) -> None:
    server.length = length
    with pytest.raises(WeightsError, match=f"says that the file has {length} bytes, net has {len(CONTENT)}"):
        pull(weights, tmp_path)
    assert not (tmp_path / "net.pth").exists()


def test_a_body_shorter_than_stated_is_asked_for_again(
    weights: WeightsFile, server: FileServer, tmp_path: Path
) -> None:
    server.content, server.length = CONTENT[:-10], len(CONTENT)
    with pytest.raises(WeightsError, match=rf"{len(CONTENT) - 10} of {len(CONTENT)} bytes are kept in"):
        pull(weights, tmp_path)
    assert len(server.ranges) == 1 + ATTEMPTS
    server.content, server.length = CONTENT, None
    assert pull(weights, tmp_path).read_bytes() == CONTENT


def test_wrong_bytes_are_thrown_away(weights: WeightsFile, server: FileServer, tmp_path: Path) -> None:
    server.content = CONTENT[:-1] + b"x"
    with pytest.raises(WeightsError, match=r"gave a file with sha256 \w{64}, net has \w{64}: it was thrown away"):
        pull(weights, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_part_of_another_file_is_not_finished(weights: WeightsFile, tmp_path: Path) -> None:
    (tmp_path / "net.pth.part").write_bytes(b"x" * 1000)
    with pytest.raises(WeightsError, match="it was thrown away"):
        pull(weights, tmp_path)
    assert pull(weights, tmp_path).read_bytes() == CONTENT


def test_a_part_that_is_too_long_is_not_used(weights: WeightsFile, tmp_path: Path) -> None:
    (tmp_path / "net.pth.part").write_bytes(CONTENT + b"more")
    assert pull(weights, tmp_path).read_bytes() == CONTENT


def test_bytes_from_elsewhere_are_not_taken(weights: WeightsFile, server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "net.pth.part").write_bytes(CONTENT[:1000])
    server.shift = 7
    with pytest.raises(WeightsError, match="it sent bytes from 1007 on, but 1000 were asked for"):
        pull(weights, tmp_path)


def test_a_server_in_trouble_is_tried_again(weights: WeightsFile, server: FileServer, tmp_path: Path) -> None:
    server.statuses = [503, 429, 500]
    assert pull(weights, tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("statuses", "sentence"),
    [
        pytest.param([404], "responded 404: check the address", id="absent"),
        pytest.param([503] * ATTEMPTS, r"could not be read \(status 503\): 0 of", id="trouble that stays"),
    ],
)
def test_trouble_that_stays_is_one_sentence(
    weights: WeightsFile, server: FileServer, tmp_path: Path, statuses: list[int], sentence: str
) -> None:
    server.statuses = statuses
    with pytest.raises(WeightsError, match=sentence):
        pull(weights, tmp_path)


def test_no_server_is_one_sentence(weights: WeightsFile, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"^http://127.0.0.1:9/x could not be read \("):
        pull_weights(weights, tmp_path, url="http://127.0.0.1:9/x", first_wait_s=0.001)


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        pytest.param(
            {"ALL_PROXY": "socks5://127.0.0.1:9", "NO_PROXY": "[::1"}, "could not be read", id="no proxy there"
        ),
        pytest.param({"ALL_PROXY": "ftp://proxy"}, "ALL_PROXY is 'ftp://proxy' and no proxy", id="not a proxy"),
        pytest.param({"SSL_CERT_FILE": "absent.pem"}, "SSL_CERT_FILE cannot be read", id="no certificates"),
    ],
)
def test_proxies_and_certificates_that_cannot_be_used_are_one_sentence(
    weights: WeightsFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], sentence: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=sentence):
        pull_weights(weights, tmp_path, url="http://weights.test/file", first_wait_s=0.001)


def test_a_file_of_that_name_is_not_overwritten(weights: WeightsFile, tmp_path: Path) -> None:
    (tmp_path / "net.pth").write_bytes(b"mine")
    with pytest.raises(WeightsError, match=r"net\.pth is there, but has 4 bytes, net has 307200: move it away"):
        pull(weights, tmp_path)
    assert (tmp_path / "net.pth").read_bytes() == b"mine"


def test_a_misspelt_name_is_met_with_the_nearest() -> None:
    with pytest.raises(WeightsError, match="'sam-vit-g' names no weights: did you mean 'sam-vit-"):
        find_weights("sam-vit-g")


def test_published_files_are_pinned_to_the_byte() -> None:
    stated = {weights.name: weights for weights in WEIGHTS if weights.sha256}
    assert list(stated) == ["sam-vit-b", "sam-vit-l", "sam-vit-h"]
    for weights in stated.values():
        assert re.fullmatch(r"https://[^/]+/segment_anything/sam_vit_[blh]_[0-9a-f]{6}\.pth", weights.url)
        assert re.fullmatch(r"[0-9a-f]{64}", weights.sha256 or "")
    in_git = [weights for weights in WEIGHTS if weights.git_blob]
    assert [weights.name for weights in in_git] == ["edgetam", "mobilesam"]
    for weights in in_git:  # the address names a commit, whose tree names the content
        assert re.search(r"/[0-9a-f]{40}/", weights.url)
        assert re.fullmatch(r"[0-9a-f]{40}", weights.git_blob or "")


def test_every_published_network_can_be_built() -> None:
    assert {weights.kind for weights in WEIGHTS} == {*TRUNKS, MOBILE_SAM, *OFFICIAL_SIZES}


@pytest.fixture
def unstated(weights: WeightsFile) -> WeightsFile:
    """The content as a file of a publisher who states neither size nor digest."""
    return replace(weights, size_bytes=None, sha256=None)


def test_without_a_stated_digest_the_first_download_is_pinned(
    unstated: WeightsFile, server: FileServer, tmp_path: Path
) -> None:
    server.cuts = 1
    path = pull(unstated, tmp_path)
    assert path.read_bytes() == CONTENT
    digest = hashlib.sha256(CONTENT).hexdigest()
    assert (tmp_path / "net.pth.sha256").read_text() == f"{digest}  net.pth\n"
    path.unlink()
    server.content = CONTENT[:-1] + b"x"
    with pytest.raises(WeightsError, match=rf"gave a file with sha256 \w{{64}}, net has {digest}: it was thrown away"):
        pull(unstated, tmp_path)
    path.write_bytes(b"mine")
    with pytest.raises(WeightsError, match=rf"is there, but has sha256 \w{{64}}, net has {digest}: move it away"):
        pull(unstated, tmp_path)


def test_a_part_that_is_whole_or_too_long_begins_anew_if_no_size_is_stated(
    unstated: WeightsFile, server: FileServer, tmp_path: Path
) -> None:
    (tmp_path / "net.pth.part").write_bytes(CONTENT)
    server.statuses = [416]
    assert pull(unstated, tmp_path).read_bytes() == CONTENT
    assert server.ranges == [f"bytes={len(CONTENT)}-", None]


def test_the_name_of_the_content_in_git_is_a_digest_too(
    weights: WeightsFile, server: FileServer, tmp_path: Path
) -> None:
    blob = hashlib.sha1(f"blob {len(CONTENT)}\0".encode() + CONTENT).hexdigest()
    in_git = replace(weights, size_bytes=None, sha256=None, git_blob=blob)
    assert pull(in_git, tmp_path).read_bytes() == CONTENT
    assert [entry.name for entry in tmp_path.iterdir()] == ["net.pth"]
    server.content = CONTENT[:-1] + b"x"
    with pytest.raises(WeightsError, match=rf"gave a file with git blob \w{{40}}, net has {blob}: it was thrown away"):
        pull(in_git, tmp_path / "other")


def test_a_mirror_may_be_a_folder(weights: WeightsFile, server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / "net.pth").write_bytes(CONTENT)
    url = address_in(f"{tmp_path / 'mirror'}/", weights)
    assert pull_weights(weights, tmp_path, url=url).read_bytes() == CONTENT
    assert server.ranges == []
    with pytest.raises(WeightsError, match=r"absent/net\.pth cannot be read \(No such file or directory\)"):
        pull_weights(weights, tmp_path / "other", url=address_in(str(tmp_path / "absent"), weights))


def test_the_commands_list_pull_and_measure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / "sam2.1_hiera_tiny.pt").write_bytes(CONTENT)
    monkeypatch.setenv("WEAKSAM_WEIGHTS_URL", str(tmp_path / "mirror"))
    monkeypatch.setenv("COLUMNS", "400")
    pulled = CliRunner().invoke(weights_app, ["pull", "sam2.1-tiny", "--out", str(tmp_path / "here")])
    assert (pulled.exit_code, (tmp_path / "here" / "sam2.1_hiera_tiny.pt").read_bytes()) == (0, CONTENT)
    listed = CliRunner().invoke(weights_app, ["list", "--out", str(tmp_path / "here")]).output
    rows = {line.split("│")[1].strip(): line for line in listed.splitlines() if "https://" in line}
    assert list(rows) == [weights.name for weights in WEIGHTS]
    assert [name for name, line in rows.items() if line.rstrip("│ ").endswith("yes")] == ["sam2.1-tiny"]
    assert "git blob abd54d22bbd22ba3e53cf59a307e59e0f3701be6" in rows["edgetam"]
    measured = CliRunner().invoke(weights_app, ["bench", "edgetam", "--side-px", "64"], catch_exceptions=False)
    for key in ("encode_s", "64_prompts_s", "peak_memory_gb"):
        assert re.search(rf"{key} +│ +[\d.]+", measured.output), measured.output
