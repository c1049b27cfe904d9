"""Work in this process, in others and on a Dask cluster: the same answers in the same order."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor

import pytest
from tasks import die, scaled, where

from edge_runtime.errors import BadInput, EnvironmentFault
from optimizer.executor import Workers, opened


def _processes() -> Executor:
    workers = opened("local")
    with workers as found:
        start = found._start
    assert start is not None
    return start()


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """Run a Dask scheduler and two workers on this machine."""
    distributed = pytest.importorskip("distributed", reason="needs the extra dask")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=":0", host="127.0.0.1"
    ) as running:
        yield running.scheduler_address.replace("tcp://", "dask://")


def test_small_work_stays_in_this_process() -> None:
    """Processes are not started for what is done sooner than they are."""
    with opened("local") as workers:
        assert workers.map(where, None, [3, 1, 2]) == [(3, os.getpid()), (1, os.getpid()), (2, os.getpid())]


def test_an_executor_gets_the_work_in_order() -> None:
    """Chunks come back in the order of the items, each item once, and progress ends at all of them."""
    seen: list[tuple[int, int]] = []
    workers = Workers(lambda: ThreadPoolExecutor(3), eager=True)
    answers = workers.map(scaled, 7, list(range(100)), lambda done, total: seen.append((done, total)))
    workers.close()
    assert answers == [7 * item for item in range(100)]
    assert seen[-1] == (100, 100)


def test_processes_are_other_processes() -> None:
    """The local executor really leaves this process."""
    workers = Workers(_processes, eager=True)
    answers = workers.map(where, None, [1, 2])
    workers.close()
    assert [item for item, _ in answers] == [1, 2]
    assert os.getpid() not in {process for _, process in answers}


def test_a_dask_cluster_gives_the_same_answers(cluster: str) -> None:
    """The cluster's workers answer in the items' order, and closing leaves the cluster running."""
    for _ in range(2):
        with opened(cluster) as workers:
            assert workers.map(scaled, 3, list(range(20))) == [3 * item for item in range(20)]


def test_a_process_that_dies_is_an_error_with_a_code() -> None:
    """A worker that is killed ends the work with a word on how to go on, not with a traceback."""
    workers = Workers(_processes, eager=True)
    with pytest.raises(EnvironmentFault) as caught:
        workers.map(die, None, [9])
    workers.close()
    assert caught.value.code == "E-EXECUTOR-LOST"


def test_a_cluster_whose_workers_die_is_the_same_error(cluster: str) -> None:
    """What Dask itself fails with is told in our words."""
    with pytest.raises(EnvironmentFault) as caught, opened(cluster) as workers:
        workers.map(die, None, [9])
    assert caught.value.code == "E-EXECUTOR-LOST"


def test_workers_unlike_this_machine_are_refused(cluster: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another processor rounds otherwise: the same input would give other bytes."""
    monkeypatch.setattr("optimizer.tools.detect", lambda: "another processor")
    with pytest.raises(EnvironmentFault, match="another processor") as caught, opened(cluster) as workers:
        workers.map(scaled, 1, [1])
    assert caught.value.code == "E-EXECUTOR-DIFFERS"


def test_a_cluster_without_workers_is_not_waited_for_forever() -> None:
    """Ten seconds, then the command that starts some."""
    distributed = pytest.importorskip("distributed", reason="needs the extra dask")
    with distributed.LocalCluster(n_workers=0, dashboard_address=":0", host="127.0.0.1") as empty:
        address = empty.scheduler_address.replace("tcp://", "dask://")
        with pytest.raises(EnvironmentFault, match="has no workers"), opened(address) as workers:
            workers.map(scaled, 1, [1])


@pytest.mark.parametrize(("spec", "code"), [("cloud", "E-EXECUTOR-UNKNOWN"), ("dask://127.0.0.1:9", "E-EXECUTOR-LOST")])
def test_what_is_not_there_is_said(spec: str, code: str) -> None:
    """An unknown name and a scheduler that does not answer have codes of their own."""
    pytest.importorskip("distributed", reason="needs the extra dask")
    with pytest.raises((BadInput, EnvironmentFault)) as caught, opened(spec) as workers:
        workers.map(scaled, 1, [1])
    assert caught.value.code == code
