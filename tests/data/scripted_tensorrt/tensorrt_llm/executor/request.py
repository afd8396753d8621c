from tensorrt_llm._models import recorded_object as __getattr__  # noqa: F401
