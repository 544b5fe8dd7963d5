"""What a run's numbers depend on beside its spec: versions, device, threads."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import version
from typing import Any

import torch

from engine.runs.directory import RunError
from engine.runs.store import to_json

PACKAGES = ("mftui", "torch", "numpy", "scipy")


def resolve_device(name: str) -> torch.device:
    """The device that auto, cpu, cuda or cuda:i names. Raises `RunError` if the machine has none such."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cpu":
        return torch.device("cpu")
    kind, _, index = name.partition(":")
    if kind != "cuda" or (index and not index.isdecimal()):
        raise RunError(f"--device: expected auto, cpu, cuda or cuda:0, cuda:1 …, got {name!r}")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if int(index or 0) >= count:
        found = f"{count} CUDA device{'s' if count > 1 else ''}" if count else _why_no_cuda()
        raise RunError(f"--device {name}: {found}; use --device cpu, or auto")
    return torch.device(kind, int(index or 0))


def _why_no_cuda() -> str:
    if torch.version.cuda is None:
        return f"torch {torch.__version__} is a build without CUDA"
    return f"torch {torch.__version__} (CUDA {torch.version.cuda}) sees no CUDA device: driver or permissions"


def fingerprint(device: torch.device) -> dict[str, Any]:
    """Two attempts with equal fingerprints give bit-identical numbers."""
    return {
        "python": platform.python_version(),
        **{package: version(package) for package in PACKAGES},
        "system": f"{platform.system()} {platform.machine()}",
        "device": str(device),
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


def main(devices: list[str]) -> None:
    """Print the report; or, if one of `devices` is not there, exit with status 1 and say so on stderr."""
    try:
        for device in devices:
            resolve_device(device)
    except RunError as error:
        sys.exit(str(error))
    print(to_json(report()))


if __name__ == "__main__":
    main(sys.argv[1:])
