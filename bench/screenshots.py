"""`make screenshots`: the pictures in docs/images, taken of the running demonstration."""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from localcloud.testing import LocalCloud
from playwright.sync_api import Browser, sync_playwright

from bench import demo
from bench.chromium import MISSING, chromium

IMAGES = demo.ROOT / "docs" / "images"

_MOMENTS = 60
_OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"]


@dataclass(frozen=True)
class Shot:
    file: str
    path: str
    width: int
    height: int
    scheme: str = "light"


SHOTS = (
    Shot("dashboard-top.png", "/admin", 1280, 845),
    Shot("dashboard.png", "/admin", 1280, 1180),
    Shot("dashboard-dark.png", "/admin", 1280, 1180, "dark"),
    Shot("dashboard-phone.png", "/admin", 390, 844),
    Shot("kept-tasks.png", "/admin/kept", 1280, 800),
    Shot("public-page.png", "/", 900, 860),
    Shot("counter-history.png", f"/counters/{demo.COUNTERS[0]}?span=hour", 900, 860),
)


def main() -> int:
    executable = chromium()
    if executable is None:
        print(MISSING, file=sys.stderr)
        return 1
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, demo.stack(Path(folder)) as cloud:
        demo.remember_an_hour(cloud)
        demo.disturb(cloud)
        visitors = demo.Visitors(cloud)
        for moment in range(_MOMENTS):
            visitors.send(3)
            if moment == _MOMENTS - 20:
                # Just before the pictures more gets lost, so that they show tasks between retries.
                cloud.set_faults(deliveries={**demo.DELIVERIES, "lose_request": 0.5})
            time.sleep(0.15)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=executable, args=_OPTIONS)
            for shot in SHOTS:
                _take(browser, cloud, shot)
            browser.close()
        cloud.clear_faults()
    return 0


def _take(browser: Browser, cloud: LocalCloud, shot: Shot) -> None:
    context = browser.new_context(
        viewport={"width": shot.width, "height": shot.height},
        color_scheme="dark" if shot.scheme == "dark" else "light",
        reduced_motion="reduce",
        locale="en-GB",
    )
    name, _, value = cloud.sign_in("ada@example.com").partition("=")
    context.add_cookies([{"name": name, "value": value, "url": cloud.url}])
    page = context.new_page()
    page.goto(cloud.url + shot.path)
    page.locator("h1").first.wait_for(state="attached")
    page.screenshot(path=IMAGES / shot.file)
    print(f"docs/images/{shot.file}: {(IMAGES / shot.file).stat().st_size // 1024} KB")
    context.close()


if __name__ == "__main__":
    sys.exit(main())
