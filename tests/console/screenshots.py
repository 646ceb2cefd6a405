"""`make screenshots`: the console's main pages as pictures in docs/images/, of a stack that is made for it.

Everything on them has happened there: the demo's story, a provider that revoked its access, articles that vanished.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import httpx
from playwright.sync_api import Browser, Page, sync_playwright

from supportly.dev import demo
from supportly.dev.console import Report
from supportly.dev.stack import ACCOUNT_ID, ROOT, Stack
from tests.console.conftest import chromium

IMAGES: Final = ROOT / "docs" / "images"
LARGEST: Final = 200_000
"""Bytes of one picture."""
WIDTH: Final = 1200
GROWTH: Final = (40, 90, 60)
"""Articles that are written between syncs, so that the charts have a course."""


class Scene:
    """A running stack, and the browser that looks at it."""

    def __init__(self, stack: Stack, browser: Browser) -> None:
        self.stack, self.browser = stack, browser
        root = f"{stack.api_url}/api/v1/accounts/{ACCOUNT_ID}/supportly_integrations"
        self.api = httpx.Client(base_url=root, headers={"api_access_token": stack.admin_token}, timeout=120)
        self.pages = f"{stack.console_url}/accounts/{ACCOUNT_ID}"

    def control(self, path: str, body: Any = None) -> Any:
        """Speak to the sandbox's control plane."""
        answer = httpx.post(f"{self.stack.sandbox_url}/_sandbox{path}", json=body, timeout=60).raise_for_status()
        return answer.json()

    def sync(self) -> None:
        """Sync Zendesk to the end."""
        self.api.post("/zendesk/knowledge/sync", headers={"Prefer": "wait=60"}).raise_for_status()

    def picture(
        self, name: str, path: str, show: Callable[[Page], Any], *, dark: bool = False, height: int = 800
    ) -> None:
        """One picture of a page, once `show` has made it show what it shall."""
        context = self.browser.new_context(
            viewport={"width": WIDTH, "height": height}, color_scheme="dark" if dark else "light"
        )
        context.request.post(f"{self.stack.console_url}/sign-in", form={"token": self.stack.admin_token})
        page = context.new_page()
        page.goto(self.pages + path)
        show(page)
        file = IMAGES / f"{name}.png"
        page.screenshot(path=file)
        context.close()
        assert file.stat().st_size < LARGEST, f"{file} is too large"
        print(f"  {file.relative_to(ROOT)}  {file.stat().st_size // 1000} kB")  # noqa: T201 (for who runs it)


def prepare(scene: Scene) -> None:
    """A help centre that has grown, and a provider that has ended its access."""
    for count in GROWTH:
        scene.control("/zendesk/seed", {"generate": {"articles": count, "seed": count}})
        scene.sync()
        time.sleep(4)  # the charts are about time
    scene.control("/pipedrive/expire")
    scene.control("/pipedrive/revoke")
    scene.api.get("/pipedrive/contacts/1")
    deadline = time.monotonic() + 60
    while scene.api.get("/pipedrive").json()["status"] != "reconnect_required":
        assert time.monotonic() < deadline, "Pipedrive's access did not end"
        time.sleep(0.2)


def draw(scene: Scene) -> None:
    """All pictures."""
    scene.picture("overview", "", lambda page: page.wait_for_selector(".card-bad"), height=1010)
    scene.picture("overview-dark", "", lambda page: page.wait_for_selector(".card-bad"), dark=True, height=1010)
    scene.picture("search", "/search?q=How+do+I+reset+my+password%3F", lambda page: page.wait_for_selector(".hit"))
    moved = {"id": 2, "name": "Benjamin Okafor", "phone_number": "+14155550177"}
    scene.control("/supportly/seed", {"contacts": [moved]})
    scene.picture("contact", "/contacts?contact=2&provider=zendesk", plan, height=1260)
    scene.control("/faults", {"provider": "zendesk", "path": "/api/v2/help_center/.*", "delay": 2, "times": 12})
    scene.picture("sync", "/integrations/zendesk/knowledge", syncing, height=1000)
    httpx.delete(f"{scene.stack.sandbox_url}/_sandbox/faults")
    scene.sync()
    held = [{"id": record["id"], "_deleted": True} for record in articles(scene)]
    scene.control("/zendesk/seed", {"articles": held[: len(held) // 2]})
    scene.sync()
    scene.sync()
    scene.picture("held", "/integrations/zendesk/knowledge", lambda page: page.wait_for_selector("#held"), height=850)


def articles(scene: Scene) -> list[dict[str, Any]]:
    """The help centre's articles."""
    found: list[dict[str, Any]] = httpx.get(
        f"{scene.stack.sandbox_url}/_sandbox/zendesk/records", params={"kind": "articles"}
    ).json()
    return found


def plan(page: Page) -> None:
    """Let the page show what a sync would change."""
    page.wait_for_selector("#compare")
    page.click("text=Show what would change")
    page.wait_for_selector("#plan .diff, #plan .alert")


def syncing(page: Page) -> None:
    """Start a sync, and wait until it is on its way."""
    page.click("text=Sync now")
    bar = page.locator("#progress progress[value]")
    # The policy forbids `wait_for_function`, which makes code of a text; so the waiting is done here.
    while float(bar.get_attribute("value") or 0) < 0.2 * float(bar.get_attribute("max") or 0):
        page.wait_for_timeout(100)


def main() -> None:
    """Start a stack, tell the demo's story to it, and draw."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="spl-s-") as made:
        Path(made).chmod(0o755)
        with Stack(Path(made)).start() as stack, sync_playwright() as playwright:
            demo.tell(stack, Report())
            browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
            scene = Scene(stack, browser)
            prepare(scene)
            draw(scene)
            browser.close()


if __name__ == "__main__":
    main()
