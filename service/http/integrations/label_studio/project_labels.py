"""The labels of a project beside those of the bundle."""

from __future__ import annotations

from dataclasses import dataclass

from models.labels import LabelSet
from service.http.integrations.label_studio.label_config import LabelConfig, ProjectLabel, RegionControl


@dataclass(frozen=True)
class ProjectLabels:
    """Translates between the bundle's names and a project's; spellings and aliases do not matter."""

    bundle: LabelSet
    config: LabelConfig

    def text_in(self, control: RegionControl, name: str) -> str | None:
        """Return how a control's results write a label of the bundle; None if it has no such label."""
        index = self.bundle.index(name)
        if index is None:
            return None
        return next((label.text for label in control.labels if self._index(label) == index), None)

    def allowed(self, name: str) -> bool:
        """Return whether any output of the project has a label of the bundle."""
        return any(self.text_in(control, name) is not None for control in self.config.outputs)

    def tag(self, choice: ProjectLabel) -> str:
        """Return what a choice means: its text if the bundle knows it, else what people see."""
        return choice.text if self.bundle.index(choice.text) is not None else choice.shown

    def is_known(self, label: ProjectLabel) -> bool:
        """Return whether the bundle has a label or a choice, as a name or an alias."""
        return self._index(label) is not None

    def warnings(self) -> tuple[str, ...]:
        """Return a sentence for each label of the project that the bundle does not know."""
        labels = dict.fromkeys(label for control in self.config.outputs for label in control.labels)
        return tuple(
            f"{label.shown!r} is not predicted: the bundle has no such label, the nearest are "
            f"{', '.join(self.bundle.nearest(label.shown))}"
            for label in labels
            if not self.is_known(label)
        )

    def _index(self, label: ProjectLabel) -> int | None:
        return self.bundle.index(self.tag(label))
