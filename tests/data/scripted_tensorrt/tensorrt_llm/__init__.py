"""A scripted TensorRT-LLM: see README.md beside it."""

from tensorrt_llm._gpu import pretend
from tensorrt_llm._llm import TorchLLM
from tensorrt_llm._models import RECORDING, SamplingParams

__version__ = f"{RECORDING}.0rc0+scripted"
LLM = TorchLLM
__all__ = ["LLM", "SamplingParams"]

pretend()
