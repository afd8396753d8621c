"""Where each parameter lands in TensorRT-LLM's own objects, as they were recorded."""

import pytest

from pytest_lem.engines import GenerateOptions
from pytest_lem.engines.recorded import recorded
from pytest_lem.spec import catalogue

NGRAM = {"decoding_type": "NGram"}
COMPILED = {"backend": "tensorrt"}
INT8 = {"quantization": {"method": "int8_sq", "calibration": {"num_samples": 64}}}
DRAWS = {"do_sample": True}
LORA = {"enable_lora": True}
PERF = {"enable_iter_perf_stats": True}

# path: value, and what it needs beside it, in the section, the decoder or the spec
CASES = {
    "precision": ("bfloat16", {}),
    "revision": ("abc", {}),
    "trust_remote_code": (True, {}),
    "tensorrt.load_format": ("dummy", {}),
    "tensorrt.tokenizer_revision": ("abc", {}),
    "tensorrt.model_kwargs": ({"num_hidden_layers": 1}, {}),
    "tensorrt.checkpoint_format": ("HF", {}),
    "tensorrt.force_dynamic_quantization": (True, {}),
    "tensorrt.max_batch_size": (7, {}),
    "tensorrt.max_input_len": (99, {}),
    "tensorrt.max_seq_len": (512, {}),
    "tensorrt.max_num_tokens": (999, {}),
    "tensorrt.max_beam_width": (3, {}),
    "tensorrt.tensor_parallel_size": (2, {}),
    "tensorrt.pipeline_parallel_size": (2, {}),
    "tensorrt.pp_partition": ([1, 1], {}),
    "tensorrt.context_parallel_size": (2, {}),
    "tensorrt.cp_config": ({"cp_type": "RING"}, {}),
    "tensorrt.enable_attention_dp": (True, {}),
    "tensorrt.attention_dp_config": ({"enable_balance": True}, {}),
    "tensorrt.moe_tensor_parallel_size": (1, {}),
    "tensorrt.moe_expert_parallel_size": (1, {}),
    "tensorrt.moe_cluster_parallel_size": (1, {}),
    "tensorrt.gpus_per_node": (4, {}),
    "tensorrt.allreduce_strategy": ("NCCL", {}),
    "tensorrt.orchestrator_type": ("rpc", {}),
    "tensorrt.kv_cache_config.free_gpu_memory_fraction": (0.5, {}),
    "tensorrt.kv_cache_config.max_tokens": (4096, {}),
    "tensorrt.kv_cache_config.max_gpu_total_bytes": (2**30, {}),
    "tensorrt.kv_cache_config.enable_block_reuse": (False, {}),
    "tensorrt.kv_cache_config.enable_partial_reuse": (False, {}),
    "tensorrt.kv_cache_config.copy_on_partial_reuse": (False, {}),
    "tensorrt.kv_cache_config.block_reuse_config": ({"policy": "per_request"}, {}),
    "tensorrt.kv_cache_config.dtype": ("fp8", {}),
    "tensorrt.kv_cache_config.tokens_per_block": (64, {}),
    "tensorrt.kv_cache_config.host_cache_size": (2**20, {}),
    "tensorrt.kv_cache_config.disk_cache_size": (2**20, {}),
    "tensorrt.kv_cache_config.disk_cache_path": ("/x", {}),
    "tensorrt.kv_cache_config.max_attention_window": ([128], {}),
    "tensorrt.kv_cache_config.sink_token_length": (4, {}),
    "tensorrt.kv_cache_config.use_uvm": (True, {}),
    "tensorrt.kv_cache_config.use_kv_cache_manager_v2": (True, {}),
    "tensorrt.kv_cache_compression_config": ({"algorithm": "triattention"}, {}),
    "tensorrt.scheduler_config.capacity_scheduler_policy": ("MAX_UTILIZATION", {}),
    "tensorrt.scheduler_config.context_chunking_policy": ("EQUAL_PROGRESS", {}),
    "tensorrt.scheduler_config.waiting_queue_policy": ("fcfs", {}),
    "tensorrt.scheduler_config.dynamic_batch_config": (
        {"dynamic_batch_moving_average_window": 64},
        {},
    ),
    "tensorrt.scheduler_config.use_python_scheduler": (True, {}),
    "tensorrt.scheduler_config.enable_prefix_aware_scheduling": (False, {}),
    "tensorrt.enable_chunked_prefill": (True, {}),
    "tensorrt.batch_wait_timeout_ms": (5.0, {}),
    "tensorrt.batch_wait_timeout_iters": (5, {}),
    "tensorrt.batch_wait_max_tokens_ratio": (0.5, {}),
    "tensorrt.disable_overlap_scheduler": (True, {}),
    "tensorrt.stream_interval": (3, {}),
    "tensorrt.enable_early_first_token_response": (True, {}),
    "tensorrt.cuda_graph_config.batch_sizes": ([1, 2, 4], {}),
    "tensorrt.cuda_graph_config.max_batch_size": (64, {}),
    "tensorrt.cuda_graph_config.enable_padding": (True, {}),
    "tensorrt.torch_compile_config.enable_fullgraph": (False, {}),
    "tensorrt.torch_compile_config.enable_inductor": (True, {}),
    "tensorrt.torch_compile_config.enable_piecewise_cuda_graph": (True, {}),
    "tensorrt.torch_compile_config.capture_num_tokens": ([64], {}),
    "tensorrt.torch_compile_config.enable_userbuffers": (False, {}),
    "tensorrt.torch_compile_config.max_num_streams": (2, {}),
    "tensorrt.prefill_cuda_graph_backend": ("piecewise", {}),
    "tensorrt.prefill_capture_num_tokens": ([64], {}),
    "tensorrt.enable_in_graph_sampling": (True, {}),
    "tensorrt.attn_backend": ("FLASHINFER", {}),
    "tensorrt.sparse_attention_config": ({"algorithm": "rocket"}, {}),
    "tensorrt.moe_backend": ("TRITON", {}),
    "tensorrt.moe_max_num_tokens": (128, {}),
    "tensorrt.nvfp4_gemm_backends": (["cutlass"], {}),
    "tensorrt.enable_autotuner": (False, {}),
    "tensorrt.enable_min_latency": (True, {}),
    "tensorrt.garbage_collection_gen0_threshold": (999, {}),
    "tensorrt.num_postprocess_workers": (1, {}),
    "tensorrt.env_overrides": ({"A": "b"}, {}),
    "tensorrt.speculative_config.decoding_type": ("NGram", {}),
    "tensorrt.speculative_config.speculative_model": (
        "MODEL",
        {"speculative_config": {"decoding_type": "Draft_Target"}},
    ),
    "tensorrt.speculative_config.max_draft_len": (3, {"speculative_config": NGRAM}),
    "tensorrt.speculative_config.max_matching_ngram_size": (
        4,
        {"speculative_config": NGRAM},
    ),
    "tensorrt.speculative_config.is_keep_all": (False, {"speculative_config": NGRAM}),
    "tensorrt.speculative_config.is_use_oldest": (False, {"speculative_config": NGRAM}),
    "tensorrt.speculative_config.is_public_pool": (
        False,
        {"speculative_config": NGRAM},
    ),
    "tensorrt.speculative_config.max_concurrency": (8, {"speculative_config": NGRAM}),
    "tensorrt.speculative_config.draft_len_schedule": (
        {"1": 5, "8": 2},
        {"speculative_config": NGRAM},
    ),
    "tensorrt.speculative_config.acceptance_window": (9, {"speculative_config": NGRAM}),
    "tensorrt.speculative_config.acceptance_length_threshold": (
        1.5,
        {"speculative_config": NGRAM},
    ),
    "tensorrt.speculative_config.acceptance_rate_window_size": (
        9,
        {"speculative_config": NGRAM},
    ),
    "tensorrt.speculative_config.acceptance_rate_threshold": (
        0.5,
        {"speculative_config": NGRAM},
    ),
    "tensorrt.speculative_config.num_nextn_predict_layers": (
        2,
        {"speculative_config": {"decoding_type": "MTP"}},
    ),
    "tensorrt.speculative_config.allow_advanced_sampling": (
        True,
        {"speculative_config": NGRAM},
    ),
    "tensorrt.enable_lora": (True, {}),
    "tensorrt.max_lora_rank": (16, LORA),
    "tensorrt.max_loras": (2, LORA),
    "tensorrt.max_cpu_loras": (3, LORA),
    "tensorrt.peft_cache_config": ({"device_cache_percent": 0.05}, LORA),
    "tensorrt.return_perf_metrics": (False, {}),
    "tensorrt.perf_metrics_max_requests": (5, {}),
    "tensorrt.enable_iter_perf_stats": (False, {}),
    "tensorrt.enable_iter_req_stats": (True, PERF),
    "tensorrt.iter_stats_max_iterations": (50, {}),
    "tensorrt.max_stats_len": (77, {}),
    "tensorrt.enable_energy_metrics": (True, {}),
    "tensorrt.gather_generation_logits": (True, {}),
    "tensorrt.guided_decoding_backend": ("xgrammar", {}),
    "tensorrt.n": (2, DRAWS),
    "tensorrt.best_of": (3, DRAWS),
    "tensorrt.ignore_eos": (True, {}),
    "tensorrt.end_id": (5, {}),
    "tensorrt.stop": (["x"], {}),
    "tensorrt.stop_token_ids": ([5], {}),
    "tensorrt.presence_penalty": (0.5, {}),
    "tensorrt.frequency_penalty": (0.5, {}),
    "tensorrt.length_penalty": (0.5, {}),
    "tensorrt.early_stopping": (1, {}),
    "tensorrt.beam_search_diversity_rate": (0.5, {}),
    "tensorrt.logprobs": (2, {}),
    "tensorrt.prompt_logprobs": (2, {}),
    "tensorrt.return_context_logits": (True, {}),
    "tensorrt.return_generation_logits": (True, {}),
    "tensorrt.detokenize": (False, {}),
    "tensorrt.quantization.method": ("int8_weight_only", {}),
    "tensorrt.quantization.calibration.dataset": ("wikitext", INT8),
    "tensorrt.quantization.calibration.num_samples": (100, INT8),
    "tensorrt.quantization.calibration.max_length": (256, INT8),
    "tensorrt.quantization.calibration.seed": (5, INT8),
    "tensorrt.kv_cache_quant_algo": ("FP8", {}),
    "tensorrt.kv_cache_type": ("CONTINUOUS", {}),
    "tensorrt.strongly_typed": (False, COMPILED),
    "tensorrt.opt_batch_size": (4, {}),
    "tensorrt.opt_num_tokens": (64, {}),
    "tensorrt.remove_input_padding": (False, COMPILED),
    "tensorrt.fast_build": (True, {}),
    "tensorrt.embedding_parallel_mode": ("NONE", {}),
    "tensorrt.batching_type": ("STATIC", {}),
    "tensorrt.normalize_log_probs": (True, {}),
    "tensorrt.extended_runtime_perf_knob_config": ({"cuda_graph_mode": True}, {}),
    "decoder.temperature": (0.5, DRAWS),
    "decoder.top_p": (0.5, DRAWS),
    "decoder.top_k": (5, DRAWS),
    "decoder.min_p": (0.1, DRAWS),
    "decoder.repetition_penalty": (1.5, {}),
    "decoder.no_repeat_ngram_size": (3, {}),
    "decoder.num_beams": (2, {"max_beam_width": 2}),
}
"""Each parameter with a value that is no default, and what it needs beside it."""

OTHERWISE = {
    "tensorrt.quantization.method": "W8A16",
    "tensorrt.speculative_config.draft_len_schedule": {1: 5, 8: 2},
}
"""What a value becomes on its way."""

PLACES = {
    "TorchLlmArgs": "",
    "TrtLlmArgs": "",
    "KvCacheConfig": "kv_cache_config",
    "SchedulerConfig": "scheduler_config",
    "CudaGraphConfig": "cuda_graph_config",
    "TorchCompileConfig": "torch_compile_config",
    "MoeConfig": "moe_config",
    "Nvfp4GemmConfig": "nvfp4_gemm_config",
    "DecodingBaseConfig": "speculative_config",
    "NGramDecodingConfig": "speculative_config",
    "MTPDecodingConfig": "speculative_config",
    "LoraConfig": "lora_config",
    "QuantConfig": "quant_config",
    "CalibConfig": "calib_config",
    "BuildConfig": "build_config",
    "PluginConfig": "build_config.plugin_config",
}
ROWS = {
    row.path: row.targets["tensorrt"]
    for of in (catalogue.UNIVERSAL, "tensorrt")
    for row in catalogue.rows(of)
    if "tensorrt" in row.targets
}
RECORDED = {version: recorded("tensorrt", version) for version in ("1.3", "1.4")}


def there(version, target):
    """Whether a version was recorded to take it; 1.4 was read in part."""
    name, _, argument = target.rpartition(".")
    found = RECORDED[version].arguments
    if version == "1.4" and name in ("SamplingParams", "NGramDecodingConfig"):
        return True
    if name == "LoraConfig" or name == "MTPDecodingConfig":
        return True
    return argument in found.get(name, ())


def nested(path, value):
    """A section with one value at a path."""
    for name in reversed(path.split(".")):
        value = {name: value}
    return value


def merged(one, other):
    """Both mappings, the second one's values first."""
    both = {**one, **other}
    for key in one.keys() & other.keys():
        if isinstance(one[key], dict) and isinstance(other[key], dict):
            both[key] = merged(one[key], other[key])
    return both


def plain(value):
    """The fields that are set of an object of theirs, else the value."""
    if hasattr(value, "model_dump"):
        return value.model_dump(exclude_unset=True)
    return value


WIRED = [
    (version, path)
    for path in CASES
    for version in ("1.3", "1.4")
    if there(version, ROWS[path])
]


@pytest.mark.parametrize(("version", "path"), WIRED)
def test_a_parameter_lands_where_it_works(version, path, start, gpus, llms, llama):
    """In the object and under the name that the catalogue tells."""
    gpus((9, 0), (9, 0))
    value, beside = CASES[path]
    value = str(llama) if value == "MODEL" else value
    section = {k: v for k, v in beside.items() if k != "do_sample"}
    decoder = {k: v for k, v in beside.items() if k == "do_sample"}
    if path.startswith("tensorrt."):
        section = merged(section, nested(path.removeprefix("tensorrt."), value))
    elif path.startswith("decoder."):
        decoder[path.removeprefix("decoder.")] = value
    else:
        section[path] = value
    engine, report = start(version, **section)
    options = GenerateOptions(output_tokens=4, decoder=decoder, seed=3)
    (flight,) = engine.prepare([[1, 2, 3]], options)
    name, _, argument = ROWS[path].rpartition(".")
    if name == "SamplingParams":
        found = flight.params
    else:
        built = [one for one in llms() if name in ("QuantConfig", "CalibConfig")]
        found = (built or llms())[0 if section_compiles(report) else -1].args
        for step in filter(None, PLACES[name].split(".")):
            found = getattr(found, step)
    assert plain(getattr(found, argument)) == OTHERWISE.get(path, value)
    assert not [
        line
        for line in report.effective.get("not_as_requested", ())
        if path.rpartition(".")[2] in line
    ]


def section_compiles(report):
    """Whether an engine was compiled first: the first `LLM` is the one that did."""
    return report.effective["compiled"] is not None


def test_every_parameter_is_looked_at_in_some_version():
    """A target that no recording has would be looked at nowhere."""
    assert {path for _, path in WIRED} == {*CASES}


@pytest.mark.parametrize(
    ("version", "section", "told"),
    [
        ("1.3", {"enable_energy_metrics": True}, "tensorrt.enable_energy_metrics: Ten"),
        ("1.3", {"kv_cache_config": {"disk_cache_size": 9}}, "kv_cache_config.disk_ca"),
        ("1.4", {"speculative_config": {**NGRAM, "acceptance_window": 3}}, "accept"),
        (
            "1.3",
            {"speculative_config": {"decoding_type": "DSpark"}},
            "has no DSparkDec",
        ),
        (
            "1.3",
            {"extra": {"engine": {"max_batch": 5}}},
            "did you mean 'tensorrt.extra",
        ),
        (
            "1.3",
            {"moe_backend": "MARLIN"},
            "tensorrt.moe_config: backend: Input should",
        ),
        (
            "1.4",
            {"fast_build": True},
            r"TensorRT-LLM 1\.4.* compiles no engines any more",
        ),
    ],
)
def test_what_a_version_does_not_take_is_refused_by_name(start, version, section, told):
    """By its own fields, before anything is loaded."""
    from pytest_lem.errors import ConfigError

    with pytest.raises(ConfigError, match=told) as error:
        start(version, **section)
    assert "\n" not in error.value.message


@pytest.mark.proves("tensorrt.extra.engine", "tensorrt.extra.sampling")
def test_what_is_passed_on_arrives_unchanged(start, llms):
    """Arguments that are no parameter here, of the engine and of sampling."""
    extra = {"engine": {"print_iter_log": True}, "sampling": {"top_p_decay": 0.5}}
    engine, _ = start(extra=extra)
    (flight,) = engine.prepare([[1, 2]], GenerateOptions(output_tokens=4))
    assert llms()[-1].args.print_iter_log is True
    assert flight.params.top_p_decay == 0.5
