"""Keys: what is stored, what is found, and what a damaged file says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from service.auth.api_keys import ApiKey, KeyFile, KeyRing, key_sha256, new_key, read_key_file, write_key_file
from service.auth.token_bucket import RateLimit
from weaksam.cli.keys import keys_app


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def add(path: Path, *arguments: str) -> str:
    """Make a key through the command line; returns what it printed on stdout."""
    ended = CliRunner().invoke(keys_app, ["add", *arguments, "--file", str(path)])
    assert ended.exit_code == 0, ended.output
    return ended.stdout


def test_a_key_is_printed_once_and_only_its_hash_is_stored(path: Path) -> None:
    secret = add(path, "batch", "--rate-per-s", "2.5", "--burst", "7").strip()
    assert secret.startswith("weaksam_")
    # 32 random bytes in base64
    assert len(secret) == len("weaksam_") + 43
    assert secret not in path.read_text()
    assert read_key_file(path).keys == (
        ApiKey(name="batch", sha256=key_sha256(secret), admin=False, rate_per_s=2.5, burst=7),
    )
    assert KeyRing(path).find(secret) == read_key_file(path).keys[0]


def test_a_burst_needs_a_rate(path: Path) -> None:
    ended = CliRunner().invoke(keys_app, ["add", "batch", "--burst", "7", "--file", str(path)])
    assert "give --rate-per-s too" in str(ended.exception)
    assert not path.exists()


def test_keys_differ() -> None:
    assert len({new_key() for _ in range(100)}) == 100


def test_only_the_whole_key_is_found(path: Path) -> None:
    secrets = {name: add(path, name).strip() for name in ("a", "b", "c")}
    ring = KeyRing(path)
    assert [found.name for secret in secrets.values() if (found := ring.find(secret))] == ["a", "b", "c"]
    stored = read_key_file(path).keys[0].sha256
    for wrong in ("", secrets["a"][:-1], secrets["a"] + "x", secrets["a"].upper(), stored, "ü"):
        assert ring.find(wrong) is None


def test_a_reload_takes_keys_in_and_out_and_keeps_rates(path: Path) -> None:
    kept, gone = add(path, "kept", "--rate-per-s", "1", "--burst", "1").strip(), add(path, "gone").strip()
    ring = KeyRing(path, clock_s=lambda: 0.0)
    key = ring.find(kept)
    assert key is not None
    assert [ring.take(key) > 0 for _ in range(2)] == [False, True]
    assert CliRunner().invoke(keys_app, ["remove", "gone", "--file", str(path)]).exit_code == 0
    new = add(path, "new").strip()
    assert ring.find(gone) is not None
    ring.reload()
    assert ring.find(gone) is None
    assert ring.find(new) is not None
    assert ring.take(key) > 0, "a reload must not refill a bucket"


def test_a_damaged_file_leaves_the_keys_as_they_were(path: Path) -> None:
    secret = add(path, "a").strip()
    ring = KeyRing(path)
    path.write_text("{")
    with pytest.raises(ValueError, match=r"keys\.json is not a keys file"):
        ring.reload()
    assert ring.find(secret) is not None


def test_rates_are_the_keys_own_or_the_default(path: Path) -> None:
    for arguments in (("own", "--rate-per-s", "4", "--burst", "2"), ("half", "--rate-per-s", "3"), ("none",)):
        add(path, *arguments)

    def burst(default: RateLimit | None) -> list[int]:
        ring = KeyRing(path, default, clock_s=lambda: 0.0)
        return [sum(ring.take(key) == 0 for _ in range(50)) for key in read_key_file(path).keys]

    assert burst(None) == [2, 3, 50]
    assert burst(RateLimit(1.0, 5)) == [2, 5, 5]


ENTRY = {"name": "a", "sha256": "0" * 64}
DAMAGED: dict[str, tuple[Any, str]] = {
    "another version": ({"version": 2}, r"version: must be 1"),
    "a key instead of its hash": (
        {"keys": [ENTRY | {"sha256": "weaksam_x"}]},
        r"keys\[0\]\.sha256: must be 64 ",
    ),
    "a name with a space": ({"keys": [ENTRY | {"name": "a b"}]}, r"keys\[0\]\.name: must be 1 to 64 letters"),
    "a misspelt field": ({"keys": [ENTRY | {"Admin": True}]}, r"keys\[0\]\.Admin is not known here: leave it out"),
    "a name twice": ({"keys": [ENTRY, ENTRY]}, r"keys\[1\]\.name: several keys are named 'a'"),
    "no rate at all": ({"keys": [ENTRY | {"rate_per_s": 0}]}, r"keys\[0\]\.rate_per_s: must be more than 0"),
}


@pytest.mark.parametrize(("document", "sentence"), DAMAGED.values(), ids=list(DAMAGED))
def test_what_is_wrong_with_a_file_is_named_and_no_value_shown(path: Path, document: Any, sentence: str) -> None:
    path.write_text(json.dumps(document))
    with pytest.raises(ValueError, match=sentence) as caught:
        KeyRing(path)
    assert "weaksam_x" not in str(caught.value)


def test_a_file_that_is_not_there_names_the_remedy(path: Path) -> None:
    with pytest.raises(ValueError, match=r"keys\.json cannot be read .*`weaksam keys add`"):
        KeyRing(path)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param(["add", "a"], "has a key named 'a'", id="twice"),
        pytest.param(["add", "a b"], "name is 'a b'", id="bad name"),
        pytest.param(["remove", "b"], "has no key named 'b'", id="not there"),
    ],
)
def test_commands_refuse_in_one_sentence(path: Path, arguments: list[str], sentence: str) -> None:
    write_key_file(path, KeyFile(keys=(ApiKey(name="a", sha256="0" * 64),)))
    before = path.read_bytes()
    ended = CliRunner().invoke(keys_app, [*arguments, "--file", str(path)])
    assert isinstance(ended.exception, ValueError)
    assert sentence in str(ended.exception)
    assert path.read_bytes() == before


def test_a_list_shows_names_and_no_hash_in_full(path: Path) -> None:
    add(path, "batch", "--admin")
    shown = CliRunner().invoke(keys_app, ["list", "--file", str(path)]).stdout
    assert "batch" in shown
    assert "yes" in shown
    assert read_key_file(path).keys[0].sha256 not in shown
