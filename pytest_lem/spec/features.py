"""What engines are compared by: features, and the parameter that stands for each."""

from collections.abc import Mapping

ALWAYS = "always"
"""The engine cannot do otherwise."""

CHECKPOINT = "checkpoint"
"""No parameter: the model's own files decide."""

# A backend that is left out has no such feature.
FEATURES: Mapping[str, Mapping[str, str]] = {
    "batches": {
        "transformers": "batch_size",
        "vllm": "batch_size",
        "tensorrt": "batch_size",
    },
    "continuous batching": {
        "transformers": "transformers.continuous_batching.enabled",
        "vllm": ALWAYS,
        "tensorrt": ALWAYS,
    },
    "tensor parallel": {
        "transformers": "transformers.distributed_config.tp_plan",
        "vllm": "vllm.tensor_parallel_size",
        "tensorrt": "tensorrt.tensor_parallel_size",
    },
    "pipeline parallel": {
        "vllm": "vllm.pipeline_parallel_size",
        "tensorrt": "tensorrt.pipeline_parallel_size",
    },
    "data parallel": {
        "transformers": "transformers.num_processes",
        "vllm": "vllm.data_parallel_size",
    },
    "4 bits by bitsandbytes": {
        "transformers": "transformers.quantization_config.load_in_4bit"
    },
    "8 bits by bitsandbytes": {
        "transformers": "transformers.quantization_config.load_in_8bit"
    },
    "FP8 weights": {
        "transformers": "transformers.quantization_config.method",
        "vllm": "vllm.quantization",
        "tensorrt": CHECKPOINT,
    },
    "GPTQ and AWQ checkpoints": {
        "transformers": "transformers.quantization_config.method",
        "vllm": "vllm.quantization",
        "tensorrt": CHECKPOINT,
    },
    "FP8 cache": {
        "vllm": "vllm.kv_cache_dtype",
        "tensorrt": "tensorrt.kv_cache_config.dtype",
    },
    "generation without a cache": {"transformers": "transformers.use_cache"},
    "prefix caching": {
        "transformers": "transformers.continuous_batching.allow_block_sharing",
        "vllm": "vllm.enable_prefix_caching",
        "tensorrt": "tensorrt.kv_cache_config.enable_block_reuse",
    },
    "paged attention": {
        "transformers": "transformers.continuous_batching.page_size",
        "vllm": "vllm.block_size",
        "tensorrt": "tensorrt.kv_cache_config.tokens_per_block",
    },
    "CUDA graphs": {
        "transformers": "transformers.torch_compile",
        "vllm": "vllm.compilation_config.cudagraph_mode",
        "tensorrt": "tensorrt.cuda_graph_config.batch_sizes",
    },
    "choice of attention kernel": {
        "transformers": "transformers.attn_implementation",
        "vllm": "vllm.attention_config.backend",
        "tensorrt": "tensorrt.attn_backend",
    },
    "beam search": {
        "transformers": "decoder.num_beams",
        "vllm": "decoder.num_beams",
        "tensorrt": "decoder.num_beams",
    },
    "drafts by a model": {
        "transformers": "transformers.assistant_model",
        "vllm": "vllm.speculative_config.model",
        "tensorrt": "tensorrt.speculative_config.speculative_model",
    },
    "drafts from the prompt": {
        "transformers": "transformers.prompt_lookup_num_tokens",
        "vllm": "vllm.speculative_config.prompt_lookup_max",
        "tensorrt": "tensorrt.speculative_config.max_matching_ngram_size",
    },
    "one LoRA adapter": {
        "transformers": "adapter",
        "vllm": "adapter",
        "tensorrt": "adapter",
    },
    "several LoRA adapters": {
        "vllm": "vllm.adapters",
    },
}
