"""The trainer on the instruction sets that this processor has, each in a process of its own.

    python benchmarks/processors.py [--rounds N] [--architecture NAME ...] [--write]

With AVX-512 it is measured as that, as AVX2 and as x86-64-v2 (SSE4.2, no FMA): Numba, NumPy,
OpenBLAS and torch are told to leave the rest alone, so that the baseline is limited alike. What is
not had is left out, and said. A column is the share of the float32 GEMM peak that torch reaches in
the same process, and how many times torch.nn.RNN, GRU or LSTM the kernel is, on all sizes together,
two threads against the faster of torch's one and two. ``--write`` writes the table of
docs/performance.md.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "benchmarks"))

from instructions import LANES, instruction_sets  # noqa: E402
from training import Row, mix  # noqa: E402

from docs.pages import write_part  # noqa: E402


def rows_of(architecture: str, rounds: int, limits: dict[str, str]) -> list[Row]:
    """What benchmarks/training.py measures under some limits."""
    with tempfile.TemporaryDirectory() as compiled:
        command = [sys.executable, str(ROOT / "benchmarks" / "training.py"), "--json"]
        command += ["--architecture", architecture, "--rounds", str(rounds)]
        more = {"NUMBA_CACHE_DIR": compiled} if limits else {}
        done = subprocess.run(
            command, env=os.environ | limits | more, capture_output=True, text=True, check=True
        )
    return [Row(**row) for row in json.loads(done.stdout.splitlines()[-1])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--architecture", nargs="+", default=["vanilla", "gru", "lstm"])
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--write", action="store_true", help="into docs/performance.md")
    options = parser.parse_args()
    sets = instruction_sets()
    if missing := [name for name in LANES if name not in sets]:
        print(f"this processor has no {' and no '.join(missing)}")
    lines = [
        "| cell | instructions | share of the GEMM peak, 20 / 30 / 40 / 50 units | times torch |",
        "|---|---|---|---|",
    ]
    print("\n".join(lines), flush=True)
    for architecture in options.architecture:
        for name, limits in sets.items():
            rows = rows_of(architecture, options.rounds, limits)
            shares = " / ".join(f"{row.of_peak:.0%}".rstrip("%") for row in rows)
            lines.append(f"| {architecture} | {name} | {shares} % | {mix(rows)[1]:.1f} |")
            print(lines[-1], flush=True)
    if options.write:
        write_part(ROOT / "docs" / "performance.md", __file__, "\n".join(lines))


if __name__ == "__main__":
    main()
