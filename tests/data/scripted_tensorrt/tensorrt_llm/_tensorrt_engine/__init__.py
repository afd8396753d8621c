from tensorrt_llm._models import RECORDING

if RECORDING != "1.3":
    raise ModuleNotFoundError("No module named 'tensorrt_llm._tensorrt_engine'")

from tensorrt_llm._llm import TrtLLM

LLM = TrtLLM
