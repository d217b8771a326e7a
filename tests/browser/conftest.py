"""A browser, and the pages that it is shown."""

from __future__ import annotations

import json
import shutil

import pytest
from board_runs import board_run

from invbench.report.board import write_board

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
DRIVER = shutil.which("chromedriver")
PAGES = {
    "board": "index.html",
    "model": "models/chimle.html",
    "report": "runs/one/report.html",
}
WIDE, PHONE = (1280, 900), (375, 800)


class Browser:
    """Chromium at a page, and what it did to show it."""

    def __init__(self, driver):
        self.driver = driver

    def command(self, name, **parameters):
        return self.driver.execute_cdp_cmd(name, parameters)

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def open(self, path, *, size=WIDE, scheme="light", media="screen"):
        """Show a page anew; what an earlier page wrote to the logs is forgotten."""
        self.command(
            "Emulation.setDeviceMetricsOverride",
            width=size[0],
            height=size[1],
            deviceScaleFactor=1,
            mobile=False,
        )
        self.command(
            "Emulation.setEmulatedMedia",
            media=media,
            features=[{"name": "prefers-color-scheme", "value": scheme}],
        )
        for log in ("browser", "performance"):
            self.driver.get_log(log)
        self.driver.get(path.as_uri())

    def requested(self):
        """Return the address of everything that was asked for since the page was opened."""
        entries = (json.loads(one["message"]) for one in self.driver.get_log("performance"))
        messages = [one["message"] for one in entries]
        sent = [one for one in messages if one["method"] == "Network.requestWillBeSent"]
        return [one["params"]["request"]["url"] for one in sent]

    def console(self):
        """Return what went wrong, as the browser's console has it."""
        return [one["message"] for one in self.driver.get_log("browser")]

    def press(self, *keys):
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.driver).send_keys(*keys).perform()


@pytest.fixture(scope="session")
def browser():
    selenium = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    if not (CHROMIUM and DRIVER):
        pytest.skip("no chromium or chromedriver on the path")
    options = selenium.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage"):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = selenium.Chrome(options=options, service=selenium.ChromeService(DRIVER))
    yield Browser(driver)
    driver.quit()


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("board")
    models = {"chimle": 28.0, "cimle": 27.99, "ndm": 9.5}
    board_run(folder / "runs" / "one", day=1, models=models)
    board_run(folder / "runs" / "two", day=2, models={"chimle": 30.0})
    (folder / "runs" / "empty").mkdir()
    write_board([folder / "runs", folder / "runs" / "empty"], folder / "site")
    return folder / "site"


@pytest.fixture(params=PAGES)
def page(request, site):
    return site / PAGES[request.param]


@pytest.fixture(params=[name for name in PAGES if name != "model"])
def scores(request, site):
    """Return a page that has a table of scores to sort and filter."""
    return site / PAGES[request.param]
