"""Whether a scheduler still has a job, for front ends that show a run which waits for one. Imports nothing slow."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

FOLDER = "jobs-"
"""what the names of submitit's folders in a run's directory begin with"""
ASK_SECONDS = 5.0
"""between two questions to a scheduler, which serves a whole site"""
_ANSWER_SECONDS = 10.0

_answers: dict[str, tuple[float, bool]] = {}
"""when it was asked for a job, and what it said"""


def has_job(directory: Path, event: Mapping[str, Any]) -> bool:
    """Whether the job that a run's event "queued" tells of is in line or at work, as far as this machine can know."""
    job = str(event.get("job", ""))
    if not job.isdecimal():  # whatever else the file holds goes into no command
        return False
    match event.get("cluster"):
        case "slurm":
            return _slurm_has(job)
        case "local":
            with suppress(OSError):  # its command line names a folder that only this job has
                return f"{directory}/{FOLDER}".encode() in Path(f"/proc/{job}/cmdline").read_bytes()
    return False


def _slurm_has(job: str) -> bool:
    asked, answer = _answers.get(job, (float("-inf"), False))
    if time.monotonic() - asked >= ASK_SECONDS:
        answer = _ask_slurm(job)
        _answers[job] = time.monotonic(), answer
    return answer


def _ask_slurm(job: str) -> bool:
    command = ["squeue", "--noheader", "--format=%T", f"--jobs={job}"]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=_ANSWER_SECONDS, check=False)
    except FileNotFoundError:
        return False
    except (OSError, subprocess.TimeoutExpired):
        return True  # busy or down for a moment: jobs outlive that
    if asked.returncode:  # it forgets jobs minutes after their end
        return "invalid job id" not in asked.stderr.lower()
    return bool(asked.stdout.strip())
