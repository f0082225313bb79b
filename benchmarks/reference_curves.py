"""Make the curves that ship with the package of the reference runs.

python benchmarks/reference_curves.py runs/reference/*-seed?
"""

import argparse
import json
from pathlib import Path

from pgpong.reference import FILE, curve_to_ship
from pgpong.storage.history import read_run


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    curves = [curve_to_ship(read_run(folder)) for folder in parser.parse_args().runs]
    FILE.write_text("[\n" + ",\n".join(json.dumps(curve) for curve in curves) + "\n]\n")
    print(f"{FILE.name}: {len(curves)} runs, {FILE.stat().st_size / 1e3:.1f} kB")


if __name__ == "__main__":
    main()
