"""Drive X-AnyLabeling's own `RemoteServer`, in the environment that `make tools` installs.

A program of its own: it reads JSON `{"url", "key", "image", "calls": [...]}` from stdin, each call with the values that
the client's window would set, and writes `{"models", "results": [...]}`.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from anylabeling import config
from anylabeling.services.auto_labeling.remote_server import RemoteServer
from PyQt6.QtGui import QImage

SETTERS = {
    "task": "set_task",
    "conf": "set_auto_labeling_conf",
    "classes": "set_auto_labeling_filter_classes",
    "marks": "set_auto_labeling_marks",
}


def main() -> None:
    """Make the calls, one after the other, with one client."""
    work = json.load(sys.stdin)
    messages: list[str] = []
    # What the client's window writes into its user's settings.
    config.current_config_file = json.dumps(
        {"remote_server_settings": {"server_url": work["url"], "api_key": work["key"]}}
    )
    client = RemoteServer({"type": "remote_server", "display_name": "Remote-Server"}, messages.append)
    models = client.get_available_models()
    client.set_model_id(next(iter(models), None))
    results = [call(client, work["image"], step, messages) for step in work["calls"]]
    json.dump({"models": models, "results": results}, sys.stdout)


def call(client: RemoteServer, image: str, step: dict[str, Any], messages: list[str]) -> dict[str, Any]:
    """Set what the step names, predict, and return what the client's window would get."""
    for name, setter in SETTERS.items():
        if name in step:
            getattr(client, setter)(step[name])
    messages.clear()
    result = client.predict_shapes(QImage(image), image, text_prompt=step.get("text"))
    return {
        "shapes": [shape.to_dict() for shape in result.shapes],
        "replace": result.replace,
        "description": result.description,
        "messages": list(messages),
        "batch_mode": client.get_batch_processing_mode(),
    }


if __name__ == "__main__":
    main()
