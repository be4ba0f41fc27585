"""What the README and the docs show runs as written."""

from __future__ import annotations

import platform
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from blocks import python_blocks

from solspace.cli import main

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.S)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """A store with every group, of networks that were not trained: quick to make."""
    folder = tmp_path_factory.mktemp("readme")
    files = []
    for i in range(2):
        rng = np.random.default_rng(i)
        shapes = {
            "rnn.weight_ih_l0": (20, 2),
            "rnn.weight_hh_l0": (20, 20),
            "rnn.bias_ih_l0": (20,),
            "rnn.bias_hh_l0": (20,),
            "fc.weight": (1, 20),
            "fc.bias": (1,),
        }
        path = folder / f"20_i{i}.pt"
        torch.save(
            {k: torch.from_numpy(rng.normal(0, 0.3, s).astype("f4")) for k, s in shapes.items()},
            path,
        )
        files.append(str(path))
    store = str(folder / "demo.zarr")
    where = ["--task", "interval_reproduction", "--architecture", "vanilla"]
    assert main(["import", store, *where, *files]) == 0
    assert main(["run", store, "--quiet"]) == 0
    return store


def test_the_xarray_lines_run_as_written(demo, capsys):
    (first,) = python_blocks("README.md", containing="stores/demo.zarr")
    (second,) = python_blocks("README.md", containing="where(")
    names: dict = {}
    exec(first.replace("stores/demo.zarr", demo), names)
    assert "solution" in capsys.readouterr().out
    assert len(second.strip().splitlines()) == 1  # one line, as it says
    value = eval(second.strip(), names)
    population, training = names["population"], names["training"].load()
    chosen = training.activity.values[population.solution.values == 0][:, 10, 10:35]
    assert value.item() == pytest.approx(np.nanmean(chosen), rel=1e-5)


def test_the_python_example_runs(demo):
    (block,) = python_blocks("README.md", containing="import_networks")
    model = torch.nn.ModuleDict({"rnn": torch.nn.RNN(2, 20), "fc": torch.nn.Linear(20, 1)})
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2)
    names: dict = {"model": model}
    exec(block, names)
    assert names["training"].activity.dims == ("network", "trial", "time", "unit")
    assert names["labeled"].solution.dims == ("network",)


def test_the_commands_exist():
    from solspace.cli.arguments import make_parser

    parser = make_parser()
    verbs = next(a for a in parser._actions if a.dest == "verb").choices
    shown = set(re.findall(r"^solspace (\w+)", README, flags=re.M))
    assert shown <= set(verbs)
    assert {"train", "run", "info", "report", "check", "import"} <= shown


def test_ci_lints_and_runs_the_readmes_test_command():
    assert "make test" in blocks("sh")[0]
    ci = (ROOT / ".ci" / "run").read_text()
    commands = [
        line for line in ci.splitlines() if line and not line.startswith(("#", "set", "cd"))
    ]
    assert commands == ["make lint", "make test"]


@pytest.mark.skipif(
    platform.machine().lower() not in ("x86_64", "amd64") or not shutil.which("make"),
    reason="needs make and an x86-64 processor",
)
def test_as_on_an_avx2_machine_is_without_avx512():
    """What `make test-avx2` sets, read by the libraries it is meant for."""
    code = """
import llvmlite.binding, numba, numpy, scipy.linalg, threadpoolctl, torch
from numba.core.registry import cpu_target
from numpy._core._multiarray_umath import __cpu_features__ as features
codegen = cpu_target.target_context.codegen()
print(codegen._get_host_cpu_name(), repr(codegen._get_host_cpu_features()))
print([name for name in ("X86_V4", "AVX512_ICL", "AVX512_SPR") if features.get(name)])
pools = threadpoolctl.threadpool_info()
print({p["architecture"] for p in pools if p["internal_api"] == "openblas"} - {"Haswell"})
print("AVX512" in torch.backends.cpu.get_cpu_capability())
"""
    shown = subprocess.run(["make", "-n", "test-avx2"], cwd=ROOT, capture_output=True, text=True)
    (line,) = (x for x in shown.stdout.replace("\\\n", "").splitlines() if "NUMBA_CPU" in x)
    settings = line[: line.index(".venv/bin/python -m pytest")]
    found = subprocess.run(
        f"{settings} {shlex.quote(sys.executable)} -c {shlex.quote(code)}",
        shell=True,
        capture_output=True,
        text=True,
    )
    assert found.stdout.splitlines() == ["haswell ''", "[]", "set()", "False"], found.stderr


def test_docs_schema_is_what_the_code_declares():
    # In a process of its own: tests here register tasks of their own.
    code = "import runpy, sys; sys.stdout.write(runpy.run_path(sys.argv[1])['text']())"
    script = str(ROOT / "docs" / "make_schema.py")
    made = subprocess.run([sys.executable, "-c", code, script], capture_output=True, text=True)
    assert made.stdout == (ROOT / "docs" / "schema.md").read_text()


def test_nothing_names_a_path_of_this_machine():
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True
    ).stdout.split()
    if not listed:
        pytest.skip("needs a git checkout")
    home = str(ROOT.parent) + "/"
    for name in listed:
        path = ROOT / name
        if path.suffix in {".py", ".md", ".toml", ".txt", ".yml"} or path.name == "Makefile":
            assert home not in path.read_text(), name
