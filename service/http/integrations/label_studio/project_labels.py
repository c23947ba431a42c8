"""The labels of a project beside those of the bundle."""

from __future__ import annotations

from dataclasses import dataclass

from models.labels import LabelSet
from service.http.integrations.label_studio.label_config import LabelConfig, RegionControl


@dataclass(frozen=True)
class ProjectLabels:
    """Translates between the bundle's names and a project's; spellings and aliases do not matter."""

    bundle: LabelSet
    config: LabelConfig

    def text_in(self, control: RegionControl, name: str) -> str | None:
        """Return how a control writes a label of the bundle; None if it has no such label."""
        index = self.bundle.index(name)
        return next((text for text in control.labels if self.bundle.index(text) == index), None)

    def allowed(self, name: str) -> bool:
        """Return whether any output of the project has a label of the bundle."""
        return any(self.text_in(control, name) is not None for control in self.config.outputs)

    def is_label(self, text: str) -> bool:
        """Return whether the bundle knows a text, as a name or an alias."""
        return self.bundle.index(text) is not None

    def warnings(self) -> tuple[str, ...]:
        """Return a sentence for each label of the project that the bundle does not know."""
        texts = dict.fromkeys(text for control in self.config.outputs for text in control.labels)
        return tuple(
            f"{text!r} is not predicted: the bundle has no such label, the nearest are "
            f"{', '.join(self.bundle.nearest(text))}"
            for text in texts
            if not self.is_label(text)
        )
