"""The yardstick: `model.generate` in a loop, with nothing of pytest-lem around it.

Started by `harness_bench.py`. The first line of its input is JSON and says what to
load; each one after it has batches of equally long prompts, and is answered with the
seconds that the loop took and a hash of the tokens. The end of its input ends it.
"""

import json
import sys
import time

import torch
from bare import answering, outcome
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig, logging


def load(told):
    """The model, from its checkpoint or made of random weights, on the device."""
    logging.disable_progress_bar()
    if told["weights"] == "checkpoint":
        model = AutoModelForCausalLM.from_pretrained(told["path"], dtype="auto")
        return model.to(told["device"]).eval()
    config = AutoConfig.from_pretrained(told["path"])
    torch.manual_seed(told["seed"])
    with torch.device(told["device"]):
        dtype = getattr(torch, told["dtype"])
        return AutoModelForCausalLM.from_config(config, dtype=dtype).eval()


def main() -> None:
    """Load, then answer requests."""
    with answering() as answer:
        told = json.loads(sys.stdin.readline())
        model = load(told)
        on_gpu = model.device.type == "cuda"
        answer({})
        for line in sys.stdin:
            asked = json.loads(line)
            config = GenerationConfig(
                max_new_tokens=asked["output_tokens"],
                min_new_tokens=asked["output_tokens"],
                do_sample=False,
                num_beams=1,
                num_return_sequences=1,
                return_dict_in_generate=False,
                pad_token_id=told["pad_token_id"],
            )
            batches = [torch.tensor(b, device=model.device) for b in asked["batches"]]
            masks = [torch.ones_like(ids) for ids in batches]
            outcomes = []
            if on_gpu:
                torch.cuda.synchronize()
            began_ns = time.monotonic_ns()
            with torch.inference_mode():
                for ids, mask in zip(batches, masks, strict=True):
                    outcomes.append(
                        model.generate(
                            input_ids=ids, attention_mask=mask, generation_config=config
                        )
                    )
            if on_gpu:
                torch.cuda.synchronize()
            ended_ns = time.monotonic_ns()
            pairs = zip(outcomes, batches, strict=True)
            rows = [
                row for out, ids in pairs for row in out[:, ids.shape[1] :].tolist()
            ]
            answer(outcome(rows, ended_ns - began_ns))


if __name__ == "__main__":
    main()
