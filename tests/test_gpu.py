"""What only a GPU can show; all of it skips where there is none."""

from __future__ import annotations

import math
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.descent.batched_step import AT_ONCE
from engine.descent.descent import Descent
from engine.descent.spectrum import singular_values, spectrum
from engine.events import Finished, Rows
from engine.problems.problem import make_problem
from engine.randomness import Stream
from engine.runs.directory import RunDirectory
from engine.samplers import SAMPLERS
from engine.samplers.interface import GuessRecord
from engine.spec.names import OPTIMIZERS, SamplerName
from engine.spec.settings import PointSettings
from mftui.live import LiveRun
from tests.runs import follow, follow_to_end, make_run, results_of, tables_of
from tests.settings import point
from tests.targets import run, target

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")]

SEEDS = (0, 1, 2)
SPARSE: dict[str, Any] = {
    "kind": "completion", "rows": 400, "columns": 300, "rank": 2, "norm": 300.0, "measurements": 9_000, "width": 8,
    "init": "gaussian", "init_scale": 0.3, "steps": 100, "log_every": 50,
}  # fmt: skip


def _descend(settings: PointSettings, device: str) -> tuple[dict[str, np.ndarray], list[Any], torch.Tensor]:
    """Every logged table, the results, and the last weights."""
    problem = make_problem(settings.problem, SEEDS)
    descent = Descent({0: settings}, SEEDS, problem, torch.device(device))
    state, events = descent.init()
    while descent.fraction(state) < 1:
        state, more = descent.step(state)
        events += more
    tables: dict[str, list[Any]] = {}
    for event in events:
        if isinstance(event, Rows):
            tables.setdefault(event.table, []).extend(event.rows)
    results = [event.result for event in descent.finish(state) if isinstance(event, Finished)]
    return {table: np.array(rows) for table, rows in tables.items()}, results, state.weights.cpu()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(
    "model",
    [{"depth": 3, "activation": "tanh"}, {"width": 40}, {"depth": 10, "init_scale": 1.0}, SPARSE],
    ids=["tanh", "wide", "deep", "sparse"],
)
def test_a_gpu_takes_the_steps_of_the_cpu(optimizer: str, model: dict[str, Any]) -> None:
    settings = point(**{"optimizer": optimizer, "init_scale": 0.5, "steps": 60, "log_every": 20, **model})
    (ours, *_), (theirs, *_) = _descend(settings, "cuda"), _descend(settings, "cpu")
    for table in ("gd", "diagnostics"):
        columns = slice(None) if table == "gd" else slice(0, 3 + 8 + settings.model.depth)  # not the alignments
        np.testing.assert_allclose(ours[table][:, columns], theirs[table][:, columns], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    "fields",
    [
        {"width": 40, "steps": 500},
        {"width": 40, "activation": "tanh", "optimizer": "adam", "learning_rate": 1e-3, "steps": 500},
        {"depth": 3, "init": "balanced", "init_scale": 0.1, "steps": 500, "predict_from": 0},
        {"kind": "completion", "rows": 100, "columns": 100, "rank": 5, "norm": 100.0, "measurements": 2_000, "depth": 3,
         "width": 100, "steps": 100},
        {**SPARSE, "learning_rate": "auto"},
        {**SPARSE, "learning_rate": "auto", "depth": 3, "optimizer": "heavy_ball"},
        {**SPARSE, "optimizer": "sgd", "batch_size": 4_000},
    ],
    ids=["linear", "adam", "theory", "100x100", "sparse", "sparse, depth 3", "sparse sgd"],
)  # fmt: skip
def test_a_descent_comes_to_the_same_bits_each_time(fields: dict[str, Any]) -> None:
    settings = point(**{"log_every": 50, **fields})
    first, again = _descend(settings, "cuda"), _descend(settings, "cuda")
    assert first[0].keys() == again[0].keys()
    for table in first[0]:
        np.testing.assert_array_equal(first[0][table], again[0][table], strict=True)
    assert (first[1], first[2].tolist()) == (again[1], again[2].tolist())


@pytest.mark.parametrize(("rows", "columns"), [(5, 5), (20, 30), (33, 33), (100, 100), (128, 200)])
def test_a_spectrum_is_the_one_that_numpy_finds(rows: int, columns: int) -> None:
    matrices = Stream(0, "sketch").normal(4, rows, columns)
    matrices = matrices @ torch.diag(torch.logspace(0, -9, columns, dtype=matrices.dtype))
    ours, expected = spectrum(matrices.cuda()), np.linalg.svd(matrices.numpy(), compute_uv=False)
    assert (ours.complete, ours.values.is_cuda) == (True, True)
    largest = float(expected.max())
    for values in (ours.values, singular_values(matrices.cuda())):
        np.testing.assert_allclose(values.cpu(), expected, rtol=0, atol=1e-13 * largest)
    product = (ours.left * ours.values[:, None]) @ ours.right.mT
    torch.testing.assert_close(product.cpu(), matrices, rtol=0, atol=1e-13 * largest)
    for vectors in (ours.left, ours.right):
        identity = torch.eye(vectors.shape[-1], device="cuda", dtype=vectors.dtype).expand(len(vectors), -1, -1)
        torch.testing.assert_close(vectors.mT @ vectors, identity, rtol=0, atol=1e-12)


@pytest.mark.parametrize("fields", [{"width": 40}, {"depth": 3, "activation": "tanh", "optimizer": "adam"}, SPARSE])
def test_steps_are_recorded_and_come_to_the_same_bits_however_many_are_asked_for(fields: dict[str, Any]) -> None:
    settings = point(**fields)
    descent = Descent({0: settings}, SEEDS, make_problem(settings.problem, SEEDS), torch.device("cuda"))
    assert descent.remark is None
    state, _ = descent.init()
    steps, ends = descent._steps, []
    for bursts in ([2 * AT_ONCE + 3], [1] * (2 * AT_ONCE + 3), [AT_ONCE - 1, AT_ONCE + 4]):
        steps.load(0, state.weights, state.optimizer)
        for burst in bursts:
            steps.run(burst)
        ends.append(steps.save()[0])
    assert torch.isfinite(ends[0]).all()
    assert not torch.equal(ends[0], state.weights)
    assert torch.equal(ends[0], ends[1])
    assert torch.equal(ends[0], ends[2])


LONGER = ["gd.steps=300_000", "gd.log_every=1_000", "gnc.draws=400_000_000"]


def test_a_killed_run_goes_on_from_its_checkpoints_to_the_same_bits(tmp_path: Path) -> None:
    undisturbed = make_run(tmp_path / "undisturbed", *LONGER, device="cuda")
    killed = make_run(tmp_path / "killed", *LONGER, device="cuda")
    follow_to_end(LiveRun.start(undisturbed))
    live = follow(LiveRun.start(killed), lambda live: live.curves or live.over, "the first log points")
    live.ask("pause")  # which writes checkpoints
    follow(live, lambda live: live.state == "paused" or live.over, "the pause")
    assert not live.over
    assert list(killed.path.glob("checkpoint-*"))
    worker = killed.worker()
    assert worker is not None
    os.kill(worker, signal.SIGKILL)
    follow_to_end(live)
    assert live.state == "interrupted"
    follow_to_end(LiveRun.start(RunDirectory.open(killed.path)))
    assert {**results_of(killed), "preset": ""} == {**results_of(undisturbed), "preset": ""}
    assert tables_of(killed) == tables_of(undisturbed)


def _record(sampler: SamplerName, device: str, fields: dict[str, Any]) -> GuessRecord:
    trial = target(sampler=sampler, device=device, **fields)
    return SAMPLERS[sampler].record(trial, run(SAMPLERS[sampler], trial))


def _estimates(record: GuessRecord) -> list[tuple[float, float]]:
    """log10 of the acceptance and the mean loss, with their standard errors."""
    acceptance, losses = record.log10_acceptance, record.generalization_loss
    assert acceptance.value is not None
    assert losses is not None
    return [(acceptance.value, (acceptance.high - acceptance.low) / 2 / 1.96), (losses.mean, losses.standard_error)]


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("model", [{}, {"depth": 3, "activation": "tanh", "normalize": True}], ids=str)
def test_guesses_on_a_gpu_follow_the_law_of_those_on_the_cpu_and_are_the_same_each_time(
    sampler: SamplerName, model: dict[str, Any]
) -> None:
    """Within 4 standard errors: 20 comparisons, of which one in 800 fails where there is no difference."""
    fields = {"eps_train": 0.05, "draws": 2_000_000, "effective_samples": 300 if sampler == "splitting" else 2_000}
    ours, again = (_record(sampler, "cuda", {**fields, **model}) for _ in range(2))
    assert ours == again
    theirs = _record("rejection", "cpu", {**fields, **model})
    for (one, its_error), (other, other_error) in zip(_estimates(ours), _estimates(theirs), strict=True):
        assert abs(one - other) < 4 * math.hypot(its_error, other_error)
