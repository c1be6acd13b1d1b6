"""The process of one part: ``python -m gpu_evidence.part NAME`` prints a line of JSON for each row."""

import json
import os
import sys
from importlib import import_module

from gpu_evidence.record import Row


def main(name: str) -> None:
    # What libraries print must not come between the rows.
    rows = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def tell(row: Row) -> None:
        rows.write(json.dumps(row) + "\n")
        rows.flush()

    import_module(f"gpu_evidence.parts.{name}").run(tell)


if __name__ == "__main__":
    main(sys.argv[1])
