"""What a stage's result will look like before anything is computed: names, dims, lengths, types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from solspace.errors import SolspaceError
from solspace.population.variables import Variable
from solspace.stages.record import Layout, Stage

if TYPE_CHECKING:
    import xarray as xr

    from solspace.tasks import Task

__all__ = ["layouts", "missing_dims", "wanted"]


def layouts(
    record: Stage, task: Task | None, ds: xr.Dataset, options: Mapping[str, Any]
) -> dict[str, Layout]:
    """What each group that a stage fills has before it is computed."""
    given = {k: v for k, v in options.items() if k in record.options}
    return dict(record.layout(task, ds, given)) if record.layout else {}


def wanted(
    record: Stage, architecture: str | None, layout_of: Mapping[str, Layout], group: str
) -> list[Variable]:
    """Variables of a group that a stage fills with these options."""
    asked = layout_of[group].optional if group in layout_of else ()
    return [
        v
        for v in record.variables(group, architecture).values()
        if not v.optional or v.name in asked
    ]


def missing_dims(record: Stage, variables: list[Variable], sizes: Mapping[str, int]) -> None:
    """Refuse a declaration with dims whose lengths nothing says.

    Raises
    ------
    SolspaceError
    """
    for variable in variables:
        unknown = [d for d in variable.dims if d not in sizes]
        if unknown:
            raise SolspaceError(
                f"{record.name}: the length of dim {unknown[0]!r} of {variable.name!r} is not "
                "known before it is computed; use a dim of what is read "
                f"({', '.join(map(str, sizes))}), or give the stage a layout"
            )
