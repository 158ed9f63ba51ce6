"""Threads follow the quota and the affinity of the process."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from onnxpress.engine.machine import usable_cores


@pytest.fixture
def many_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.usefixtures("many_cores")
@pytest.mark.parametrize(
    ("own", "parent", "expected"),
    [
        ("200000 100000", "max 100000", 2),
        ("150000 100000", "max 100000", 2),  # a quota of 1.5 cores keeps 2 threads busy
        ("50000 100000", "max 100000", 1),
        ("max 100000", "300000 100000", 3),  # the limit of a parent counts too
        ("800000 100000", "300000 100000", 3),
        ("max 100000", "max 100000", 64),
        ("nonsense", "max 0", 64),
    ],
)
def test_quota_v2(tmp_path: Path, own: str, parent: str, expected: int) -> None:
    _write(tmp_path / "membership", "0::/pod/container\n")
    _write(tmp_path / "cgroup/pod/container/cpu.max", own)
    _write(tmp_path / "cgroup/pod/cpu.max", parent)
    assert usable_cores(tmp_path / "cgroup", tmp_path / "membership") == expected


@pytest.mark.usefixtures("many_cores")
def test_quota_v1(tmp_path: Path) -> None:
    _write(tmp_path / "membership", "4:cpu,cpuacct:/docker/x\n3:memory:/docker/x\n")
    _write(tmp_path / "cgroup/cpu/docker/x/cpu.cfs_quota_us", "400000")
    _write(tmp_path / "cgroup/cpu/docker/x/cpu.cfs_period_us", "100000")
    assert usable_cores(tmp_path / "cgroup", tmp_path / "membership") == 4


def test_affinity_counts_where_there_is_no_cgroup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 5, 7}, raising=False)
    assert usable_cores(tmp_path, tmp_path / "absent") == 3


def test_this_process_has_at_least_one_core() -> None:
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)
