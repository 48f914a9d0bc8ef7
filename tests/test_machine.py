"""How many processors and how much memory are ours: of the machine, of a hub, of control groups 1 and 2."""

import os

import psutil
import pytest

from vosnb.machine import free_memory, processors

GB = 2**30
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def tree(root, **files):
    """A folder with files like those of /proc and /sys."""
    for path, text in files.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


@pytest.fixture
def large(monkeypatch):
    """A machine of 64 processors and 256 GB."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: range(64), raising=False)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": 256 * GB}))


V1 = {"proc/self/cgroup": "3:cpu,cpuacct:/docker/ab\n2:memory:/docker/ab\n1:name=systemd:/x\n"}
V2 = {"proc/self/cgroup": "0::/my users/me.service\n"}


@pytest.mark.parametrize(
    "files, environment, expected",
    [
        ({}, {}, 64),
        ({}, {"CPU_LIMIT": "4.0"}, 4),
        ({}, {"CPU_LIMIT": "0.5"}, 1),
        ({}, {"CPU_LIMIT": ""}, 64),
        ({}, {"CPU_LIMIT": "0.0"}, 64),
        ({}, {"CPU_LIMIT": "many"}, 64),
        (V2 | {"sys/fs/cgroup/my users/me.service/cpu.max": "250000 100000\n"}, {}, 2),
        (V2 | {"sys/fs/cgroup/my users/me.service/cpu.max": "max 100000\n"}, {}, 64),
        (V2 | {"sys/fs/cgroup/my users/cpu.max": "300000 100000\n"}, {}, 3),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "200000 100000"}, {"CPU_LIMIT": "1"}, 1),
        (
            V1 | {"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "600000\n", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n"},
            {},
            6,
        ),
        (V1 | {"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"}, {}, 64),
    ],
)
def test_the_processors_that_we_may_use(large, tmp_path, files, environment, expected):
    assert processors(tree(tmp_path, **files), environment) == expected


@pytest.mark.parametrize(
    "files, environment, expected",
    [
        ({}, {}, 256),
        ({}, {"MEM_LIMIT": str(2 * GB)}, 2),
        ({}, {"MEM_LIMIT": "2G"}, 2),
        (
            V2
            | {
                "sys/fs/cgroup/my users/me.service/memory.max": f"{4 * GB}\n",
                "sys/fs/cgroup/my users/me.service/memory.current": f"{3 * GB}\n",
                "sys/fs/cgroup/my users/me.service/memory.stat": f"anon {GB}\ninactive_file {2 * GB}\n",
            },
            {},
            3,
        ),
        (V2 | {"sys/fs/cgroup/memory.max": "max", "sys/fs/cgroup/memory.current": str(GB)}, {"MEM_LIMIT": "4G"}, 3),
        (
            V1
            | {
                "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{2 * GB}\n",
                "sys/fs/cgroup/memory/memory.usage_in_bytes": f"{3 * GB}\n",
            },
            {},
            0,
        ),
        (
            V1
            | {
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712",
                "sys/fs/cgroup/memory/memory.usage_in_bytes": f"{GB}",
            },
            {},
            256,
        ),
    ],
)
def test_the_memory_that_we_may_still_take(large, tmp_path, files, environment, expected):
    assert free_memory(tree(tmp_path, **files), environment) == expected * GB


def test_this_machine_has_some_of_both():
    assert 1 <= processors() <= CORES and free_memory() > 0
