from __future__ import annotations

import pytest

from service.errors import ImageUrlRefused
from service.http.integrations.label_studio.images import image_url

BASE = "http://label.example:8080"


@pytest.mark.parametrize(
    ("text", "base_url", "url"),
    [
        ("/data/upload/1/a.jpg", BASE, f"{BASE}/data/upload/1/a.jpg"),
        ("/data/local-files/?d=a/b.jpg", f"{BASE}/ls", f"{BASE}/ls/data/local-files/?d=a/b.jpg"),
        ("/ls/data/upload/1/a.jpg", f"{BASE}/ls", f"{BASE}/ls/data/upload/1/a.jpg"),
        ("s3://bucket/a.jpg", BASE, f"{BASE}/tasks/7/resolve/?fileuri=czM6Ly9idWNrZXQvYS5qcGc="),
        ("https://photos.example/a.jpg", None, "https://photos.example/a.jpg"),
        ("data:image/png;base64,AA==", None, "data:image/png;base64,AA=="),
    ],
)
def test_where_an_image_lies(text: str, base_url: str | None, url: str) -> None:
    assert image_url({"id": 7, "data": {"image": text}}, "image", base_url) == url


@pytest.mark.parametrize("data", [None, {}, {"image": 3}, {"image": ""}, {"image": "/data/upload/1/a.jpg"}])
def test_a_task_without_an_image_says_so(data: object) -> None:
    with pytest.raises(ImageUrlRefused, match="image"):
        image_url({"id": 7, "data": data}, "image", None)
