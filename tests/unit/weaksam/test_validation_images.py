from __future__ import annotations

from collections import Counter

import pytest

from weaksam.validation_images import training_sequences, val_ids


def _ids(prefix: str, first: int, count: int) -> list[str]:
    return [f"{prefix}{number:03d}" for number in range(first, first + count)]


@pytest.mark.parametrize(
    ("train", "test", "expected"),
    [
        pytest.param({"bolt": _ids("", 0, 20)}, {}, [20], id="one-run"),
        pytest.param({"bolt": _ids("", 0, 6), "nut": _ids("", 6, 6)}, {}, [6, 6], id="tags-change"),
        pytest.param(
            {"bolt": _ids("", 0, 6) + _ids("", 8, 7)}, {"bolt": _ids("", 6, 2)}, [6, 7], id="train-after-test"
        ),
        pytest.param({"bolt": _ids("", 0, 6)}, {"nut": _ids("", 6, 3)}, [6], id="test-only-run-is-dropped"),
        pytest.param(
            {"bolt": _ids("", 0, 2), "nut": _ids("", 2, 2), "pen": _ids("", 4, 2)}, {}, [6], id="no-video-frames"
        ),
    ],
)
def test_sequences(train: dict[str, list[str]], test: dict[str, list[str]], expected: list[int]) -> None:
    tags_of_train = {image_id: [kind] for kind, ids in train.items() for image_id in ids}
    tags_of_test = {image_id: [kind] for kind, ids in test.items() for image_id in ids}

    assert [len(sequence) for sequence in training_sequences(tags_of_train, tags_of_test)] == expected


def test_val_is_the_last_tenth_of_each_sequence() -> None:
    tags = {**{i: ["bolt"] for i in _ids("a", 0, 30)}, **{i: ["nut"] for i in _ids("b", 0, 6)}}

    assert val_ids(tags, {}) == {"a027", "a028", "a029", "b005"}


def test_a_single_image_is_not_held_out() -> None:
    assert val_ids({"a": ["bolt"]}, {}) == set()


@pytest.mark.parametrize(
    ("images_of", "held_out"),
    [
        pytest.param({f"kind{number:02d}": 4 for number in range(10)}, 4, id="ten-of-four"),
        pytest.param({f"kind{number:02d}": 3 for number in range(26)}, 8, id="many-of-three"),
        pytest.param({f"kind{number:02d}": 4 for number in range(9)} | {"last": 1}, 4, id="a-lone-image-at-the-end"),
    ],
)
def test_small_folders_of_one_class_each_keep_images_to_learn_from(images_of: dict[str, int], held_out: int) -> None:
    tags = {f"{kind}/{number}": [kind] for kind, count in images_of.items() for number in range(count)}
    chosen = val_ids(tags, {})
    assert len(chosen) == held_out
    left = Counter(kind for image_id, (kind,) in tags.items() if image_id not in chosen)
    assert all(2 * left[kind] >= count for kind, count in images_of.items())


def test_of_images_in_no_order_of_tags_the_last_tenth_is_held_out() -> None:
    tags = {image_id: [f"kind{number % 10}"] for number, image_id in enumerate(_ids("", 0, 40))}
    assert val_ids(tags, {}) == {"036", "037", "038", "039"}
