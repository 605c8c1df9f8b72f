"""A real Ray cluster of two machines that are made up; skipped where Ray is not installed."""

from __future__ import annotations

import signal
import sys

import pytest

import bgmv2
from bgmv2.batch import cluster, run

from .conftest import assert_alike

pytestmark = pytest.mark.filterwarnings("ignore")  # what Ray itself warns of is not ours


def test_a_cluster_needs_ray(shots, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(bgmv2.DeviceError, match=r"not installed: pip install 'bgmv2\[ray\]'"):
        run(shots(1).plan(), ray="local")


@pytest.fixture(scope="module")
def machines():
    """A cluster whose head does not compute, and two machines with a core each."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    memory = 80 << 20
    head = {"num_cpus": 0, "object_store_memory": memory, "include_dashboard": False}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setattr(cluster, "_PATIENCE", 0.05)
        made = Cluster(initialize_head=True, head_node_args=head)
        nodes = [made.add_node(num_cpus=1, object_store_memory=memory) for _ in range(2)]
        yield made, nodes
        made.shutdown()


def test_errors_and_ctrl_c_on_a_cluster(shots, machines):
    made, _ = machines
    scene = shots(100, ("a", "b", "c"))
    (scene.folder / "c.mkv").write_bytes(b"no clip at all" * 100_000)  # the largest goes first
    events = []

    def interrupt(event):
        events.append((event.kind, event.task.name))
        if event.kind == "failed":
            signal.raise_signal(signal.SIGINT)

    summary = run(scene.plan(), ray=made.address, tell=interrupt)
    assert summary.interrupted and sorted(summary.left) == ["a", "b"]
    assert "c.mkv" in summary.failed["c"] and "\n" not in summary.failed["c"]
    assert ("stopped", "a") in events and ("stopped", "b") in events
    assert not list(scene.out.glob("*.mkv"))


def test_an_address_where_no_cluster_is(shots):
    pytest.importorskip("ray")
    with pytest.raises(bgmv2.DeviceError, match=r"no Ray cluster answers at 127\.0\.0\.1:1"):
        run(shots(1).plan(), ray="127.0.0.1:1")


def test_cuda_on_a_cluster_without(shots, machines):
    made, _ = machines
    scene = shots(1)
    object.__setattr__(scene.settings.run, "device", "cuda")
    with pytest.raises(bgmv2.DeviceError, match="no machine of the Ray cluster at .* has a CUDA device"):
        run(scene.plan(), ray=made.address)


def test_a_machine_is_lost_in_mid_run_and_nothing_is_lost_or_done_twice(shots, machines, monkeypatch):
    made, nodes = machines
    names = ("a", "b", "day/c", "day/d")
    scene = shots(30, names)
    lost = []
    wait = cluster.Cluster.wait

    def lose_one(self):
        """Take a machine away as soon as both have finished a part of their clips."""
        if not lost and len({mark.parent for mark in scene.out.rglob(".*.parts/mark-*.json")}) == 2:
            made.remove_node(nodes[1], allow_graceful=False)
            lost.append(nodes[1])
        return wait(self)

    monkeypatch.setattr(cluster.Cluster, "wait", lose_one)
    summary = run(scene.plan(), ray=made.address)
    assert lost
    assert (sorted(summary.done), summary.failed, summary.left) == (list(names), {}, [])
    for name in names:
        assert_alike(scene.frames(name), scene.expected(name))
    published = scene.published()
    assert sorted(outcome.name for outcome in published) == list(names)
    (again,) = [outcome for outcome in published if outcome.resumed]
    assert again.resumed >= 5, "what the lost machine had finished is not done again"
    assert not list(scene.out.rglob("*.parts"))
    assert len(scene.plan().finished) == 4
