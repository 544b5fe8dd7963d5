from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch

from engine.descent import diagnostics
from engine.descent.descent import Descent
from engine.descent.diagnostics import Truth, diagnose
from engine.descent.inits import initial_factors
from engine.descent.spectrum import Spectrum, spectrum, spectrum_of_product
from engine.events import Rows, diagnostic_names
from engine.models.activations import activation
from engine.models.factorization import end_to_end_matrix
from engine.problems.problem import make_problem
from tests.settings import point

SEEDS = (0, 1, 2)


def _random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _diagonal(*values: float) -> torch.Tensor:
    """The only matrix of a batch of one, rotated on both sides so that nothing is read off the entries."""
    left, right = (torch.linalg.qr(_random(len(values), len(values), seed=seed)).Q for seed in (1, 2))
    return (left @ torch.diag(torch.tensor(values).double()) @ right)[None]


def test_ranks_and_norms_of_a_known_spectrum_are_their_definitions() -> None:
    values = spectrum(_diagonal(4.0, 2.0, 1.0, 1e-6)).values
    shares = [4 / 7, 2 / 7, 1 / 7]
    entropy = -sum(share * math.log(share) for share in shares)
    assert diagnostics.effective_rank(values).item() == pytest.approx(math.exp(entropy), rel=1e-5)
    assert diagnostics.numerical_rank(values).item() == 3
    assert diagnostics.stable_rank(values.norm(dim=-1), values[:, 0]).item() == pytest.approx(21 / 16)
    for depth in (1, 2, 3):
        by_hand = (4 ** (2 / depth) + 2 ** (2 / depth) + 1 + 1e-6 ** (2 / depth)) ** (depth / 2)
        assert diagnostics.schatten_norm(values, depth).item() == pytest.approx(by_hand, rel=1e-9)


def test_the_effective_rank_of_equal_values_is_their_number_and_that_of_zero_is_zero() -> None:
    assert diagnostics.effective_rank(torch.full((1, 5), 0.3)).item() == pytest.approx(5)
    for measure in (diagnostics.effective_rank, diagnostics.numerical_rank):
        assert measure(torch.zeros(1, 5)).item() == 0


@pytest.mark.parametrize("at_once", [1, 2, 1 << 10])
@pytest.mark.parametrize("depth", [1, 2, 3, 5])
def test_the_balancedness_gap_is_the_largest_of_the_layers_however_many_runs_are_worked_out_at_once(
    depth: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diagnostics, "GAP_ENTRIES", at_once * (depth - 1) * 4**2)
    settings = point(depth=depth, width=4, init="gaussian", init_scale=0.5, rows=3, columns=6)
    factors = initial_factors(settings, SEEDS)
    for seed in range(len(SEEDS)):
        layers = [factor[seed] for factor in factors]
        gaps = [float((b.T @ b - a @ a.T).norm()) for a, b in pairwise(layers)]
        assert diagnostics.balancedness_gap(factors)[seed].item() == pytest.approx(max(gaps, default=0.0))


@pytest.mark.parametrize("transposed", [False, True])
def test_norms_of_large_layers_lose_nothing_in_single_precision(transposed: bool) -> None:
    exact = _random(1, 1000, 1000)
    layer = exact.float().mT if transposed else exact.float()
    norm = diagnostics.layer_norms([layer]).item()
    assert norm == pytest.approx(exact.float().double().square().sum().sqrt().item(), rel=3e-7)


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_a_balanced_init_has_no_gap(depth: int) -> None:
    factors = initial_factors(point(depth=depth, width=7, init="balanced", init_scale=1.0), SEEDS)
    assert diagnostics.balancedness_gap(factors).max().item() < 1e-12


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_diagnoses_carry_the_names_of_the_schema_in_order_and_one_number_a_data_set(depth: int) -> None:
    settings = point(depth=depth, width=6, init="gaussian", init_scale=1.0, rank=2)
    factors = initial_factors(settings, SEEDS)
    matrices = end_to_end_matrix(factors, activation(settings.model))
    truths = make_problem(settings.problem, SEEDS).truth
    assert truths is not None
    found = diagnose(factors, spectrum(matrices), Truth.of(truths, 2), matrices)
    assert list(found) == diagnostic_names(depth, 2)
    for index in range(len(SEEDS)):
        expected = float((matrices[index] - truths[index]).norm())
        assert found["distance_to_truth"][index].item() == pytest.approx(expected)
        assert found["nuclear_norm"][index].item() == pytest.approx(
            float(torch.linalg.matrix_norm(matrices[index], "nuc"))
        )
        assert found[f"layer_norm_{depth}"][index].item() == pytest.approx(float(factors[-1][index].norm()))


def test_the_truth_is_aligned_with_itself_and_not_with_what_is_orthogonal() -> None:
    truth = _diagonal(3.0, 2.0, 0.0, 0.0)
    itself = spectrum(-truth)
    found = diagnose([truth], itself, Truth.of(truth, 2), -truth)
    assert [round(found[f"{side}_alignment_{i}"].item(), 9) for side in ("left", "right") for i in (1, 2)] == [1.0] * 4
    whole = spectrum(truth)
    other = whole.left[..., 2:] @ torch.diag(torch.tensor([2.0, 1.0]).double()) @ whole.right[..., 2:].mT
    found = diagnose([other], spectrum(other), Truth.of(truth, 2), other)
    assert max(found[f"{side}_alignment_{i}"].item() for side in ("left", "right") for i in (1, 2)) < 1e-12


def test_padding_hidden_units_with_zeros_changes_no_diagnosis() -> None:
    factors = initial_factors(point(depth=3, width=4, init="gaussian", init_scale=1.0), SEEDS)
    padded = [
        torch.nn.functional.pad(factor, (0, 0 if index == 0 else 3, 0, 0 if index == 2 else 3))
        for index, factor in enumerate(factors)
    ]
    both = []
    for batch in (factors, padded):
        matrices = end_to_end_matrix(batch, activation(point().model))
        both.append(diagnose(batch, spectrum(matrices), None))
    for name, values in both[0].items():
        torch.testing.assert_close(values, both[1][name], rtol=1e-12, atol=0, equal_nan=True)


def test_what_an_incomplete_spectrum_cannot_tell_is_nan() -> None:
    left, right = _random(1, 200, 150), _random(1, 150, 180, seed=1)
    norm = diagnostics.frobenius_norm_of_product(left, right)
    assert norm.item() == pytest.approx(float((left @ right).norm()))
    found = diagnose([right, left], spectrum_of_product(left, right, 10), None, frobenius_norm=norm)
    assert math.isnan(found["nuclear_norm"].item())
    assert math.isnan(found["effective_rank"].item())
    exact = torch.linalg.svdvals(left @ right)[0]
    assert found["stable_rank"].item() == pytest.approx(float(exact.square().sum() / exact[0] ** 2), rel=0.02)


def test_the_numerical_rank_is_known_where_the_values_found_reach_below_it() -> None:
    values = torch.tensor([[1.0, 0.1, 1e-2, 1e-5], [1.0, 0.1, 0.1, 0.1]]).double()
    vectors = torch.linalg.qr(_random(2, 150, 4)).Q
    found = diagnose([_random(2, 150, 150)] * 2, Spectrum(vectors, values, vectors, False), None)
    assert found["numerical_rank"][0].item() == 3
    assert math.isnan(found["numerical_rank"][1].item())


@pytest.mark.parametrize(("width", "missing"), [(150, 0), (3, 2)])
def test_a_large_w_of_completion_has_its_distance_and_alignments_without_being_held(width: int, missing: int) -> None:
    """Of rank 5, 160×140, after 100 steps; a model of width 3 has no fourth and fifth vector."""
    settings = point(
        kind="completion", rows=160, columns=140, rank=5, norm=140.0, measurements=6_000, width=width, depth=2,
        init="gaussian", init_scale=0.5, learning_rate=10.0, steps=100, log_every=100,
    )  # fmt: skip
    problem = make_problem(settings.problem, SEEDS)
    procedure = Descent({0: settings}, SEEDS, problem, torch.device("cpu"))
    state, events = procedure.init()
    while procedure.fraction(state) < 1:
        state, more = procedure.step(state)
        events += more
    rows = [row for event in events if isinstance(event, Rows) and event.table == "diagnostics" for row in event.rows]
    matrices = end_to_end_matrix(procedure._layout.factors(state.weights), activation(settings.model))
    assert problem.truth is not None
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    true_left, _, true_right = torch.linalg.svd(problem.truth, full_matrices=False)
    names = diagnostic_names(2, 5)
    for seed in SEEDS:
        found = dict(zip(names, next(row for row in rows if list(row[1:3]) == [seed, 100])[3:], strict=True))
        distance = float((matrices[seed] - problem.truth[seed]).norm())
        assert found["distance_to_truth"] == pytest.approx(distance, rel=1e-9)
        for index in range(5 - missing):
            on_left = abs(float(left[seed, :, index] @ true_left[seed, :, index]))
            on_right = abs(float(right[seed, index] @ true_right[seed, index]))
            assert found[f"left_alignment_{index + 1}"] == pytest.approx(on_left, abs=1e-6)
            assert found[f"right_alignment_{index + 1}"] == pytest.approx(on_right, abs=1e-6)
        assert all(math.isnan(found[f"left_alignment_{index}"]) for index in range(6 - missing, 6))
