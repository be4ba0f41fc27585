"""Write docs/schema.md from the declarations in the stages."""

from __future__ import annotations

from pathlib import Path

from solspace.stages.page import markdown
from solspace.store.handle import SCHEMA_VERSION
from solspace.tasks import get_task, task_names

INTRODUCTION = f"""\
# The store

Made by `make docs` from the stages; schema version {SCHEMA_VERSION}.

A store is one Zarr v3 hierarchy that `xarray.open_zarr` reads. A *population* is all networks of
one architecture trained on one task: the group `/TASK/ARCHITECTURE`, with three groups below it,
and a fourth where networks were trained with checkpoints.
Every group repeats `network`, `name` and `hidden_size`, so that each makes sense by itself.

Things to know when reading:

- Arrays with units are padded to the largest hidden size of the population; NaN past
  `hidden_size`.
- Whether something was computed is said by `status_STAGE` (0 pending, 1 done, 2 failed), not by
  its value; `message_STAGE` says why a network failed.
- In `training` and `extrapolation`, `input` and `output` are variables of time and also the
  names of their channel dims. xarray lists such variables under *coordinates*; they are read by
  name as usual (`ds.output`). Channel names are in the attribute `channels`.
- Trial parameters (`t_in`, ...) are coordinates on `trial`: `ds.set_xindex("t_in").sel(t_in=30)`.
- `provenance` in a population's attrs is a JSON list of what was run: command, options, versions,
  times. `recipe` is the JSON of the training recipe, on which the solutions found depend.
- All arrays of a population are written in blocks of `shard_size` networks (an attribute), one
  writer a block.

"""


def tasks() -> str:
    lines = ["## Tasks", ""]
    for name in task_names():
        task = get_task(name)
        recorded, beyond = task.recorded_trials(), task.extrapolation_trials()
        lines += [
            f"**`{name}`**: {task.description}.",
            "",
            f"- inputs: {', '.join(task.inputs)}; outputs: {', '.join(task.outputs)}",
            f"- epochs: {', '.join(f'{i} {e}' for i, e in enumerate(task.epochs))}",
            f"- edges carry: {', '.join(f'{i} {s}' for i, s in enumerate(task.input_symbols))}",
            f"- recorded: {len(recorded)} trials of {recorded.input.shape[1]} steps; "
            f"extrapolation: {len(beyond)} trials of {beyond.input.shape[1]} steps",
        ]
        for parameter, meaning in task.parameters.items():
            low, high = recorded.parameters[parameter].min(), recorded.parameters[parameter].max()
            far = beyond.parameters[parameter]
            lines.append(
                f"- `{parameter}`: {meaning}; recorded {low} to {high}, "
                f"extrapolation {far.min()} to {far.max()}"
            )
        lines.append("")
    return "\n".join(lines)


def text() -> str:
    return INTRODUCTION + markdown() + "\n" + tasks().rstrip() + "\n"


if __name__ == "__main__":
    Path(__file__).with_name("schema.md").write_text(text())
