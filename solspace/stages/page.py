"""The tables of ``docs/schema.md``: every variable of every group, as the stages declare them."""

from __future__ import annotations

from solspace.kinds import KINDS
from solspace.population.variables import Variable, is_label
from solspace.stages import collection

__all__ = ["markdown"]


def markdown() -> str:
    """All groups and variables, of all kinds of networks, in Markdown.

    Examples
    --------
    >>> markdown().splitlines()[0]
    '## `/{task}/{architecture}`'
    """
    kinds = list(dict.fromkeys(s.kind for s in _all_stages()))
    groups: dict[str, str] = {}
    for kind in kinds:
        for name, found in collection.groups(kind).items():
            groups.setdefault(name, found.holds)
    lines = []
    for group, holds in groups.items():
        path = "/{task}/{architecture}" + ("" if group == "population" else f"/{group}")
        lines += [f"## `{path}`", "", f"{holds[0].upper()}{holds[1:]}.", ""]
        lines += ["| variable | dims | dtype | fill | units | meaning | written by |"]
        lines += ["|---|---|---|---|---|---|---|"]
        seen: dict[str, tuple[Variable, str]] = {}
        for kind in kinds:
            if group not in collection.groups(kind):
                continue
            for name, variable in collection.declared(group, kind=kind).items():
                made = collection.filled_by(group, name, kind)
                if is_label(variable):
                    made = collection.labelled_by(name, kind)
                seen.setdefault(name, (variable, made))
        for variable, made in seen.values():
            lines.append(_row(variable, made))
        lines.append("")
    return "\n".join(lines)


def _all_stages() -> list[collection.Stage]:
    return [s for kind in KINDS for s in collection.stages(kind).values()]


def _row(v: Variable, made: str) -> str:
    name = f"`{v.name}`" + (" (coordinate)" if v.coordinate else "")
    if v.architectures:
        name += f" ({', '.join(v.architectures)} only)"
    fill = '""' if v.fill == "" else str(v.fill)
    dims = ", ".join(v.dims)
    return (
        f"| {name} | {dims} | {v.dtype} | {fill} | {v.units or ''} | {v.meaning} "
        f"| {made.replace('_', '-')} |"
    )
