"""Values of settings: given, from the environment, and wrong."""

from __future__ import annotations

import pytest

from models.bundle import DEFAULT_BUNDLE
from service.settings import Settings, load_settings

WRONG = {
    "port is no number": ("PORT", "http", "WEAKSAM_PORT is 'http': must be a whole number"),
    "workers is none": ("WORKERS", "0", "WEAKSAM_WORKERS is '0': must be at least 1"),
    "deadline is none": ("DEADLINE_S", "0", "WEAKSAM_DEADLINE_S is '0': must be more than 0"),
    "device is unheard of": ("DEVICE", "tpu", "WEAKSAM_DEVICE is 'tpu': must be 'cpu' or 'cuda'"),
}


@pytest.mark.parametrize(("name", "value", "sentence"), WRONG.values(), ids=list(WRONG))
def test_a_wrong_value_is_named_at_the_start(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, sentence: str
) -> None:
    monkeypatch.setenv(f"WEAKSAM_{name}", value)
    with pytest.raises(ValueError, match="^" + sentence):
        load_settings()


def test_a_setting_that_does_not_exist_is_named() -> None:
    with pytest.raises(ValueError, match="WEAKSAM_WORKER is not known here: leave it out"):
        load_settings(worker=3)


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        pytest.param(["WEAKSAM_WORKER"], "WEAKSAM_WORKER is no setting: did you mean WEAKSAM_WORKERS[?]", id="one"),
        pytest.param(
            ["WEAKSAM_CI"], "WEAKSAM_CI is no setting: unset it; `weaksam serve --help` lists", id="unlike any"
        ),
        pytest.param(["weaksam_prot"], "WEAKSAM_PROT is no setting: did you mean WEAKSAM_PORT[?]", id="small letters"),
        pytest.param(
            ["WEAKSAM_HOSTS", "WEAKSAM_BUNDEL"], "WEAKSAM_BUNDLE[?]; WEAKSAM_HOSTS is no setting", id="several"
        ),
    ],
)
def test_a_misspelt_variable_is_met_with_the_nearest(
    monkeypatch: pytest.MonkeyPatch, names: list[str], sentence: str
) -> None:
    for name in names:
        monkeypatch.setenv(name, "1")
    with pytest.raises(ValueError, match=sentence):
        load_settings()


def test_variables_of_others_and_of_the_client_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEAKSAM_API_KEY", "secret")
    monkeypatch.setenv("WEAK_WORKER", "1")
    monkeypatch.setenv("weaksam_workers", "3")
    assert load_settings().workers == 3


def test_what_is_given_goes_before_the_environment_and_that_before_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WEAKSAM_WORKERS", "3")
    monkeypatch.setenv("WEAKSAM_QUEUE_SIZE", "4")
    settings = load_settings(workers=5)
    assert (settings.workers, settings.queue_size, settings.bundle) == (5, 4, DEFAULT_BUNDLE)


def test_every_setting_is_described() -> None:
    assert all(field.description for field in Settings.model_fields.values())
