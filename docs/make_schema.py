"""Write docs/schema.md from the declarations in the stages."""

from __future__ import annotations

from pathlib import Path

from solspace.stages.page import markdown
from solspace.store.metadata import SCHEMA_VERSION
from solspace.tasks import get_task, task_names

INTRODUCTION = f"""\
# The store

Made by `make tables` from the declarations of the stages; schema version {SCHEMA_VERSION}.

A store is one Zarr v3 hierarchy that `xarray.open_zarr` reads. A *population* is all networks of
one architecture trained on one task: the group `/TASK/ARCHITECTURE`, with further groups below it
([docs/xarray.md](xarray.md) shows how they are read). Every group repeats `network`, the names and
sizes of the networks, `task`, `architecture` and the labels of the solutions, so that each makes
sense by itself.

Things to know when reading:

- Arrays with units are padded to the largest hidden size of the population; NaN past
  `hidden_size`.
- Whether something was computed is said by `status_STAGE` (0 pending, 1 done, 2 failed), not by
  its value; `message_STAGE` says why a network failed. A variable that is not there was not
  computed, and a `message_STAGE` that is not there is empty for all.
- Index t of `time` holds the state after the input of step t; states start from zero.
- A recorded population is `/TASK/recorded` ([docs/recordings.md](recordings.md)): a recording is a
  member along `network`, its activity, trials and epochs stand in the population's own group, with
  `network` before their dims, since each has its own; there are no weights. `time` is in ms.
- Epochs are selected by name: `training.epoch == training.epoch_flag.sel(epoch_name="set_go")`,
  channels by `ds.output.sel(output_channel="go")`, trials by
  `training.set_xindex("t_in").sel(t_in=30)`.
- Labels tell networks apart and mean the same in every store: `graph_key`, `automaton_key`, ...
  `solution_key` is that one of them which the population's attribute `solution_method` names, and
  `solution_name` its short name; `solution` is numbered in each population, most common first.
  Keys of graphs depend on how graphs were made, which `graph_method` says. (In stores made before
  the stage `label` there is no `automaton_key`: `solution_key` is what it would be.)
- `provenance` in a population's attrs is a JSON list of what was run: command, options, versions,
  times. `recipe` is the JSON of the training recipe, on which the solutions found depend.

How arrays lie: each is cut into shards of `shard_size` networks (an attribute of the group; one
shard an array in packed stores), written by one writer each, and inside them into chunks of
`chunk_size` networks, the same in all arrays of a group, about 1 MB of the largest
([more](scale.md) in large populations). Every chunk has
a checksum (`crc32c`), so a damaged one raises in any reader. Metadata are consolidated at the root
only, and that copy is taken away while a store is being written. Strings are UTF-32 of fixed width
(`U64`: at most 64 characters), which Zarr's specification does not have yet: zarr-python reads
them; readers without them have integers with `flag_meanings`.

Who wrote what stands beside the results, in the group `/TASK/ARCHITECTURE/writing`, which is no
group of results and is left out of the gathered metadata. `writing/STAGE/token` holds for each
shard the run that may write it (the `run` of its entry in `provenance`, as a number; 0 none),
`writing/STAGE/record` what the shard's writer noted, one chunk a shard: the run, a digest of the
statuses, and two words for each array that the attribute `arrays` names. `writing/file` has a
line for each file that one process wrote alone, such as coordinates, and all of a packed store:
digest and path. Digests are BLAKE2b of 16 bytes, of files as they are stored; of several files of
an array in one shard that of their digests; of no file, where all is fill, that of nothing.
Stores made before there were records have none: they get them for what is written from now on.

Version 2 differs from version 1 in this: channels are the dims `input_channel` and
`output_channel`, the names of `input` and `output` only variables; `task` and `architecture` are
coordinates; labels stand in every group; epochs have names; features are one variable, with family,
units, source and description along it; the group `learning` is `checkpoints`, its variables
`checkpoint_...`; in classifications the dim `class` is `label_class`, and all units are infinity
and no longer 0; solutions have names; loss curves are kept. Chunks are aligned and have checksums.
`solspace migrate OLD NEW` makes a store of version 2 from one of version 1 with every value
unchanged (`python -m validation.versions OLD NEW` shows it).

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
                f"- `{parameter}` ({task.parameter_units.get(parameter, '1')}): {meaning}; "
                f"recorded {low} to {high}, "
                f"extrapolation {far.min()} to {far.max()}"
            )
        lines.append("")
    return "\n".join(lines)


def text() -> str:
    return INTRODUCTION + markdown() + "\n" + tasks().rstrip() + "\n"


if __name__ == "__main__":
    Path(__file__).with_name("schema.md").write_text(text())
