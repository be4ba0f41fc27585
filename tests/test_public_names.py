"""`solspace.NAME`: listed in one stub, loaded when used, typed in mypy and pyright, installed."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

import solspace

ROOT = Path(__file__).resolve().parents[1]
CALLS = Path(__file__).parent / "types"
STUB = Path(solspace.__file__).with_suffix(".pyi")

# The checkers look into the packages whose types a user meets. Into the others they would look
# too, for most of a minute, where no configuration says otherwise: the slow test does that.
MYPY_CONFIG = """\
[mypy]
[mypy-torch.*,dask.*,distributed.*,zarr.*,numba.*,llvmlite.*,matplotlib.*,holoviews.*,sklearn.*]
follow_imports = skip
"""


def run(*command: object, cwd: Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    """A command that finds packages only where they are installed."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "MYPYPATH")}
    result = subprocess.run(
        [str(word) for word in command], cwd=cwd, env=environment, capture_output=True, text=True
    )
    assert not check or result.returncode == 0, result.stdout + result.stderr
    return result


# --------------------------------------------------------------------------- at run time


def test_importing_the_package_is_light():
    code = "import sys; old = {*sys.modules}; import solspace; print(*({*sys.modules} - old))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    new = {name.partition(".")[0] for name in result.stdout.split()}
    assert new - sys.stdlib_module_names == {"solspace", "lazy_loader"}
    # nor what belongs to the language, but is slow: nothing of solspace is loaded either
    assert {name for name in result.stdout.split() if name.startswith("solspace")} == {"solspace"}


def test_dir_lists_the_names_of_the_stub():
    imports = [
        node for node in ast.parse(STUB.read_text()).body if isinstance(node, ast.ImportFrom)
    ]
    aliases = [alias for node in imports for alias in node.names]
    names = [alias.name for alias in aliases]
    assert dir(solspace) == solspace.__all__ == sorted(names)
    assert len(set(names)) == len(names) > 20
    # `import NAME as NAME`: without the second the name is the stub's own
    assert [alias.name for alias in aliases if alias.asname != alias.name] == []


PACKAGES = {name for name in solspace.__all__ if (STUB.parent / name).is_dir()}


def test_packages_named_in_docs_load_when_used():
    for name in sorted(PACKAGES):
        code = f"import solspace; print(solspace.{name}.__name__)"
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert result.stdout == f"solspace.{name}\n", result.stderr
    docs = "".join(path.read_text() for path in [*(ROOT / "docs").glob("*.md"), ROOT / "README.md"])
    called = re.findall(r"\bsolspace\.(\w+)\.\w+", docs)
    assert {"plots", "features", "networks"} <= PACKAGES
    assert {name for name in called if (STUB.parent / name).is_dir()} <= PACKAGES


def test_what_docs_name_is_there():
    docs = "".join(path.read_text() for path in [*(ROOT / "docs").glob("*.md"), ROOT / "README.md"])
    names = set(re.findall(r"\bsolspace((?:\.[A-Za-z_]\w*)+)", docs))
    assert len(names) > 20
    for name in sorted(names):
        value, path = solspace, "solspace"
        for part in name[1:].split("."):
            path += f".{part}"
            if not hasattr(value, part):
                assert importlib.util.find_spec(path), path  # a module
                importlib.import_module(path)
            value = getattr(value, part)


@pytest.mark.parametrize("name", sorted({*solspace.__all__} - PACKAGES))
def test_every_public_name_loads_and_says_how_it_is_called(name):
    value = getattr(solspace, name)
    assert value.__name__ == name
    assert value.__module__.startswith("solspace.")
    assert inspect.getdoc(value)
    takes_nothing = name == "dataset_names"
    if not (isinstance(value, type) and issubclass(value, Exception)):
        assert bool(inspect.signature(value).parameters) != takes_nothing


def test_no_public_name_is_the_name_of_a_module():
    # `import solspace.NAME` elsewhere would put the module in its place
    modules = {path.stem for path in STUB.parent.iterdir()}
    assert modules & set(solspace.__all__) == PACKAGES


def test_star_import_gives_all_public_names():
    found: dict[str, object] = {}
    exec("from solspace import *", found)
    assert found.keys() - {"__builtins__"} == set(solspace.__all__)
    assert found["train"] is solspace.train


def test_an_unknown_name_is_a_clear_error():
    with pytest.raises(AttributeError, match=r"^No solspace attribute recrod$"):
        solspace.recrod  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'recrod' from 'solspace'"):
        from solspace import recrod  # noqa: F401
    assert not hasattr(solspace, "anything")


# --------------------------------------------------------------------------- installed


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """What an installation needs of the checkout, with one module more to know it by."""
    pytest.importorskip("setuptools", "77", "setuptools 77 or newer builds the package")
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(
        ROOT / "solspace", folder / "solspace", ignore=shutil.ignore_patterns("__pycache__")
    )
    (folder / "solspace" / "mark.py").write_text("HERE: int = 1\n")
    return folder


def make_environment(folder: Path) -> Path:
    """A virtual environment that has this one's packages besides its own; its Python."""
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=ROOT)
    python = folder / "bin" / "python"
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = Path(run(python, "-c", code, cwd=folder).stdout.strip())
    (packages / "beside.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def install(python: Path, *what: object) -> None:
    options = ("--quiet", "--no-deps", "--no-index", "--no-build-isolation")
    pip = (sys.executable, "-m", "pip", "--python", python, "install")
    run(*pip, *options, *what, cwd=python.parent)


@pytest.fixture(scope="module")
def editable(checkout, tmp_path_factory):
    """The Python of an environment with an editable install of `checkout`."""
    python = make_environment(tmp_path_factory.mktemp("editable") / "env")
    install(python, "--editable", checkout)
    return python


@pytest.fixture(scope="module")
def wheel(checkout, tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    options = ("--quiet", "--no-deps", "--no-index", "--no-build-isolation")
    run(sys.executable, "-m", "pip", "wheel", *options, "-w", folder, checkout, cwd=folder)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture
def elsewhere(tmp_path):
    """A folder outside the checkout with calls right and wrong, and a line for every name."""
    for path in CALLS.glob("*.py"):
        shutil.copy(path, tmp_path)
    lines = ["import solspace", "import solspace.mark", "reveal_type(solspace.mark.HERE)"]
    lines += [f"reveal_type(solspace.{name})" for name in solspace.__all__]
    (tmp_path / "every_name.py").write_text("\n".join(lines) + "\n")
    return tmp_path


def refused(path: Path) -> dict[tuple[str, int], str]:
    """The lines of a file that say that they are refused, and why."""
    lines = path.read_text().splitlines()
    marks = [(number, line.partition("# refused: ")[2]) for number, line in enumerate(lines, 1)]
    return {(path.name, number): why for number, why in marks if why}


def check_revealed(types: list[str]) -> None:
    assert types[0] == "int"  # the marked package was found, not another
    assert len(types) == 1 + len(solspace.__all__)
    for name, found in zip(solspace.__all__, types[1:], strict=True):
        assert not re.search(r"^Any$|^Unknown$|-> (Any|Unknown)$", found), f"{name}: {found}"
        value = getattr(solspace, name)
        if inspect.isfunction(value):
            missing = [word for word in inspect.signature(value).parameters if word not in found]
            assert not missing, f"{name}: {found}"


def check_with_mypy(python: Path, folder: Path, *options: object) -> None:
    files = ("right_calls.py", "wrong_calls.py", "every_name.py")
    mypy = (sys.executable, "-m", "mypy", "--python-executable", python, *options)
    said = run(*mypy, *files, cwd=folder, check=False).stdout
    errors = re.findall(r"^(\w+\.py):(\d+): error: .*\[([\w-]+)\]$", said, re.MULTILINE)
    found = {(name, int(line)): code for name, line, code in errors}
    assert found == refused(folder / "wrong_calls.py"), said
    assert len(found) == 3
    check_revealed(re.findall(r"every_name\.py.*Revealed type is \"(.*)\"", said))


def check_with_pyright(python: Path, folder: Path) -> None:
    pytest.importorskip("pyright", reason="needs pyright, of the extra `dev`")
    if shutil.which("node") is None:
        pytest.skip("needs node, which pyright runs on")
    pyright = (sys.executable, "-m", "pyright", "--pythonpath", python, "--outputjson")
    said = run(*pyright, cwd=folder, check=False).stdout
    rows = [
        (Path(row["file"]).name, row["range"]["start"]["line"] + 1, row)
        for row in json.loads(said)["generalDiagnostics"]
    ]
    errors = {(name, line) for name, line, row in rows if row["severity"] == "error"}
    assert errors == set(refused(folder / "wrong_calls.py")), said
    revealed = [row["message"] for name, _, row in rows if name == "every_name.py"]
    check_revealed([re.search(r' is "(.*)"$', message, re.DOTALL)[1] for message in revealed])


def test_the_wheel_holds_the_package_and_its_types(wheel, checkout):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    files = [path for path in (checkout / "solspace").rglob("*") if path.is_file()]
    written = {str(path.relative_to(checkout)) for path in files}
    assert {"solspace/__init__.pyi", "solspace/plots/__init__.pyi", "solspace/py.typed"} <= written
    assert names == written


@pytest.mark.slow
def test_mypy_knows_every_name_of_an_editable_install(editable, elsewhere, request):
    (elsewhere / "mypy.ini").write_text(MYPY_CONFIG)
    # kept between runs: what numpy and xarray say takes longest
    check_with_mypy(editable, elsewhere, "--cache-dir", request.config.cache.mkdir("mypy"))


@pytest.mark.slow
def test_mypy_knows_every_name_of_a_wheel_without_configuration(wheel, elsewhere, tmp_path_factory):
    python = make_environment(tmp_path_factory.mktemp("installed") / "env")
    install(python, wheel)
    check_with_mypy(python, elsewhere)


@pytest.mark.slow
def test_pyright_knows_every_name_of_an_editable_install(editable, elsewhere):
    check_with_pyright(editable, elsewhere)


@pytest.mark.slow
def test_pyright_knows_every_name_of_a_wheel(wheel, elsewhere, tmp_path_factory):
    python = make_environment(tmp_path_factory.mktemp("installed") / "env")
    install(python, wheel)
    check_with_pyright(python, elsewhere)
