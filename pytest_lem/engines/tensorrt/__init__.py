"""The TensorRT-LLM engine, a module for each part of it; imported in a worker alone."""
