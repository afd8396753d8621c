"""What a run costs at the least, per token in and per token out: a designed experiment.

Energies of runs of several lengths are fitted by ordinary least squares with

    J = fixed + b * input tokens + c * output tokens

and the fit says how well that plane holds. Repeats of the same lengths tell noise from
lack of fit (the usual F test; Draper and Smith, Applied Regression Analysis, ch. 2).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_lem.analysis.stats import CI_LEVEL, t_quantile


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run: tokens in and out, and the joules that it took."""

    input_tokens: int
    output_tokens: int
    energy_j: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Coefficient:
    """A fitted coefficient with its 95 % interval; no interval without spare runs."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """`fixed` in J; `per_input_token` and `per_output_token` in J/token.

    `residual_std_j` is the scatter around the plane. `lack_of_fit_p` is how likely
    scatter as structured as this is from noise alone: small says that the plane does
    not hold. It is None without repeats, or with no more lengths than coefficients.
    """

    runs: int
    lengths: int
    fixed: Coefficient
    per_input_token: Coefficient
    per_output_token: Coefficient
    residual_std_j: float | None
    lack_of_fit_p: float | None


def fit(runs: Sequence[Run]) -> Fit:
    """The plane through the runs; ValueError where the lengths do not fix one."""
    import numpy as np

    design = np.array([[1.0, r.input_tokens, r.output_tokens] for r in runs])
    energy = np.array([r.energy_j for r in runs], dtype=float)
    if len(runs) < 3 or np.linalg.matrix_rank(design) < 3:
        msg = "a fit needs at least three different lengths that are not on one line"
        raise ValueError(msg)
    solution = np.linalg.lstsq(design, energy, rcond=None)[0]
    residual = energy - design @ solution
    spare = len(runs) - 3
    variance = float(residual @ residual) / spare if spare else None
    spread = np.sqrt(np.diag(np.linalg.inv(design.T @ design)))
    fixed, per_input, per_output = (
        _coefficient(float(value), float(scale), variance, spare)
        for value, scale in zip(solution, spread, strict=True)
    )
    return Fit(
        runs=len(runs),
        lengths=len({(r.input_tokens, r.output_tokens) for r in runs}),
        fixed=fixed,
        per_input_token=per_input,
        per_output_token=per_output,
        residual_std_j=None if variance is None else variance**0.5,
        lack_of_fit_p=_lack_of_fit(runs, float(residual @ residual)),
    )


def _coefficient(
    value: float, scale: float, variance: float | None, spare: int
) -> Coefficient:
    if variance is None:
        return Coefficient(value=value, low=None, high=None)
    half = t_quantile(spare, CI_LEVEL) * scale * variance**0.5
    return Coefficient(value=value, low=value - half, high=value + half)


def _lack_of_fit(runs: Sequence[Run], residual_square: float) -> float | None:
    """P value of scatter between lengths against scatter within them."""
    groups: dict[tuple[int, int], list[float]] = {}
    for run in runs:
        key = (run.input_tokens, run.output_tokens)
        groups.setdefault(key, []).append(run.energy_j)
    pure = sum(_square_around_mean(group) for group in groups.values())
    between, within = len(groups) - 3, len(runs) - len(groups)
    if between < 1 or within < 1 or pure <= 0:
        return None
    from scipy.special import fdtrc

    ratio = (residual_square - pure) / between / (pure / within)
    return float(fdtrc(between, within, max(0.0, ratio)))


def _square_around_mean(values: Sequence[float]) -> float:
    mean = sum(values) / len(values)
    return sum((value - mean) ** 2 for value in values)
