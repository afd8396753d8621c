"""The yardstick: one `LLM.generate` for all, with nothing of pytest-lem around it.

Spoken with as `bare_transformers.py` is. All batches go in at once: how many run at a
time is `max_num_seqs`, as vLLM is used.
"""

import json
import sys
import time

from bare import answering, outcome


def main() -> None:
    """Load, then answer requests."""
    with answering() as answer:
        told = json.loads(sys.stdin.readline())
        from vllm import LLM, SamplingParams, TokensPrompt

        llm = LLM(**told["arguments"])
        answer({})
        for line in sys.stdin:
            asked = json.loads(line)
            params = SamplingParams(
                temperature=0.0,
                max_tokens=asked["output_tokens"],
                min_tokens=asked["output_tokens"],
                ignore_eos=True,
            )
            prompts = [
                TokensPrompt(prompt_token_ids=ids)
                for batch in asked["batches"]
                for ids in batch
            ]
            llm.reset_prefix_cache()
            began_ns = time.monotonic_ns()
            outputs = llm.generate(prompts, params, use_tqdm=False)
            ended_ns = time.monotonic_ns()
            rows = [list(one.outputs[0].token_ids) for one in outputs]
            answer(outcome(rows, ended_ns - began_ns))


if __name__ == "__main__":
    main()
