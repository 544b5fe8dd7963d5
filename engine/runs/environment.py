"""What a run's numbers depend on beside its spec: versions, device, threads."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import version
from typing import Any

import torch

from engine.runs.catalog import RunError
from engine.runs.files import to_json

PACKAGES = ("mftui", "torch", "numpy", "scipy")


def devices(name: str, workers: int = 0) -> list[str]:
    """Where the processes of a run compute: a place each, at most `workers` of them (0: all there are).

    A GPU is one place, the CPU one a core. `name` is auto (GPUs if there are any), cpu, cuda or cuda:i. Raises
    `RunError` if the machine has none such.
    """
    count = torch.cuda.device_count() if name != "cpu" and torch.cuda.is_available() else 0
    kind, _, index = name.partition(":")
    if name not in ("auto", "cpu") and (kind != "cuda" or (index and not index.isdecimal())):
        raise RunError(f"--device: expected auto, cpu, cuda or cuda:0, cuda:1 …, got {name!r}")
    if name == "cpu" or (name == "auto" and not count):
        found = ["cpu"] * len(os.sched_getaffinity(0))
    elif int(index or 0) >= count:
        seen = f"{count} CUDA device{'s' if count > 1 else ''}" if count else _why_no_cuda()
        raise RunError(f"--device {name}: {seen}; use --device cpu, or auto")
    else:
        found = [f"cuda:{index}"] if index else [f"cuda:{each}" for each in range(count)]
    return found[: workers or None]


def _why_no_cuda() -> str:
    if torch.version.cuda is None:
        return f"torch {torch.__version__} is a build without CUDA"
    return f"torch {torch.__version__} (CUDA {torch.version.cuda}) sees no CUDA device: driver or permissions"


def fingerprint(name: str) -> dict[str, Any]:
    """What a device's numbers depend on: two attempts with equal fingerprints give the same bits."""
    device = torch.device(name)
    return {
        "python": platform.python_version(),
        **{package: version(package) for package in PACKAGES},
        "system": f"{platform.system()} {platform.machine()}",
        "device": name,
        "device_name": torch.cuda.get_device_name(device) if device.type == "cuda" else _cpu_name(),
        "cores": len(os.sched_getaffinity(0)),
        "host": platform.node(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
    }


def report() -> dict[str, Any]:
    """What `mftui doctor` wants to know of torch."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return {
        "build": f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU only",
        "devices": [
            f"cuda:{index} {torch.cuda.get_device_name(index)} "
            f"({torch.cuda.get_device_properties(index).total_memory / 2**30:.0f} GiB)"
            for index in range(count)
        ],
        "why_no_cuda": "" if count else _why_no_cuda(),
        "cpu": _cpu_name(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
    }


def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def main(names: list[str]) -> None:
    """Print the report; or, if one of `names` is not there, exit with status 1 and say so on stderr."""
    try:
        for name in names:
            devices(name)
    except RunError as error:
        sys.exit(str(error))
    print(to_json(report()))


if __name__ == "__main__":
    main(sys.argv[1:])
