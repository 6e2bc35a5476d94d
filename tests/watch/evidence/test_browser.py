"""The report as a browser lays it out."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import escape, unescape
from pathlib import Path

import pytest
from invented import a_campaign, a_lead, a_run

from stillwatch.records import Case, Notice, Reason, StreamRow
from stillwatch.watch.evidence import render_report

pytestmark = pytest.mark.browser

#: Lays the page out as on a telephone and tells what sticks out.
MEASURE = """
<script>
addEventListener("load", () => {
  const page = document.querySelector("iframe").contentDocument;
  const unseen = e => { const head = e.closest("thead"); return head && page.defaultView.getComputedStyle(head).position == "absolute"; };
  const wide = [...page.querySelectorAll("body *")].filter(e => !unseen(e)).filter(e => e.getBoundingClientRect().right > WIDTH + 0.5 || e.scrollWidth > e.clientWidth + 1 && page.defaultView.getComputedStyle(e).overflowX != "visible");
  document.title = JSON.stringify({page: page.documentElement.scrollWidth, wide: wide.map(e => e.outerHTML.slice(0, 120)), height: page.documentElement.scrollHeight});
});
</script>
"""


@pytest.fixture(scope="module")
def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("Chromium is not installed")
    return found


def laid_out(chromium: str, html: str, width: int, tmp_path: Path) -> dict[str, object]:
    # The window of a headless browser has a least width; a frame has none.
    html = re.sub("<meta http-equiv[^>]*>", "", html)
    frame = f'<iframe width="{width}" height="900" style="border:0" srcdoc="{escape(html)}"></iframe>'
    (tmp_path / "frame.html").write_text(f"<!doctype html>{MEASURE.replace('WIDTH', str(width))}{frame}")
    flags = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-component-update --disable-sync"
    command = [chromium, *flags.split(), "--hide-scrollbars", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom"]
    done = subprocess.run([*command, (tmp_path / "frame.html").as_uri()], capture_output=True, text=True, timeout=120, check=True)
    title = re.search("<title>(.*?)</title>", done.stdout)
    assert title, done.stdout[:500]
    return dict(json.loads(unescape(title[1])))


def hard_case() -> Case:
    """Long ids, long words, all kinds of pictures."""
    long = "x" * 90
    streams = tuple(
        StreamRow(f"{long}{i}", 10**9, 10**8, 1e9, 1.1e9, 1234.5, {k: f"{k}{i % 3}" for k in ("card", "mail domain", "mail pattern", "sign-up day", "age", "address")})
        for i in range(20)
    )  # fmt: skip
    reasons = tuple(
        Reason(q, 30.0 - 5 * i, f"A sentence. {long}", (long, long), True, 30.0, q) for i, q in enumerate(("hand", "hidden", "harvest"))
    )
    c = a_campaign(streams=streams, accounts=20, reasons=(*reasons, Reason("mail", -8.0, "Against.")), against=(long,), families=(long, long), skeletons=a_campaign().skeletons * 2, threshold_bits=20.0, tested=10**6)  # fmt: skip
    lone = a_campaign(id="c-2", kind="single", accounts=1, streams=streams[:1])
    inputs = ({**a_run().inputs[0], "file": long}, {"file": "accounts.csv", "bytes": 9, "sha256": "cd" * 32, "kind": "accounts"})
    run = a_run(inputs=inputs, command=f"stillwatch detect {long}", notices=(Notice("x", long), Notice("y", long, 0.5, "calls", long)))
    return Case(run, (c, lone), (a_lead(accounts=(long,) * 11, why=long),))


@pytest.mark.parametrize("width", [375, 860, 861, 1280])
def test_nothing_sticks_out_sideways(chromium: str, width: int, tmp_path: Path) -> None:
    measured = laid_out(chromium, render_report(hard_case(), generated_at=1.7e9).html, width, tmp_path)
    assert measured["wide"] == []
    assert measured["page"] == width
    assert int(str(measured["height"])) > 1500
