"""The report in a real browser: quiet, offline, sortable, and never wider than the phone."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from PIL import Image

from vidan.pipeline.events import Event, EventKind
from vidan.pipeline.manifest import Manifest
from vidan.pipeline.report.html import write_report
from vidan.pipeline.report.intervals import StreamSpan
from vidan.pipeline.report.recorded import RecordedRun, rule_to_record
from vidan.pipeline.report.rule_info import RuleInfo
from vidan.pipeline.report.summary import summarize
from vidan.pipeline.run_folder import RunFolder
from vidan.pipeline.stages import SourceHealth
from vidan.pipeline.stream_record import StreamRecord

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.needs_browser

LONG = "a-name-without-any-place-to-break-it-" * 4
NASTY = "<img src=x onerror=alert(1)>"
DAY = 86_400.0


class Visit(NamedTuple):
    page: Page
    complaints: list[str]
    requests: list[str]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium as the system has it."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("needs Chromium (apt-get install chromium)")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


def write_run(folder: Path, number: int) -> Path:
    """A day of one stream with so many events, ids like those of real runs, and a few stills."""
    rng = random.Random(0)
    events = [
        Event(
            f"{rng.getrandbits(64):016x}",
            *(EventKind.LINE_CROSSED, "door", rng.choice(["gate", LONG]), i, rng.choice(["person", NASTY])),
            pts_seconds=(i + rng.random()) * DAY / number,
            utc=None,
            frame=i,
            box=(10.0, 10.0, 40.0, 60.0),
            details={"direction": rng.choice(["in", "out"]), "certainty": "interpolated" if i % 10 == 3 else "seen"},
        )
        for i in range(number)
    ]
    rules = [RuleInfo("door", name, "line", ("person", NASTY), ("in", "out")) for name in ("gate", LONG)]
    health = SourceHealth(duration_seconds=DAY, gaps=[(100.0, 5000.0)], problems=[LONG])
    manifest = Manifest(
        config={"streams": [{"name": "door"}], "rules": {}, "output": {"interval_seconds": 900.0}},
        detector={"weights_sha256": "ab" * 32},
        streams=[StreamRecord("door", LONG, health, number, DAY, None, 100, 200)],
        rules=[rule_to_record(rule) for rule in rules],
    )
    run = RunFolder(folder)
    run.evidence.mkdir()
    for event in events[:3]:
        Image.new("RGB", (200, 100), (90, 20, 20)).save(run.evidence / f"{event.id}.jpg")
    summary = summarize(events, rules, [StreamSpan("door", DAY)], 900.0)
    write_report(run.report, RecordedRun(run, manifest.to_record(), summary, events))
    return run.report


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("run"), 500)


@contextmanager
def visiting(browser: Browser, path: Path, width: int = 1280, script: bool = True) -> Iterator[Visit]:
    context = browser.new_context(viewport={"width": width, "height": 800}, java_script_enabled=script)
    page = context.new_page()
    visit = Visit(page, [], [])
    page.on("console", lambda message: visit.complaints.append(message.text))
    page.on("pageerror", lambda error: visit.complaints.append(str(error)))
    page.on("dialog", lambda dialog: visit.complaints.append("a dialog"))
    page.on("request", lambda request: visit.requests.append(request.url))
    page.goto(path.as_uri())
    if script:
        page.wait_for_selector(".ledger[data-ready]")
    yield visit
    context.close()


def column(page: Page, name: str) -> list[str]:
    return page.locator(f'#events ~ .card .ledger td[data-name="{name}"]').all_inner_texts()


@pytest.mark.parametrize("width", [1280, 390])
def test_it_is_quiet_and_offline_and_fits_the_screen(browser: Browser, report: Path, width: int) -> None:
    with visiting(browser, report, width) as visit:
        page = visit.page
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.locator(".ledger img").count() == 3
        assert page.evaluate("[...document.images].every((image) => image.naturalWidth > 0)")
        page.select_option("select[name=direction]", label="out")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert visit.complaints == []
        assert [url for url in visit.requests if not url.startswith("data:")] == [report.as_uri()]


def test_events_sort_and_turn_pages(browser: Browser, report: Path) -> None:
    with visiting(browser, report) as visit:
        page = visit.page
        first = column(page, "time")
        assert len(first) == 50
        assert first == sorted(first, key=lambda text: [float(part) for part in text.split(":")])
        page.get_by_role("button", name="Next").click()
        assert "51 to 100 of 500" in page.locator(".pager").inner_text()
        page.get_by_role("button", name="time", exact=False).first.click()
        assert column(page, "time")[0].startswith("23:5")
        page.get_by_role("columnheader", name="track").get_by_role("button").click()
        assert page.locator("td.n:has(+ td.pic)").all_inner_texts()[:3] == ["", "1", "2"]


def test_events_filter_by_column_and_by_text(browser: Browser, report: Path) -> None:
    with visiting(browser, report) as visit:
        page = visit.page
        page.select_option("select[name=certainty]", label="interpolated")
        assert set(column(page, "certainty")) == {"interpolated"}
        assert "1 to 50 of 50, filtered from 500" in page.locator(".pager").inner_text()
        page.fill("input[type=search]", "13")
        assert "of 1, filtered" in page.locator(".pager").inner_text()
        page.fill("input[type=search]", "nothing like this")
        assert "No row fits the filters" in page.locator(".pager").inner_text()
        assert visit.complaints == []


def test_without_a_script_the_first_rows_stand_there(browser: Browser, report: Path) -> None:
    with visiting(browser, report, script=False) as visit:
        assert len(column(visit.page, "time")) == 100
        assert "The first 100 of 500" in visit.page.locator(".ledger").inner_text()


def test_it_prints(browser: Browser, report: Path) -> None:
    with visiting(browser, report) as visit:
        data = visit.page.pdf(format="A4")
        assert data.startswith(b"%PDF")
        assert data.count(b"/Type /Page\n") in range(2, 12)


def test_a_day_of_100_000_events_is_small_and_opens_fast(browser: Browser, tmp_path: Path) -> None:
    path = write_run(tmp_path, 100_000)
    assert path.stat().st_size < 10_000_000
    with visiting(browser, path) as visit:
        ready = visit.page.evaluate("performance.now()")
        assert "of 100,000" in visit.page.locator(".pager").inner_text()
        assert ready < 10_000, "milliseconds; measured 1 to 2 s beside other work"
        took = visit.page.evaluate(
            """() => {
                const began = performance.now();
                document.querySelector('[data-key="track"] button').click();
                return performance.now() - began;
            }"""
        )
        assert took < 3_000
