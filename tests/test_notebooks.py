"""Notebooks have their outputs, which show no error and nothing of a machine; and they run."""

from __future__ import annotations

import base64
import io
import json
import re

import pytest

from notebooks import run

FIGURES = [f"figure{k}" for k in range(1, 6)]
OWN = ["cluster", "own_networks", "own_recording", "own_task"]
# Of whoever ran them: home folders, temporary ones, an address, an hour, a date with an hour.
MACHINE = re.compile(
    r"/home/|/root|/tmp|/Users/|/work|/dev/shm|[A-Z]:\\\\|\d+\.\d+\.\d+\.\d+:\d+|\d\d:\d\d:\d\d"
    r"|site-packages"
)


def test_they_are_those_of_the_figures_and_of_ones_own():
    assert run.names() == [*FIGURES, *OWN]


def read(name):
    return json.loads((run.HERE / f"{name}.ipynb").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", [*FIGURES, *OWN])
def test_outputs_are_kept_and_plain(name):
    from PIL import Image

    notebook = read(name)
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    assert not any(cell["metadata"] for cell in notebook["cells"])
    outputs = [output for cell in code for output in cell["outputs"]]
    pictures = 0
    for output in outputs:
        assert output["output_type"] in ("stream", "display_data", "execute_result")
        assert output.get("name") != "stderr"
        data = dict(output.get("data", {}))
        if "image/png" in data:
            raw = base64.b64decode(data.pop("image/png"))
            assert len(raw) <= run.LARGEST
            assert Image.open(io.BytesIO(raw)).width > 200
            pictures += 1
        assert set(data) <= {"text/plain", "text/html", "text/markdown"}
        words = "".join("".join(v) for v in (*data.values(), output.get("text", "")))
        assert not MACHINE.search(words), MACHINE.search(words)
        assert "object at 0x" not in words
    assert pictures
    # The last line of a cell that only shows something is what the page is about.
    assert len(outputs) >= len(code) // 2


def test_an_output_is_cleaned_of_a_machine():
    nbformat = pytest.importorskip("nbformat")
    from PIL import Image

    out = io.BytesIO()
    Image.effect_noise((700, 500), 90).convert("RGB").save(out, "PNG")
    png = base64.b64encode(out.getvalue()).decode()
    assert out.tell() > run.LARGEST
    v4 = nbformat.v4
    cell = v4.new_code_cell("show", outputs=[
        v4.new_output("stream", name="stdout", text=f"{run.ROOT}/stores/a.zarr\n"),
        v4.new_output("stream", name="stderr", text="100%|####| 3/3 [00:01]"),
        v4.new_output("display_data", data={"application/javascript": "1", "text/html": "<p>"}),
        v4.new_output("execute_result", data={
            "text/html": f"<img src='data:image/png;base64,{png}' style='x'/>", "text/plain": "hv",
        }),
        v4.new_output("execute_result", data={
            "text/html": "<div class='xr-wrap'></div>", "text/plain": "<xarray.Dataset>",
        }),
    ])  # fmt: skip
    notebook = v4.new_notebook(cells=[cell])
    run.clean(notebook)
    text, picture, table = notebook.cells[0].outputs
    assert text.text == "stores/a.zarr\n"
    assert list(picture.data) == ["image/png"]
    assert len(base64.b64decode(picture.data["image/png"])) <= run.LARGEST
    assert dict(table.data) == {"text/plain": "<xarray.Dataset>"}


@pytest.mark.slow
@pytest.mark.parametrize("name", [*FIGURES, *OWN])
def test_they_run(name, tmp_path):
    pytest.importorskip("nbclient")
    before = {p: p.read_bytes() for p in (run.ROOT / "docs" / "images").glob("two_neuron*.png")}
    try:
        run.run(name, out=tmp_path / "out.ipynb")
    finally:
        for path, content in before.items():
            path.write_bytes(content)
    made = json.loads((tmp_path / "out.ipynb").read_text(encoding="utf-8"))
    kinds = [[o["output_type"] for o in c.get("outputs", [])] for c in made["cells"]]
    assert kinds == [[o["output_type"] for o in c.get("outputs", [])] for c in read(name)["cells"]]


def test_panels_stand_beside_each_other_and_keep_to_a_width():
    from PIL import Image

    from validation.paper.showing import GAP, side_by_side

    made = {"A": Image.new("RGB", (300, 100), "red"), "B": Image.new("RGB", (200, 50), "blue")}
    row = side_by_side(made, ["A", "none", "B"])
    assert row.size == (500 + GAP, 100)
    assert [row.getpixel((x, 50)) for x in (0, 310, 400)] == [
        (255, 0, 0), (255, 255, 255), (0, 0, 255)
    ]  # fmt: skip
    assert side_by_side(made, ["A", "B"], width=262).size == (262, 50)
