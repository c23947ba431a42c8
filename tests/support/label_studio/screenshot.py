"""Write the image of docs/labelling/label-studio.md. It needs `make label-studio` and Debian's `chromium`.

python -m tests.support.label_studio.screenshot docs/images/label-studio.jpg
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.support.label_studio.project import Project, predicted_project
from tests.support.label_studio.server import EMAIL, PASSWORD, label_studio

CONFIG = """
<View>
  <Choices name="tags" toName="image" choice="multiple" showInline="true">
    <Choice value="Screwdriver"/><Choice value="Wood"/><Choice value="Wrench"/></Choices>
  <BrushLabels name="brush" toName="image">
    <Label value="Screwdriver" background="#d62728"/><Label value="Wood" background="#1f77b4"/>
    <Label value="Wrench" background="#2ca02c"/></BrushLabels>
  <Image name="image" value="$image"/>
</View>
"""
DRAWING_MS = 5000


def main(path: Path) -> None:
    """Make a project, let the service predict it, and photograph a task in Label Studio's own page."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with label_studio(folder) as studio, predicted_project(studio, folder, CONFIG) as project:
            version = project.prediction("prediction")["model_version"]
            studio.api.patch(f"/api/projects/{project.id}", json={"model_version": version})
            _photograph(project, path)


def _photograph(project: Project, path: Path) -> None:
    url = project.studio.url
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1080, "height": 760})
        page.goto(f"{url}/user/login/")
        page.fill("input[name=email]", EMAIL)
        page.fill("input[name=password]", PASSWORD)
        page.press("input[name=password]", "Enter")
        page.wait_for_load_state("networkidle")
        page.goto(f"{url}/projects/{project.id}/data?task={project.tasks['prediction']}")
        page.get_by_text("weaksam").first.click()
        page.wait_for_timeout(DRAWING_MS)
        page.screenshot(path=path, type="jpeg", quality=80)
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
