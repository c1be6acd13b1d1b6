"""What must be changed in, and can be read from, the PTX that Triton writes."""

import re

SCRATCH_PARAMETERS = 2
"""Pointers that Triton appends to a kernel's own parameters."""


def strip_scratch(ptx: str, name: str, parameters: int) -> str:
    """The same kernel without the scratch pointers, which nothing that launches it knows of.

    Args:
        ptx: with one entry.
        name: the entry.
        parameters: how many the kernel's source has, ``constexpr`` not counted.

    Raises:
        ValueError: the entry has not these parameters and two scratch pointers, or the code uses a scratch pointer.
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
    """Registers of a thread, and bytes that it spills, from what ``ptxas -v`` says of one kernel.

    Raises:
        ValueError: the log has no such lines.
    """
    registers = re.search(r"Used (\d+) registers", log)
    spills = re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", log)
    if registers is None or spills is None:
        raise ValueError(f"no registers and spills in ptxas' report: {log.strip()[-200:]}")
    return int(registers[1]), int(spills[1]) + int(spills[2])
