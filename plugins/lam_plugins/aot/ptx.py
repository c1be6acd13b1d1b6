"""Edits the PTX that Triton writes, and reads the assembler's report on it."""

import re

SCRATCH_PARAMETERS = 2
"""Pointers that Triton appends to a kernel's own parameters."""


def strip_scratch(ptx: str, name: str, parameters: int) -> str:
    """The same kernel without the scratch pointers. What launches the kernel does not pass them.

    Args:
        ptx: code with one entry.
        name: the entry's name.
        parameters: number of parameters in the kernel's source, without ``constexpr`` ones.

    Raises:
        ValueError: the entry lacks these parameters or the two scratch pointers, or the code uses a scratch pointer.
    """
    entry = re.search(rf"\.entry {re.escape(name)}\(\n(.*?)\n\)", ptx, re.DOTALL)
    declared = entry[1].split(",\n") if entry else []
    if entry is None or len(declared) != parameters + SCRATCH_PARAMETERS:
        raise ValueError(
            f"expected {parameters} parameters and {SCRATCH_PARAMETERS} scratch pointers of {name} in the PTX"
        )
    body = ptx[entry.end() :]
    for i in range(parameters, len(declared)):
        if re.search(rf"\b{re.escape(name)}_param_{i}\b", body):
            raise ValueError(f"{name} uses its scratch pointer {i - parameters}")
    return ptx[: entry.start(1)] + ",\n".join(declared[:parameters]) + ptx[entry.end(1) :]


def resources(log: str) -> tuple[int, int]:
    """Registers per thread, and spilled bytes per thread, from the output of ``ptxas -v`` for one kernel.

    Raises:
        ValueError: the log has no such lines.
    """
    registers = re.search(r"Used (\d+) registers", log)
    spills = re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", log)
    if registers is None or spills is None:
        raise ValueError(f"no registers and spills in ptxas' report: {log.strip()[-200:]}")
    return int(registers[1]), int(spills[1]) + int(spills[2])
