"""The yardstick: `model.generate` in a loop, with nothing of pytest-lem around it.

Started by `perf_harness.py` with a model's directory. Reads a JSON line with equally
long prompts per request, answers one with the seconds the loop took and a hash of the
tokens. An empty line, or none, ends it.
"""

import hashlib
import json
import sys
import time

import torch
from transformers import AutoModelForCausalLM, GenerationConfig, logging


def main() -> None:
    """Load, then answer requests."""
    logging.disable_progress_bar()
    model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype="auto").eval()
    for line in sys.stdin:
        if not line.strip():
            return
        asked = json.loads(line)
        config = GenerationConfig(
            max_new_tokens=asked["output_tokens"],
            min_new_tokens=asked["output_tokens"],
            do_sample=False,
            num_beams=1,
            num_return_sequences=1,
            return_dict_in_generate=False,
            pad_token_id=asked["pad_token_id"],
        )
        prompts = [torch.tensor([ids]) for ids in asked["prompts"]]
        masks = [torch.ones_like(ids) for ids in prompts]
        outcomes = []
        began_ns = time.monotonic_ns()
        with torch.inference_mode():
            for ids, mask in zip(prompts, masks, strict=True):
                outcomes.append(
                    model.generate(
                        input_ids=ids, attention_mask=mask, generation_config=config
                    )
                )
        ended_ns = time.monotonic_ns()
        rows = [
            row[0, ids.shape[1] :] for row, ids in zip(outcomes, prompts, strict=True)
        ]
        text = json.dumps([row.tolist() for row in rows])
        answer = {
            "duration_s": (ended_ns - began_ns) / 1e9,
            "sha256": hashlib.sha256(text.encode()).hexdigest(),
        }
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
