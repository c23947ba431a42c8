"""Label Studio, and images that are fetched for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from models.bundle import Bundle
from tests.support.bundles.service_parts import (
    PATIENCE_S,
    tiny_settings,
)
from tests.support.servers.image_host import ImageHost
from tests.support.servers.live_server import live_server
from tests.unit.service.setting_effects.calls import PICTURE, Check, client_of

PATH = "/data/upload/image.png"


async def entry_of(bundle: Bundle, image: str, **changes: Any) -> Any:
    """What Label Studio gets for a task with that image: the code of the failure, or the number of regions."""
    config = (
        '<View><Image name="i" value="$image"/><RectangleLabels name="box" toName="i"><Label value="rivet"/>'
        "</RectangleLabels></View>"
    )
    body = {"tasks": [{"id": 1, "data": {"image": image, "tags": "rivet"}}], "label_config": config}
    async with client_of(bundle, **changes) as (client, _pipeline):
        [entry] = (await client.post("/labelstudio/predict", json=body)).json()["results"]
    _, _, code = entry["model_version"].partition(" failed: ") if entry else ("", "", "left")
    return code or len(entry["result"])


async def check_label_studio(bundle: Bundle, _: pytest.MonkeyPatch) -> None:
    for wrong in ("label.example", "ftp://label.example", "https://me:secret@label.example", "https://label.example?x"):
        with pytest.raises(ValueError, match="give the address of Label Studio"):
            tiny_settings(bundle.folder, label_studio_url=wrong)
    with pytest.raises(ValueError, match="there is no such file"):
        tiny_settings(bundle.folder, label_studio_token_file=Path("nowhere"))
    token_path = bundle.folder.parent / "token_of_settings"
    token_path.write_text("abc")
    with live_server(ImageHost(PICTURE, "Token abc").app()) as url:
        assert await entry_of(bundle, PATH) == "image_url_refused"
        assert await entry_of(bundle, PATH, label_studio_url=f"{url}/") == "image_unreachable"
        assert await entry_of(bundle, PATH, label_studio_url=url, label_studio_token_file=token_path) == 2
        assert await entry_of(bundle, PATH, label_studio_url=url, label_studio_predict_s=1e-9) == "left"


async def check_image_hosts(bundle: Bundle, _: pytest.MonkeyPatch) -> None:
    for wrong in ("http://photos.example", "*.example", "photos.example/a"):
        with pytest.raises(ValueError, match="is no host: write each as host or host:port"):
            tiny_settings(bundle.folder, image_hosts=wrong)
    with pytest.raises(ValueError, match="'10.0.0.1/8' is no network such as"):
        tiny_settings(bundle.folder, image_networks="10.0.0.1/8")
    with live_server(ImageHost(PICTURE).app()) as url:
        image = url.replace("127.0.0.1", "LOCALHOST") + PATH
        networks = "127.0.0.0/8, ::1/128"
        assert await entry_of(bundle, image) == "image_url_refused"
        assert await entry_of(bundle, image, image_hosts="photos.example, localhost") == "image_url_refused"
        assert await entry_of(bundle, image, image_networks=networks) == "image_url_refused"
        assert await entry_of(bundle, image, image_hosts="Localhost", image_networks=networks) == 2


async def check_image_fetch_s(bundle: Bundle, _: pytest.MonkeyPatch) -> None:
    with live_server(ImageHost(PICTURE).app()) as url:
        for image_fetch_s, outcome in ((0.1, "image_unreachable"), (PATIENCE_S, 2)):
            changes: dict[str, Any] = {"image_hosts": "127.0.0.1", "image_fetch_s": image_fetch_s}
            assert await entry_of(bundle, f"{url}/slow", **changes) == outcome


CHECKS: dict[str, Check] = {
    "image_fetch_s": check_image_fetch_s,
    "image_hosts": check_image_hosts,
    "image_networks": check_image_hosts,
    "label_studio_predict_s": check_label_studio,
    "label_studio_token_file": check_label_studio,
    "label_studio_url": check_label_studio,
}
