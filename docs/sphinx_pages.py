"""A Sphinx extension: pages that are made from the code while the site is built.

`command-line` shows every command from the parser itself, `public-names` every public name of a
package from its docstring. Notebooks and pages that lie beside `docs/` are copied to where Sphinx
finds them. Nothing of it is kept, so none of it can be out of date.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import os
import re
import shutil
import textwrap
from pathlib import Path
from types import ModuleType
from typing import Any

from docutils import nodes
from docutils.parsers.rst import directives
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import make_refnode

__all__ = ["CommandLine", "PublicNames", "setup"]

DOCS = Path(__file__).resolve().parent

# The names of `solspace` itself, by the folder or module that they come from.
GROUPS = {
    "Tasks and architectures": ("tasks", "networks", "stages.architectures"),
    "Populations in memory": ("population", "training"),
    "What networks do": (
        "simulation", "challenging", "attractors", "fixed_points", "responses", "reduction",
        "verification",
    ),
    "Solutions": ("labels", "stability", "diversity", "selections"),
    "Individuality": ("individuality",),
    "Activity": ("features", "classification", "axes", "recordings", "locating"),
    "Stores": ("store", "run", "info", "report", "explorer"),
    "Analyses of your own, and errors": ("stages", "errors"),
}  # fmt: skip


# --------------------------------------------------------------------------- commands


def command_line() -> str:
    """Every command of the parser, in Markdown.

    Examples
    --------
    >>> command_line().splitlines()[0]
    '## solspace train'
    """
    from solspace.cli.arguments import make_parser

    parser = make_parser()
    (verbs,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    lines: list[str] = []
    for name, sub in verbs.choices.items():
        lines += [f"## solspace {name}", "", *_prose(sub.description or "")]
        lines += ["```text", sub.format_usage().removeprefix("usage: ").rstrip(), "```", ""]
        lines += ["| argument | meaning |", "|---|---|"]
        lines += [_row(sub, action) for action in sub._actions if action.dest != "help"]
        example = _dedented((sub.epilog or "").removeprefix("example:"))
        lines += ["", *(["```sh", example, "```", ""] if example else [])]
    return "\n".join(lines)


def _dedented(text: str) -> str:
    return textwrap.dedent(text.strip("\n")).strip()


def _prose(text: str) -> list[str]:
    """Paragraphs, of which those that are indented are code."""
    lines: list[str] = []
    for part in re.split(r"\n\n+", text.strip("\n")):
        if part.startswith("    "):
            lines += ["```text", _dedented(part), "```", ""]
        else:
            lines += [_escaped(part), ""]
    return lines


def _escaped(text: str) -> str:
    """Text of the parser as Markdown; what is between backticks stays."""
    parts = re.split(r"(`[^`]*`)", text)
    parts[::2] = [re.sub(r"([\\*_<>\[\]#])", r"\\\1", part) for part in parts[::2]]
    # Where the parser names a page, lead to it.
    parts[::2] = [re.sub(r"docs/([\w\\]+)\.md", _to_page, part) for part in parts[::2]]
    return "".join(parts).replace("|", "\\|")


def _to_page(found: re.Match[str]) -> str:
    name = found[1].replace("\\", "")
    return f"[{name}.md]({name}.md)"


def _row(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    formatter = parser._get_formatter()
    typed = formatter._format_action_invocation(action).replace("|", "\\|")
    # argparse fills in %(default)s and the like.
    meaning = formatter._expand_help(action) if action.help else ""
    return f"| `{typed}` | {_escaped(' '.join(meaning.split()))} |"


class CommandLine(SphinxDirective):
    """Puts every command where it stands."""

    def run(self) -> list[nodes.Node]:
        self.env.note_reread()  # commands come from stages anywhere in the package
        return self.parse_text_to_nodes(command_line(), allow_section_headings=True)


# --------------------------------------------------------------------------- names


class PublicNames(SphinxDirective):
    """A table of the public names of a package, then each by its docstring.

    With ``groups`` the names of `solspace` stand under headings; with ``modules`` those of the
    modules of a package that has no names of its own.
    """

    required_arguments = 1
    option_spec = {"groups": directives.flag, "modules": directives.unchanged}  # noqa: RUF012

    def run(self) -> list[nodes.Node]:
        self.env.note_reread()
        package = self.arguments[0]
        found: list[nodes.Node] = []
        if "groups" in self.options:
            for title, names in grouped_names().items():
                found.append(self._section(title, package, names))
        elif "modules" in self.options:
            for module in self.options["modules"].split():
                names = own_names(f"{package}.{module}")
                found.append(self._section(f"{package}.{module}", f"{package}.{module}", names))
        else:
            found = self._names(package, own_names(package))
        return found

    def _section(self, title: str, module: str, names: list[str]) -> nodes.section:
        section = nodes.section(ids=[nodes.make_id(title)])
        section += nodes.title(title, title)
        section += self._names(module, names)
        return section

    def _names(self, module: str, names: list[str]) -> list[nodes.Node]:
        lines = [] if "groups" in self.options else [f".. automodule:: {module}", ""]
        lines += [f".. currentmodule:: {module}", "", ".. autosummary::", "   :nosignatures:", ""]
        package = importlib.import_module(module)
        # A constant has no docstring but that of its type, such as `str`.
        constants = [n for n in names if getattr(getattr(package, n), "__name__", "") != n]
        told = [name for name in names if name not in constants]
        lines += [f"   {name}" for name in told] + [""]
        for name in [*told, *constants]:
            lines += _documented(module, name, getattr(package, name))
        return self._restructured("\n".join(lines))

    def _restructured(self, text: str) -> list[nodes.Node]:
        """What reStructuredText says, in a page of Markdown too."""
        wrapped = "````{eval-rst}\n" + text + "\n````"
        here = StringList(wrapped.splitlines(), source=f"<{self.arguments[0]}>")
        return self.parse_text_to_nodes("\n".join(here))


def _documented(module: str, name: str, value: Any) -> list[str]:
    if isinstance(value, type):
        return [f".. autoclass:: {module}.{name}", "   :members:", ""]
    if getattr(value, "__name__", "") == name:
        return [f".. autofunction:: {module}.{name}", ""]
    return [f".. py:data:: {name}", f"   :value: {textwrap.shorten(repr(value), 80)}", ""]


def grouped_names() -> dict[str, list[str]]:
    """The names of `solspace` under `GROUPS`.

    Raises
    ------
    ValueError
        If a name comes from a module that is in no group.
    """
    import solspace

    groups: dict[str, list[str]] = {title: [] for title in GROUPS}
    for name in solspace.__all__:
        value = getattr(solspace, name)
        if isinstance(value, ModuleType):
            continue
        home = value.__module__.removeprefix("solspace.")
        # The longest that fits: an architecture is registered among the stages.
        fits = [
            (len(start), title)
            for title, starts in GROUPS.items()
            for start in starts
            if home == start or home.startswith(f"{start}.")
        ]
        if not fits:
            raise ValueError(
                f"solspace.{name} of {value.__module__} is in no group of docs/sphinx_pages.py"
            )
        groups[max(fits)[1]].append(name)
    return groups


def own_names(module: str) -> list[str]:
    """Public names of a module that come from it, and are not among those of `solspace` too."""
    import solspace

    found = importlib.import_module(module)
    names = []
    for name in found.__all__:
        value = getattr(found, name)
        home = str(getattr(value, "__module__", module))
        elsewhere = home.startswith("solspace.") and not f"{home}.".startswith(f"{module}.")
        also = name in solspace.__all__ and getattr(solspace, name) is value
        if not (isinstance(value, ModuleType) or elsewhere or also):
            names.append(name)
    return names


def skip_fields(
    app: Sphinx, what: str, name: str, value: Any, skip: bool, options: Any
) -> bool | None:
    """Leave out fields of named tuples, whose docstrings Python makes up."""
    if "Alias for field number" in (inspect.getdoc(value) or ""):
        return True
    return None


def find_name(app: Sphinx, env: Any, node: Any, contnode: nodes.Node) -> nodes.Node | None:
    """What single backticks in docstrings lead to: a public name, or nothing.

    Other roles that lead nowhere stay warnings.
    """
    if node.get("refdomain") != "py" or node.get("reftype") != "obj":
        return None
    target = node["reftarget"].removesuffix("()")
    domain = env.get_domain("py")
    for full in (target, f"solspace.{target}", f"solspace.{target.rpartition('.')[2]}"):
        if full in domain.objects:
            entry = domain.objects[full]
            return make_refnode(
                app.builder, node["refdoc"], entry.docname, entry.node_id, contnode, full
            )
    return contnode


# --------------------------------------------------------------------------- what lies elsewhere

ROOT = DOCS.parent
OUTSIDE = DOCS / "_outside"  # where Sphinx finds what lies beside docs/


def places() -> dict[Path, Path]:
    """Pages and notebooks that lie beside `docs/`, and where they stand on the site."""
    pages = {ROOT / name: OUTSIDE / name for name in ("CHANGELOG.md", "CONTRIBUTING.md")}
    pages[ROOT / "stores" / "README.md"] = OUTSIDE / "stores.md"
    folder = ROOT / "notebooks"
    for path in [folder / "README.md", *sorted(folder.glob("*.ipynb"))]:
        pages[path] = OUTSIDE / "notebooks" / path.name
    return pages


def relinked(text: str, old: Path, new: Path) -> str:
    """Text whose relative links hold on a code host, so that they hold on the site.

    Parameters
    ----------
    text : str
        Markdown, or a notebook.
    old, new : Path
        Where it lies, and where it stands on the site.
    """
    moved = places() | {ROOT / "README.md": DOCS / "index.md"}

    def here(found: re.Match[str]) -> str:
        target = (old.parent / found[1]).resolve()
        if target not in moved and not target.is_relative_to(DOCS):
            return found[0]
        return f"]({os.path.relpath(moved.get(target, target), new.parent)}{found[2]}"

    return re.sub(r"\]\((?![a-z]+:)([^)#\s]+)([)#])", here, text)


def lead_to_pages(app: Sphinx, docname: str, source: list[str]) -> None:
    """Links of a page of `docs/` to what lies beside it."""
    path = Path(app.env.doc2path(docname))
    if OUTSIDE not in path.parents:
        source[0] = relinked(source[0], path, path)


def copy_outside(app: Sphinx, config: Any) -> None:
    """Put what lies beside `docs/` where Sphinx reads it."""
    shutil.rmtree(OUTSIDE, ignore_errors=True)
    (OUTSIDE / "notebooks").mkdir(parents=True)
    for old, new in places().items():
        new.write_text(relinked(old.read_text(encoding="utf-8"), old, new), encoding="utf-8")
    # The notebooks' own page lists them in words; Sphinx wants them in a table of contents too.
    listed = re.findall(r"\]\((\w+)\.ipynb\)", (ROOT / "notebooks" / "README.md").read_text())
    found = [path.stem for path in sorted((ROOT / "notebooks").glob("*.ipynb"))]
    names = list(dict.fromkeys([name for name in listed if name in found] + found))
    with (OUTSIDE / "notebooks" / "README.md").open("a", encoding="utf-8") as page:
        print("", "```{toctree}", ":hidden:", "", *names, "```", sep="\n", file=page)


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("command-line", CommandLine)
    app.add_directive("public-names", PublicNames)
    app.connect("config-inited", copy_outside)
    app.connect("source-read", lead_to_pages)
    app.connect("autodoc-skip-member", skip_fields)
    app.connect("missing-reference", find_name)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
