"""The report page: what it holds, and what headless Chromium makes of it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from slth import figures
from slth.report import Section, write_report

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)

# Written into the page's title once everything is drawn: what a reader at 400 px would find.
PROBE = """<script>
const errors = [];
addEventListener("error", event => errors.push(event.message || "a resource failed"), true);
addEventListener("load", () => {
  const column = (table, i) => [...table.tBodies[0].rows].map(row => row.cells[i].textContent);
  const sorts = [];
  for (const table of document.querySelectorAll("table")) {
    [...table.tHead.rows[0].cells].forEach((head, i) => {
      for (let click = 0; click < 2; click++) {
        head.querySelector("button").click();
        sorts.push([i, head.getAttribute("aria-sort"), column(table, i)]);
      }
    });
  }
  document.querySelectorAll("details").forEach(one => { one.open = true; });
  const page = document.scrollingElement;
  document.title = JSON.stringify({
    errors, sorts, images: [...document.images].map(one => [one.naturalWidth, one.getBoundingClientRect().width]),
    width: innerWidth, page: page.scrollWidth,
    box: [...document.querySelectorAll(".table")].map(one => one.clientWidth),
    focusable: [...document.querySelectorAll("th button")].every(one => one.tabIndex === 0),
  });
});
</script>"""


def sections() -> list[Section]:
    ax = figures.accuracy_against_width(widths=[10, 20, 40], accuracy=[0.5, 0.6, 0.7], target=0.9)
    numbers = [("b", "1,200", "0.5 [0.4, 0.6]"), ("a", "30", "–"), ("c", "400", "2e-3"), ("d & <e>", "7", "12")]
    return [
        Section("Numbers", "First.\n\nSecond.", ("name", "count", "error"), numbers, figure=ax, caption="A caption"),
        Section(
            "Long",
            header=[f"column {i} of many" for i in range(12)],
            rows=[[i * j for j in range(12)] for i in range(40)],
        ),
        Section(
            "Odd",
            header=("layer", "width"),
            rows=[("conv10", "> 128"), ("conv9", "not in range"), ("fc", "128"), ("conv1", "+64"), ("out", "≤ 8")],
        ),
        Section("Code", code="slth study run width --out " + "a-long-folder/" * 20),
    ]


@pytest.fixture(scope="module", name="page")
def _page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    lead = "Lead with averyveryverylongwordthatdoesnotfitintoanarrowpage" * 2
    return write_report(folder / "report.html", title="A <title>", lead=lead, sections=sections(), footer="End.")


def test_the_page_is_self_contained_and_escaped(page: Path) -> None:
    text = page.read_text()
    assert not re.search(r"(src|href)=\"(?!data:)", text)
    assert "http" not in text
    assert "A &lt;title&gt;" in text
    assert "d &amp; &lt;e&gt;" in text
    assert text.count("<details>") == 1
    assert text.index("<img") < text.index("<table>")
    assert text.count('aria-sort="none"') == 3 + 12 + 2


def probe(page: Path, width: int) -> dict[str, Any]:
    """What Chromium finds in a copy of the page with the probe in it."""
    if CHROMIUM is None:
        pytest.skip("no Chromium here: the page was not opened in a browser")
    copy = page.with_name(f"probe-{width}.html")
    copy.write_text(page.read_text().replace("<style>", f"{PROBE}<style>", 1))
    # A headless window is at least 500 px wide: a frame of the wanted width stands in for it.
    outer = page.with_name(f"outer-{width}.html")
    outer.write_text(
        f'<!doctype html><title>waiting</title><iframe id="f" src="{copy.name}" width="{width}" height="800"></iframe>'
        "<script>const frame = document.getElementById('f');"
        "setInterval(() => { document.title = frame.contentDocument.title; }, 50)</script>"
    )
    done = subprocess.run(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files",
         f"--user-data-dir={page.parent / 'profile'}", "--enable-logging=stderr", "--virtual-time-budget=3000",
         "--window-size=1000,1000", "--dump-dom", outer.as_uri()],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ":CONSOLE" not in done.stderr, done.stderr
    title = re.search(r"<title>(.*?)</title>", done.stdout, re.DOTALL)
    assert title, done.stderr
    found: dict[str, Any] = json.loads(title[1].replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">"))
    return found


def test_a_browser_draws_it_at_400_pixels(page: Path) -> None:
    found = probe(page, 400)
    assert found["errors"] == []
    assert found["width"] == 400
    assert found["page"] <= 400, "the page scrolls sideways"
    assert len(found["images"]) == 1
    assert all(natural > 0 and 0 < shown <= 400 for natural, shown in found["images"])
    assert all(0 < width <= 400 for width in found["box"])
    assert found["focusable"]


def test_a_click_on_a_header_sorts(page: Path) -> None:
    found = probe(page, 900)["sorts"]
    first = {(column, order): cells for column, order, cells in found[:6]}
    assert first[0, "ascending"] == ["a", "b", "c", "d & <e>"]
    assert first[0, "descending"] == ["d & <e>", "c", "b", "a"]
    assert first[1, "ascending"] == ["7", "30", "400", "1,200"]
    # What is no number stays last in both orders.
    assert first[2, "ascending"] == ["2e-3", "0.5 [0.4, 0.6]", "12", "–"]
    assert first[2, "descending"] == ["12", "0.5 [0.4, 0.6]", "2e-3", "–"]
    odd = {(column, order): cells for column, order, cells in found[-4:]}
    assert odd[0, "ascending"] == ["conv1", "conv9", "conv10", "fc", "out"]
    assert odd[1, "ascending"] == ["≤ 8", "+64", "128", "> 128", "not in range"]
    assert odd[1, "descending"] == ["> 128", "128", "+64", "≤ 8", "not in range"]
    long = [cells for column, order, cells in found[6:-4] if column == 3 and order == "descending"]
    assert long == [[str(3 * i) for i in reversed(range(40))]]


def test_a_report_without_tables_has_no_script_errors(tmp_path: Path) -> None:
    path = write_report(
        tmp_path / "plain.html", title="Plain", lead="", sections=[Section("Only text", "x")], footer=""
    )
    assert probe(path, 400)["errors"] == []
