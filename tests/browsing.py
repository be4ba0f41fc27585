"""A server of `solspace explore` in a process of its own, and a browser that looks at it."""

from __future__ import annotations

import contextlib
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


def why_not() -> str:
    """Why no browser can be driven here; empty where one can."""
    if not chromium():
        return "chromium is not installed (`make browser` installs it)"
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        return "playwright is not installed (`pip install 'solspace[test]'`)"
    return ""


def chromium() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser")


@contextlib.contextmanager
def served(store: str, *options: str) -> Iterator[str]:
    """The address of a server, which ends with the block."""
    command = [sys.executable, "-m", "solspace", "explore", store, "--port", "0", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if "http://" in line and line.startswith("exploring"):
                address = "http://" + line.split("http://")[1].split()[0]
                _SERVERS[address.rstrip("/").rsplit(":", 1)[1]] = process.pid
                yield address
                return
        raise AssertionError(f"{' '.join(command)} ended with {process.wait()}")
    finally:
        process.terminate()
        process.wait(60)
        process.stdout.close()


@contextlib.contextmanager
def browser() -> Iterator[Any]:
    """A browser of Playwright's."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        made = started.chromium.launch(executable_path=chromium(), args=list(FLAGS))
        try:
            yield made
        finally:
            made.close()


class Page:
    """A page of the explorer, with all that went wrong in it."""

    def __init__(
        self, browser: Any, width: int = 1440, height: int = 1000, dark: bool = False
    ) -> None:
        self.context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light"
        )
        self.page = self.context.new_page()
        self.page.set_default_timeout(10_000)
        self.faults: list[str] = []
        self.requests: list[str] = []
        note = self.faults.append
        self.page.on("console", lambda m: note(f"console: {m.text}") if m.type == "error" else None)
        self.page.on("pageerror", lambda e: note(f"script: {e}"))
        self.page.on("requestfailed", lambda r: note(f"failed: {r.url}"))
        self.page.on(
            "response", lambda r: note(f"{r.status}: {r.url}") if r.status >= 400 else None
        )
        self.page.on("request", lambda r: self.requests.append(r.url))

    def open(self, address: str) -> float:
        """Seconds from the request of a page to its map being drawn."""
        begun = time.perf_counter()
        self.page.goto(address, wait_until="commit")
        self.page.wait_for_function(READY, polling=20)
        return time.perf_counter() - begun

    def do(self, script: str, argument: Any = None) -> Any:
        return self.page.evaluate(f"(given) => {{ {MODELS} {script} }}", argument)

    def watch(self, source: str) -> None:
        """From the next key or mouse button on, wait for a source of data to change."""
        self.do(
            """
            window.begun = null;
            const begin = (e) => { window.begun = window.begun ?? performance.now(); };
            for (const kind of ["pointerdown", "keydown"])
              document.addEventListener(kind, begin, { capture: true, once: true });
            window.took = new Promise((done) => {
              const changed = () => {
                named(given).properties.data.change.disconnect(changed);
                requestAnimationFrame(() => done(performance.now() - window.begun));
              };
              named(given).properties.data.change.connect(changed);
            });
            """,
            source,
        )

    def took(self) -> float:
        """Seconds until what was watched was drawn."""
        late = "new Promise((done) => setTimeout(() => done(-1), 5000))"
        found = float(self.page.evaluate(f"() => Promise.race([window.took, {late}])"))
        assert found >= 0, "nothing changed within 5 s"
        return found / 1000

    def place_of(self, index: int) -> tuple[float, float]:
        """Where on the screen the mark of a network is, by position among those shown."""
        found = self.do(
            """
            const view = Bokeh.index.find_one(map), frame = view.frame_view ?? view.frame;
            const box = view.canvas_view.el.getBoundingClientRect();
            const data = marks.data_source.data;
            return [box.left + frame.x_scale.compute(data.x[given]),
                    box.top + frame.y_scale.compute(data.y[given])];
            """,
            index,
        )
        return float(found[0]), float(found[1])

    def close(self) -> None:
        self.context.close()


_SERVERS: dict[str, int] = {}  # processes by port

# The document of Bokeh, and what of it tests look at.
MODELS = """
const doc = Bokeh.documents[0], all = [...doc._all_models.values()];
const named = (name) => all.find((m) => m.name === name);
const map = named("map"), marks = map.renderers.find((r) => r.name === "marks");
"""
READY = """() => {
  if (!window.Bokeh || !Bokeh.documents || !Bokeh.documents.length) return false;
  const all = [...Bokeh.documents[0]._all_models.values()];
  const map = all.find((m) => m.name && m.name.startsWith("map") && m.inner_width > 0);
  return !!map && Bokeh.documents[0].is_idle;
}"""


def apart(page: Page, count: int) -> list[int]:
    """Marks on the map that no other lies near to, so that a click is for them."""
    found = page.do(
        """
        const { x, y } = marks.data_source.data, n = x.length, out = [];
        const wide = map.x_range.end - map.x_range.start;
        const high = map.y_range.end - map.y_range.start;
        for (let i = 0; i < n; i++) {
          let least = 9;
          for (let j = 0; j < n; j++) if (j !== i)
            least = Math.min(least, Math.hypot((x[i] - x[j]) / wide, (y[i] - y[j]) / high));
          out.push([least, i]);
        }
        return out.sort((a, b) => b[0] - a[0]).slice(0, given).map((row) => row[1]);
        """,
        count,
    )
    return [int(i) for i in found]


def crowded(page: Page, count: int) -> list[tuple[float, float]]:
    """Places on the screen where networks lie that are drawn as a picture."""
    found = page.do(
        """
        const view = Bokeh.index.find_one(map), frame = view.frame_view ?? view.frame;
        const box = view.canvas_view.el.getBoundingClientRect(), out = [];
        const { image, x, y, dw, dh } = named("crowd").data, spots = image[0];
        const [rows, columns] = spots.shape;
        const seen = new Uint8Array(spots.buffer ?? spots.data.buffer);
        for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) {
          if (seen[4 * (i * columns + j) + 3] == 0) continue;
          const at = [x[0] + (j + 0.5) / columns * dw[0], y[0] + (i + 0.5) / rows * dh[0]];
          if (at[0] > map.x_range.start && at[0] < map.x_range.end
              && at[1] > map.y_range.start && at[1] < map.y_range.end)
            out.push([box.left + frame.x_scale.compute(at[0]),
                      box.top + frame.y_scale.compute(at[1])]);
        }
        return Array.from({ length: given }, (_, k) => out[Math.floor(k * out.length / given)]);
        """,
        count,
    )
    return [(float(x), float(y)) for x, y in found]


def click(page: Page, index: int) -> float:
    """Seconds from a click on a mark until its network's output is drawn."""
    return click_at(page, *page.place_of(index))


def click_at(page: Page, x: float, y: float) -> float:
    """Seconds from a click on the map until a network's output is drawn."""
    page.page.wait_for_timeout(400)  # two clicks at once are a double click
    page.watch("output A")
    page.page.mouse.click(x, y)
    return page.took()


def press(page: Page, key: str) -> float:
    """Seconds from a key until the output of A is drawn."""
    page.watch("output A")
    page.page.keyboard.press(key)
    return page.took()


def by_tab(page: Page, most: int = 80) -> list[str]:
    """The names of what the key Tab leads to, from the top of the page on; "? ..." without one."""
    top = "const b = document.body; b.tabIndex = -1; b.focus(); b.removeAttribute('tabindex');"
    page.page.evaluate(f"() => {{ document.activeElement?.blur(); {top} }}")
    found: list[str] = []
    lost = 0
    for _ in range(most):
        page.page.keyboard.press("Tab")
        name = page.page.evaluate(
            """() => {
              let at = document.activeElement;
              while (at?.shadowRoot?.activeElement) at = at.shadowRoot.activeElement;
              if (!at || at === document.body) return null;
              const group = at.closest(".bk-input-group, .bk-slider-title");
              const label = at.labels?.[0] ?? group?.querySelector("label");
              const name = at.getAttribute("aria-label") || at.title || label?.textContent
                || at.textContent || at.placeholder || "";
              return name.trim() || `? ${at.tagName} ${at.className}`;
            }"""
        )
        # A field of several values closes its list first and lets go of the focus for one key.
        lost = lost + 1 if name is None else 0
        if lost > 1:
            break
        if name is not None:
            found.append(name)
    return found


def memory_of(address: str) -> int:
    """Bytes that a server of this machine holds, by the port that it listens on."""
    process = _SERVERS[address.rstrip("/").rsplit(":", 1)[1]]
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("the system does not say how much memory a process holds")


def told(name: str, seconds: list[float]) -> str:
    """Median and 95 % of some times, in a line."""
    ordered = sorted(seconds)
    high = ordered[min(len(ordered) - 1, round(0.95 * (len(ordered) - 1)))]
    return (
        f"{name:<28} median {statistics.median(seconds) * 1000:6.0f} ms, 95 % under "
        f"{high * 1000:6.0f} ms ({len(seconds)} times)"
    )
