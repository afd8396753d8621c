"""What a pass asks of the engine, and whether that is what was done."""

from collections.abc import Sequence

from pytest_lem.engines import GenerateOptions, Generation
from pytest_lem.errors import GenerationError
from pytest_lem.spec.workload import Workload
from pytest_lem.workload.lengths import outputs_of


def asked(
    workload: Workload,
    requests: int | None = None,
    *,
    batch_size: int | None = None,
    stamps: bool = False,
) -> GenerateOptions:
    """How so many requests are generated, or those of a window; all sent at once.

    Request k has the same length in every pass.
    """
    count = requests or workload.request_count
    drawn = outputs_of(workload, count)
    limits = [workload.output_tokens or 0] if drawn is None else drawn
    most, least = max(limits), workload.min_output_tokens
    return GenerateOptions(
        output_tokens=most,
        min_output_tokens=most if workload.forced else least,
        batch_size=batch_size or workload.batch_size,
        decoder=workload.decoder.model_dump(),
        seed=workload.seed,
        stamps=stamps,
        request_timeout_s=workload.request_timeout_s,
        token_timeout_s=workload.token_timeout_s,
        output_limits=limits if len({*limits}) > 1 else (),
    )


def check_work(
    prompts: Sequence[Sequence[int]], generation: Generation, options: GenerateOptions
) -> None:
    """The engine did what it was asked: every request, no more, and whole or failed."""
    done = generation.completions
    if len(done) != len(prompts):
        raise GenerationError(f"{len(prompts)} requests gave {len(done)} completions")
    for k, (prompt, one) in enumerate(zip(prompts, done, strict=True)):
        own = options.of(k)
        low = (own.min_output_tokens or 0) * one.texts
        low = low if one.outcome == "completed" else 0
        high = own.output_tokens * one.texts
        if one.input_tokens != len(prompt) or not low <= one.output_tokens <= high:
            raise GenerationError(
                f"request {k}: {len(prompt)} tokens in and {low} to {high} out were "
                f"asked for, {one.input_tokens} and {one.output_tokens} were done"
            )
