"""Zip the stores that ship, for upload, and note their hashes in the package.

    python -m stores.make_zips dist/data

writes ``dist/data/NAME.zarr.zip`` for each, and ``solspace/store/datasets.json``, by which
`solspace.load_dataset` knows a zip again.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from solspace.store.shipped import zip_store

ROOT = Path(__file__).resolve().parents[1]
REGISTRY = ROOT / "solspace" / "store" / "datasets.json"
SHIPPED = ("context_integration", "high_rate", "learning", "turner2021", "two_neuron")


def make_zips(folder: Path) -> dict[str, dict[str, int | str]]:
    """Zips of all stores that ship, and what the registry holds of each."""
    folder.mkdir(parents=True, exist_ok=True)
    made: dict[str, dict[str, int | str]] = {}
    for name in SHIPPED:
        path = folder / f"{name}.zarr.zip"
        digest = zip_store(ROOT / "stores" / f"{name}.zarr", path)
        made[name] = {"sha256": digest, "bytes": path.stat().st_size}
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description="Zip the stores that ship, for upload.")
    parser.add_argument("folder", type=Path, help="where the zips go")
    folder = parser.parse_args().folder
    made = make_zips(folder)
    REGISTRY.write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")
    for name, entry in made.items():
        print(f"{folder / name}.zarr.zip  {entry['bytes']:,} bytes  sha256 {entry['sha256']}")


if __name__ == "__main__":
    main()
