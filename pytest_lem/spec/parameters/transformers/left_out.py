"""What transformers takes and is no parameter, by reason."""


def _of(thing: str, names: str) -> tuple[str, ...]:
    return tuple(f"{thing}.{name}" for name in names.split())


LEFT_OUT: dict[str, tuple[str, ...]] = {
    "set by pytest-lem itself": (
        *_of("from_pretrained", "config generation_config device_mesh"),
        *_of("GenerationConfig", "pad_token_id transformers_version is_assistant"),
        *_of("generate", "generation_config inputs input_ids streamer"),
        *_of("ContinuousBatchingConfig", "seed"),
        *_of("torch.compile", "model name disable"),
        *_of("torch.autocast", "device_type"),
    ),
    "made of the fields of their own sections": (
        *_of("from_pretrained", "distributed_config"),
        *_of("GenerationConfig", "compile_config continuous_batching_config"),
        *_of("ContinuousBatchingConfig", "varlen_compile_config decode_compile_config"),
    ),
    "another way to say what is a parameter": (
        *_of("from_pretrained", "torch_dtype tp_plan tp_size"),
        *_of("GenerationConfig", "max_length min_length"),
        *_of("ContinuousBatchingConfig", "block_size use_default_compile_configs"),
        *_of(
            "generate",
            "cache_implementation max_length min_length num_beams trust_remote_code",
        ),
    ),
    "how files are found and read; extra.load passes them on": _of(
        "from_pretrained",
        "adapter_kwargs adapter_name allow_all_kernels cache_dir force_download "
        "ignore_mismatched_sizes key_mapping local_files_only output_loading_info "
        "proxies state_dict subfolder token tqdm_class variant weights_only",
    ),
    "layouts for training and for experts, not for one engine's generation": _of(
        "DistributedConfig",
        "dp_replicate_size enable_expert_parallel enable_sequence_parallel "
        "ep_implementation ep_plan ep_size fsdp_cpu_offload fsdp_mixed_precision "
        "fsdp_plan fsdp_size pp_size",
    ),
    "which text comes out, hardly what it costs; extra.generate passes them on": (
        *_of(
            "GenerationConfig",
            "bad_words_ids begin_suppress_tokens bos_token_id decoder_start_token_id "
            "encoder_no_repeat_ngram_size encoder_repetition_penalty "
            "exponential_decay_length_penalty force_bos_token_to_be_generated "
            "forced_bos_token_id forced_eos_token_id remove_invalid_values "
            "renormalize_logits sequence_bias suppress_tokens token_healing "
            "watermarking_config",
        ),
        *_of(
            "generate",
            "custom_generate logits_processor negative_prompt_attention_mask "
            "negative_prompt_ids prefix_allowed_tokens_fn stopping_criteria "
            "synced_gpus",
        ),
    ),
    "moved out of the library, into code of the hub": _of(
        "GenerationConfig",
        "constraints diversity_penalty dola_layers force_words_ids low_memory "
        "num_beam_groups penalty_alpha",
    ),
    "details; extra.generate passes them on": (
        *_of(
            "GenerationConfig",
            "assistant_ensemble_weight assistant_lookbehind target_lookbehind",
        ),
        *_of(
            "ContinuousBatchingConfig",
            "cpu_group_timeout disable_nccl_graph_mixing drop_unsupported_processors "
            "kv_padding_interval_size max_blocks_per_request max_cached_graphs "
            "max_queue_size per_request_processors q_padding_interval_size "
            "return_logprobs safety_margin",
        ),
        *_of("torch.autocast", "cache_enabled"),
        *_of("torch.compile", "isolate_recompiles recompile_limit shapes_spec"),
        *_of("torch.nn.attention.sdpa_kernel", "set_priority"),
    ),
    "details; quantization_config.options passes them on": _of(
        "BitsAndBytesConfig",
        "bnb_4bit_quant_storage llm_int8_enable_fp32_cpu_offload "
        "llm_int8_has_fp16_weight llm_int8_skip_modules llm_int8_threshold",
    ),
}
