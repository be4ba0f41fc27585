"""The explorer in JupyterLab, in a real browser: a cell is run, the map is clicked."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import browsing
import pytest

import solspace

STORE = Path(solspace.__file__).resolve().parents[1] / "stores" / "turner2021.zarr"
CELL = f"""import panel, solspace
panel.extension(inline=True)  # no net is needed
ds = solspace.open_population({str(STORE)!r}, "interval_reproduction", "vanilla")
solspace.explore(ds.isel(network=slice(60)).load())"""


def lab() -> str | None:
    """The program of JupyterLab, of this environment or on the path."""
    beside = Path(sys.executable).parent / "jupyter-lab"
    return str(beside) if beside.exists() else shutil.which("jupyter-lab")


@contextlib.contextmanager
def jupyter(folder: Path) -> Iterator[str]:
    """The address of a notebook with one cell, whose kernel is this Python."""
    cell = {"cell_type": "code", "source": CELL, "metadata": {}, "outputs": [], "id": "one",
            "execution_count": None}  # fmt: skip
    spec = {"name": "python3", "display_name": "Python 3"}
    notebook = {"cells": [cell], "metadata": {"kernelspec": spec}, "nbformat": 4,
                "nbformat_minor": 5}  # fmt: skip
    (folder / "explore.ipynb").write_text(json.dumps(notebook))
    kernel = folder / "share" / "kernels" / "python3"
    kernel.mkdir(parents=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (kernel / "kernel.json").write_text(
        json.dumps({"argv": argv, "display_name": "Python 3", "language": "python"})
    )
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    root = str(Path(solspace.__file__).resolve().parents[1])
    own = {
        "JUPYTER_PATH": str(folder / "share"), "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_RUNTIME_DIR": str(folder / "run"), "JUPYTER_DATA_DIR": str(folder / "data"),
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"), "PYTHONPATH": root,
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
    }  # fmt: skip
    program = lab()
    assert program is not None
    command = [program, "--no-browser", f"--port={port}", "--ServerApp.port_retries=0", str(folder),
               "--IdentityProvider.token=", "--ServerApp.allow_root=True",
               "--KernelSpecManager.ensure_native_kernel=False",
               "--LabApp.news_url=", "--LabApp.check_for_updates_class="
               "jupyterlab.handlers.announcements.NeverCheckForUpdate"]  # fmt: skip
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, env=os.environ | own, stdout=log, stderr=log)
        try:
            address = f"http://127.0.0.1:{port}"
            for _ in range(600):
                with contextlib.suppress(OSError):
                    urllib.request.urlopen(f"{address}/api", timeout=5).close()
                    break
                assert process.poll() is None, (folder / "log").read_text()
                time.sleep(0.2)
            yield f"{address}/lab/tree/explore.ipynb"
        finally:
            process.terminate()
            process.wait(30)


@pytest.mark.slow
@pytest.mark.skipif(bool(browsing.why_not()), reason=browsing.why_not() or "there is a browser")
@pytest.mark.skipif(lab() is None, reason="needs jupyter-lab; type `pip install jupyterlab`")
def test_in_a_notebook(tmp_path: Path) -> None:
    """A click on the map of a cell changes the network that is shown."""
    pytest.importorskip("ipykernel")
    with jupyter(tmp_path) as address, browsing.browser() as browser:
        page = browser.new_page(viewport={"width": 1500, "height": 1100})
        faults: list[str] = []
        page.on("pageerror", lambda e: faults.append(f"script: {e}"))
        page.set_default_timeout(120_000)
        page.goto(address)
        page.locator(".jp-Notebook .jp-Cell .cm-content").first.click()
        page.keyboard.press("Control+Enter")
        there = f"{MODELS} return map?.inner_width > 0;"
        drawn = f"() => {{ if (!window.Bokeh?.documents) return false; {there} }}"
        page.wait_for_function(drawn, polling=200)
        page.wait_for_timeout(2000)
        x, y, name = page.evaluate(PLACE)
        page.mouse.click(x, y)
        page.get_by_text(f"A: {name}").wait_for(timeout=60_000)
        if where := os.environ.get("SCREENSHOT"):
            page.wait_for_timeout(2000)
            page.screenshot(path=where)
    assert faults == []


MODELS = """
const all = Bokeh.documents.flatMap((one) => [...one._all_models.values()]);
const map = all.find((m) => m.name === "map");
"""
# Where a network lies that is not looked at yet, and what it is called.
PLACE = f"""() => {{ {MODELS}
const marks = map.renderers.find((r) => r.name === "marks").data_source.data;
const view = Bokeh.index.find_one(map), frame = view.frame_view ?? view.frame;
const box = view.canvas_view.el.getBoundingClientRect();
let best = [-1, 0];
for (let i = 1; i < marks.x.length; i++) {{
  let least = Infinity;
  for (let j = 0; j < marks.x.length; j++)
    if (j !== i) least = Math.min(least, Math.hypot(marks.x[i] - marks.x[j],
                                                    marks.y[i] - marks.y[j]));
  if (least > best[0]) best = [least, i];
}}
const i = best[1];
return [box.left + frame.x_scale.compute(marks.x[i]),
        box.top + frame.y_scale.compute(marks.y[i]), marks.name[i]];
}}"""
