"""The page in a real browser: its script runs, its numbers can be read, it fits a phone."""

import html as markup
import re
import shutil
import subprocess

import pytest
from page_reading import Page
from report_days import hand_made_day, trade_a_day
from test_live_and_paper import REFUSED, days_of, traded

from kitestring.report.day_report import day_page
from kitestring.report.live_and_paper import live_and_paper, side_by_side
from kitestring.report.run_facts import read_run
from kitestring.store.paths import list_runs

BROWSER = shutil.which("chromium")
pytestmark = pytest.mark.skipif(BROWSER is None, reason="chromium is not installed")
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-extensions", "--no-first-run", "--host-resolver-rules=MAP * ~NOTFOUND",
    "--virtual-time-budget=3000",
)  # fmt: skip


def dom(path, profile, *flags):
    """The page's elements once its script has run."""
    ran = subprocess.run(
        [BROWSER, *FLAGS, f"--user-data-dir={profile}", *flags, "--dump-dom", path.as_uri()],
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr.decode()[-2000:]
    return ran.stdout.decode()


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    (run,) = list_runs(trade_a_day(tmp_path_factory.mktemp("browser")))
    return run.report


def test_the_script_reads_every_chart_out(report, tmp_path):
    shown = dom(report, tmp_path / "profile")
    page = Page(re.sub(r"<!doctype html>", "", shown, flags=re.IGNORECASE))
    readouts = re.findall(r'<output class="readout">([^<]*)<b>([^<]*)</b></output>', shown)
    charts = [name for name in page.attributes if name.startswith("price-")]
    assert len(readouts) == len(charts) + 1
    clock, result = readouts[0]
    assert re.fullmatch(r"15:\d\d", clock)
    assert result == page.texts["net"]


@pytest.mark.parametrize("width", [390, 768, 1280])
def test_nothing_sticks_out_of_the_page(width, report, tmp_path):
    inner = markup.escape(report.read_text(encoding="utf-8"), quote=True)
    outer = tmp_path / "outer.html"
    outer.write_text(
        f'<!doctype html><meta charset="utf-8"><iframe id="f" srcdoc="{inner}"'
        f' style="width:{width}px;height:2000px;border:0"></iframe><p id="said"></p>'
        "<script>addEventListener('load', () => {"
        " const page = document.getElementById('f').contentDocument.documentElement;"
        " document.getElementById('said').textContent ="
        " page.clientWidth + ' ' + page.scrollWidth; })</script>",
        encoding="utf-8",
    )
    shown = dom(outer, tmp_path / "profile", "--window-size=1400,2100")
    client, scroll = re.search(r'<p id="said">(\d+) (\d+)</p>', shown).groups()
    assert int(client) <= width
    assert int(scroll) <= int(client)


def test_a_live_day_beside_paper_fits_a_phone_and_reads_its_days_out(tmp_path):
    pair = traded(tmp_path, faults=REFUSED)
    days = [*days_of(pair, [("310.00", "120.00"), ("-1220.00", "-2300.00")]), pair]
    day = side_by_side(read_run(pair.live), read_run(pair.paper))
    page = tmp_path / "live.html"
    page.write_bytes(day_page(read_run(pair.live), beside=live_and_paper(day, days)))
    shown = dom(page, tmp_path / "profile")
    assert Page(re.sub(r"<!doctype html>", "", shown, flags=re.IGNORECASE)).texts["live-difference"]
    readouts = re.findall(r'<output class="readout">([^<]*)<b>([^<]*)</b></output>', shown)
    # 120 - 2 300, and -55.015 of the one trade that the broker took.
    assert dict(readouts)["20 Nov"] == "−₹2,235.02"
    test_nothing_sticks_out_of_the_page(390, page, tmp_path)


def test_a_day_of_one_trade_is_shown_too(tmp_path):
    path = tmp_path / "report.html"
    path.write_bytes(day_page(hand_made_day()))
    assert dom(path, tmp_path / "profile").count("<output") == 2
