"""What of this machine is ours: its processors and its memory, or the share that a hub or a container leaves us.

A hub tells its limits in CPU_LIMIT (processors) and MEM_LIMIT (bytes), a container in its control groups (cgroups, of
version 1 or 2). The machine's own numbers, which most programs look at, can be fifty times as large.
"""

import math
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

SIZES = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


def processors(root: Path = Path("/"), environment: Mapping[str, str] = os.environ) -> int:
    """How many processors may compute for us at a time, at least 1. root: where /proc and /sys are."""
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limits = [here, _limit(environment.get("CPU_LIMIT", ""))]
    for group in _groups("cpu", root):
        in_version_1 = [*_words(group / "cpu.cfs_quota_us"), *_words(group / "cpu.cfs_period_us")]
        for words in (_words(group / "cpu.max"), in_version_1):  # microseconds that we may have, of how many
            if len(words) == 2:
                limits.append(_limit(words[0]) / _limit(words[1]))
    return max(1, math.floor(min(limits)))


def free_memory(root: Path = Path("/"), environment: Mapping[str, str] = os.environ) -> int:
    """How many bytes of main memory we may still take. root: where /proc and /sys are."""
    import psutil

    hub = _limit(environment.get("MEM_LIMIT", ""))
    free = [psutil.virtual_memory().available, hub]
    for group in _groups("memory", root):
        stat = _words(group / "memory.stat")
        cached = int(stat[stat.index("inactive_file") + 1]) if "inactive_file" in stat else 0  # files, which make way
        for most, used in (("max", "current"), ("limit_in_bytes", "usage_in_bytes")):
            for taken in _words(group / f"memory.{used}"):
                limit = min([hub, *map(_limit, _words(group / f"memory.{most}"))])
                free.append(limit - max(0, int(taken) - cached))
    return max(0, int(min(free)))


def _groups(controller: str, root: Path) -> Iterator[Path]:
    """The folders of the control groups that we are in, for "cpu" or "memory", the innermost first."""
    for _, controllers, path in re.findall(r"^(\d+):(.*?):(.*)$", _text(root / "proc/self/cgroup"), re.MULTILINE):
        if controllers and controller not in controllers.split(","):
            continue
        top = root / "sys/fs/cgroup" / (controller if controllers else "")
        group = top / path.lstrip("/")  # from inside a container it may not be there, but the top is
        yield from (folder for folder in (group, *group.parents) if folder.is_relative_to(top) and folder.is_dir())


def _text(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""


def _words(file: Path) -> list[str]:
    return _text(file).split()


def _limit(text: str) -> float:
    """ "2", "0.5", "4G" as a number; infinity where there is no limit: "max", "-1", "", or nothing that we know."""
    found = re.fullmatch(r"([\d.]+)([kmgt]?)i?b?", text.lower())
    try:
        return float(found[1]) * SIZES[found[2]] or math.inf
    except (TypeError, ValueError):
        return math.inf
