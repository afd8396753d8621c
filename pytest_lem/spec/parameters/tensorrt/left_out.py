"""What TensorRT-LLM takes and is no parameter, by reason."""

from collections.abc import Mapping


def _of(thing: str, names: str) -> tuple[str, ...]:
    return tuple(f"{thing}.{name}" for name in names.split())


_OF_DRAFTS = (
    "acceptance_length_threshold acceptance_rate_threshold acceptance_rate_window_size "
    "acceptance_window advanced_sampling_mode allow_advanced_sampling "
    "draft_len_schedule enable_penalty load_format max_concurrency max_draft_len "
    "max_total_draft_tokens speculative_model use_rejection_sampling"
)

LEFT_OUT: Mapping[str, tuple[str, ...]] = {
    "made of the fields of their own sections": (
        *_of(
            "TorchLlmArgs",
            "cuda_graph_config kv_cache_config lora_config moe_config "
            "nvfp4_gemm_config scheduler_config speculative_config "
            "torch_compile_config",
        ),
        *_of("TrtLlmArgs", "build_config calib_config quant_config"),
        "BuildConfig.plugin_config",
    ),
    "set by pytest-lem itself": (
        "TorchLlmArgs.backend",
        *_of(
            "generate",
            "cache_salt inputs lora_request sampling_params use_tqdm",
        ),
        *_of(
            "generate_async",
            "cache_salt inputs lora_request sampling_params streaming",
        ),
        *_of("LoRARequest", "lora_ckpt_source lora_int_id lora_name"),
        *_of("LoraConfig", "lora_ckpt_source lora_dir"),
        *_of("CalibConfig", "calib_batch_size device tokenizer_max_seq_length"),
    ),
    "set by another parameter": (
        *_of("SamplingParams", "return_perf_metrics use_beam_search"),
        *_of(
            "BuildConfig",
            "gather_context_logits gather_generation_logits lora_config "
            "max_batch_size max_beam_width max_draft_len max_input_len max_num_tokens "
            "max_seq_len speculative_decoding_mode",
        ),
        "CudaGraphConfig.mode",
    ),
    "the same argument of another object": (
        *_of("NGramDecodingConfig", _OF_DRAFTS),
        *_of("MTPDecodingConfig", f"{_OF_DRAFTS} decoding_type"),
        *_of(
            "TrtLlmArgs",
            "context_parallel_size cp_config dtype enable_attention_dp "
            "enable_chunked_prefill enable_lora env_overrides "
            "gather_generation_logits gpus_per_node guided_decoding_backend "
            "iter_stats_max_iterations kv_cache_config load_format lora_config "
            "max_batch_size max_beam_width max_input_len max_num_tokens max_seq_len "
            "model_kwargs moe_cluster_parallel_size moe_expert_parallel_size "
            "moe_tensor_parallel_size num_postprocess_workers orchestrator_type "
            "peft_cache_config perf_metrics_max_requests pipeline_parallel_size "
            "pp_partition return_perf_metrics revision scheduler_config "
            "sparse_attention_config speculative_config tensor_parallel_size "
            "tokenizer_revision trust_remote_code",
        ),
        *_of("PluginConfig", "dtype tokens_per_block"),
    ),
    "objects, which no file or option can hold": (
        *_of(
            "TorchLlmArgs",
            "batched_logits_processor checkpoint_loader decoding_config mpi_session "
            "ray_placement_config tokenizer",
        ),
        *_of(
            "TrtLlmArgs",
            "batched_logits_processor decoding_config mpi_session tokenizer",
        ),
        *_of(
            "SamplingParams",
            "additional_model_outputs apply_batched_logits_processor embedding_bias "
            "guided_decoding logits_processor lookahead_config",
        ),
        *_of(
            "generate",
            "disaggregated_params kv_cache_retention_config prompt_adapter_request "
            "scheduling_params",
        ),
        *_of(
            "generate_async",
            "disaggregated_params kv_cache_retention_config prompt_adapter_request "
            "scheduling_params",
        ),
    ),
    "of servers, of several machines, or of other kinds of models": (
        *_of(
            "TorchLlmArgs",
            "cache_transceiver_config disable_mm_encoder dwdp_config encode_only "
            "enable_encoder_decoder_mixed_cuda_graph encoder_cuda_graph_config "
            "encoder_max_batch_size encoder_max_num_tokens gms_config "
            "kv_connector_config mm_encoder_only multimodal_config mx_config "
            "num_serve_frontends otlp_traces_endpoint perf_metrics_output_dir "
            "post_processor_hook postprocess_tokenizer_dir prometheus_metrics_config "
            "ray_worker_extension_cls ray_worker_nsight_options reasoning_parser "
            "telemetry_config",
        ),
        *_of(
            "TrtLlmArgs",
            "cache_transceiver_config enable_prompt_adapter max_prompt_adapter_token "
            "otlp_traces_endpoint postprocess_tokenizer_dir reasoning_parser",
        ),
        *_of(
            "BuildConfig",
            "max_encoder_input_len max_prompt_embedding_table_size use_mrope",
        ),
        *_of(
            "KvCacheConfig",
            "attention_dp_events_gather_period_ms cross_kv_cache_fraction "
            "event_buffer_max_size kv_cache_event_hash_algo kv_events_config "
            "mamba_ssm_cache_dtype mamba_ssm_philox_rounds "
            "mamba_ssm_stochastic_rounding mamba_state_cache_interval "
            "mamba_state_config",
        ),
        *_of(
            "PluginConfig",
            "bert_attention_plugin bert_context_fmha_fp32_acc mamba_conv1d_plugin "
            "paged_state",
        ),
        *_of("SamplingParams", "return_encoder_output"),
    ),
    "read from the checkpoint": (
        *_of(
            "QuantConfig",
            "clamp_val exclude_modules group_size has_zero_point "
            "mamba_ssm_cache_dtype pre_quant_scale smoothquant_val use_meta_recipe",
        ),
        *_of(
            "LoraConfig",
            "lora_target_modules swap_gate_up_proj trtllm_modules_to_hf_modules",
        ),
    ),
    "rare; extra.engine, extra.sampling and extra.build pass them on": (
        *_of(
            "TorchLlmArgs",
            "checkpoint_io_policy custom_tokenizer disable_flashinfer_sampling "
            "enable_layerwise_nvtx_marker enable_lm_head_tp_in_adp "
            "enable_low_latency_host_dispatch enable_mla_skip_correction "
            "enable_resource_governor enable_sleep "
            "enable_speculative_beam_history_d2h generation_config "
            "layer_wise_benchmarks_config mla_skip_correction_threshold "
            "print_iter_log reorder_policy_config request_stats_max_iterations "
            "sampler_force_async_worker sampler_type skip_tokenizer_init "
            "sleep_config tokenizer_mode use_cute_dsl_bf16_bmm "
            "use_cute_dsl_bf16_gemm use_cute_dsl_blockscaling_bmm "
            "use_cute_dsl_blockscaling_mm use_fine_grained_sync",
        ),
        *_of(
            "TrtLlmArgs",
            "backend custom_tokenizer enable_build_cache enable_lm_head_tp_in_adp "
            "enable_tqdm fail_fast_on_attention_window_too_large "
            "request_stats_max_iterations skip_tokenizer_init tokenizer_mode "
            "workspace",
        ),
        *_of(
            "KvCacheConfig",
            "avg_seq_len disk_prefetch_num_reqs enable_kv_pool_rebalance "
            "enable_swa_scratch_reuse fp8_context_mla_kv_len_cap "
            "iteration_stats_interval kv_pool_rebalance_check_interval "
            "kv_pool_rebalance_cooldown_secs "
            "kv_pool_rebalance_min_sampled_kv_caches "
            "kv_pool_rebalance_moving_average_decay "
            "kv_pool_rebalance_ratio_threshold "
            "kv_pool_rebalance_target_ratio_update_interval max_util_for_resume "
            "onboard_blocks pool_ratio secondary_offload_min_priority",
        ),
        *_of(
            "MoeConfig",
            "disable_finalize_fusion load_balancer use_low_precision_moe_combine",
        ),
        *_of(
            "DecodingBaseConfig",
            "advanced_sampling_mode enable_penalty load_format "
            "max_total_draft_tokens use_rejection_sampling",
        ),
        *_of(
            "MTPDecodingConfig",
            "begin_thinking_phase_token end_thinking_phase_token "
            "mtp_eagle_one_model num_nextn_predict_layers_from_model_config "
            "relaxed_delta relaxed_topk use_mtp_vanilla "
            "use_relaxed_acceptance_for_thinking",
        ),
        *_of(
            "SamplingParams",
            "add_special_tokens bad bad_token_ids beam_width_array "
            "exclude_input_from_output include_stop_str_in_output pad_id "
            "skip_special_tokens spaces_between_special_tokens top_p_decay top_p_min "
            "top_p_reset_ids truncate_prompt_tokens",
        ),
        *_of(
            "BuildConfig",
            "dry_run enable_debug_output force_num_profiles input_timing_cache "
            "monitor_memory output_timing_cache profiling_verbosity use_refit "
            "use_strip_plan visualize_network weight_sparsity weight_streaming",
        ),
        *_of(
            "PluginConfig",
            "context_fmha dora_plugin fp8_rowwise_gemm_plugin fuse_fp4_quant "
            "gemm_allreduce_plugin gemm_plugin gemm_swiglu_plugin "
            "gpt_attention_plugin identity_plugin layernorm_quantization_plugin "
            "lora_plugin low_latency_gemm_plugin low_latency_gemm_swiglu_plugin "
            "manage_weights moe_plugin multiple_profiles nccl_plugin "
            "norm_quant_fusion paged_kv_cache pp_reduce_scatter qserve_gemm_plugin "
            "quantize_per_token_plugin quantize_tensor_plugin reduce_fusion "
            "rmsnorm_quantization_plugin smooth_quant_gemm_plugin "
            "smooth_quant_plugins streamingllm use_fp8_context_fmha use_fused_mlp "
            "use_paged_context_fmha user_buffer "
            "weight_only_groupwise_quant_matmul_plugin "
            "weight_only_quant_matmul_plugin",
        ),
    ),
}
