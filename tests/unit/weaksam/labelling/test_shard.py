from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weaksam.labelling.shard import Shard, parse_shard, shard_worklist
from weaksam.labelling.worklist import Failure, Worklist


@given(st.text(min_size=1), st.integers(1, 64))
def test_every_image_is_in_one_shard(image: str, count: int) -> None:
    assert sum(Shard(index, count).holds(image) for index in range(count)) == 1


def test_the_place_of_an_image_never_changes() -> None:
    # Written down, since machines that disagree would label an image twice or not at all.
    images = [f"day1/{number:03}.jpg" for number in range(12)]
    assert [next(i for i in range(4) if Shard(i, 4).holds(image)) for image in images] == [
        1,
        3,
        1,
        3,
        2,
        0,
        2,
        1,
        3,
        2,
        2,
        1,
    ]


def test_shards_are_about_equal() -> None:
    sizes = [sum(Shard(index, 8).holds(f"{number}.jpg") for number in range(8000)) for index in range(8)]
    assert sum(sizes) == 8000
    assert min(sizes) > 850
    assert max(sizes) < 1150


def test_a_shard_knows_all_images_and_does_its_own() -> None:
    images = tuple(f"{number}.jpg" for number in range(20))
    failures = tuple(Failure(f"gone{number}.jpg", "image_missing", "") for number in range(20))
    whole = Worklist(images, dict.fromkeys(images, ("a",)), failures)
    parts = [shard_worklist(whole, Shard(index, 3)) for index in range(3)]
    assert all(part.images == images for part in parts)
    assert sorted(image for part in parts for image in part.tags) == sorted(images)
    assert sorted(row.image for part in parts for row in part.failures) == sorted(row.image for row in failures)


def test_a_shard_is_read_as_it_is_written() -> None:
    assert parse_shard("3/4") == Shard(3, 4)
    assert str(parse_shard("0/1")) == "0/1"


@pytest.mark.parametrize("text", ["4/4", "0/0", "-1/4", "1", "1/", "a/b", "1/4/2", "½/4", "1.0/4"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="give i/n with i from 0 to n-1"):
        parse_shard(text)
