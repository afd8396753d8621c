"""The backend that compiles engines, which TensorRT-LLM has up to 1.2."""

from typing import Any, Literal

from pytest_lem.spec.parameters.about import (
    HARNESS,
    Bool,
    Int,
    Section,
    into,
    parameter,
)

UNTIL = "<1.3"
_COMPILED = "backend tensorrt."
_args = into("TrtLlmArgs")
_build = into("BuildConfig")
_calibrate = into("CalibConfig")

CALIBRATED = ("fp8", "int8_sq", "int4_awq")
"""Methods that look for scales in a data set."""


class Calibration(Section):
    """`quantization.calibration`."""

    dataset: str | None = _calibrate(
        "Data set whose texts are looked at: name or local path.",
        called="calib_dataset",
        effect="",
        own="cnn_dailymail",
        versions=UNTIL,
    )
    num_samples: Int | None = _calibrate(
        "Texts looked at, one at a time.",
        called="calib_batches",
        effect="",
        own="512",
        unit="texts",
        versions=UNTIL,
        ge=64,
        le=4096,
    )
    max_length: Int | None = _calibrate(
        "Tokens of a text that are looked at.",
        called="calib_max_seq_length",
        effect="",
        own="512",
        unit="tokens",
        versions=UNTIL,
        ge=128,
    )
    seed: Int | None = _calibrate(
        "Which texts are looked at.",
        called="random_seed",
        effect="",
        own="1234",
        versions=UNTIL,
    )


class Quantization(Section):
    """`quantization`."""

    method: (
        Literal["none", "fp8", "int8_sq", "int8_weight_only", "int4_awq", "int4_gptq"]
        | None
    ) = into("QuantConfig")(
        "How weights are made narrower while the engine is built.",
        called="quant_algo",
        effect="E- T+ L- M-",
        own="the checkpoint's",
        needs=_COMPILED,
        advice="int4_awq and int4_gptq need such a checkpoint, int8_sq calibration.",
        versions=UNTIL,
    )
    calibration: Calibration | None = None


class Compiled(Section):
    """Engines that are compiled before they run."""

    backend: Literal["pytorch", "tensorrt"] | None = parameter(
        HARNESS,
        "Run the model in PyTorch, or compile it first.",
        effect="E~ T~ L~ M~",
        own="pytorch",
        advice="tensorrt needs TensorRT-LLM up to 1.2; other versions refuse it.",
    )
    engine_path: str | None = _args(
        "Directory of an engine that is compiled already.",
        called="model",
        effect="E~ T~ L~ M~",
        needs=_COMPILED,
        versions=UNTIL,
    )
    engine_cache_dir: str | None = parameter(
        HARNESS,
        "Where compiled engines are kept.",
        effect="",
        own="the user's cache",
        needs=_COMPILED,
        versions=UNTIL,
    )
    force_rebuild: Bool | None = parameter(
        HARNESS,
        "Compile again, and replace what is kept.",
        effect="",
        own="false",
        needs=_COMPILED,
        versions=UNTIL,
    )
    quantization: Quantization | None = None
    kv_cache_quant_algo: Literal["FP8", "INT8", "NVFP4"] | None = into("QuantConfig")(
        "Type of cached keys and values in a compiled engine.",
        effect="E- T+ L- M-",
        own="the checkpoint's",
        needs=_COMPILED,
        advice="kv_cache_config.dtype says it to the PyTorch backend.",
        versions=UNTIL,
    )
    kv_cache_type: Literal["PAGED", "CONTINUOUS", "DISABLED"] | None = _build(
        "How a compiled engine holds its cache.",
        effect="E~ T~ M~",
        own="PAGED",
        needs=_COMPILED,
        versions=UNTIL,
    )
    strongly_typed: Bool | None = _build(
        "Take every type as the model has it.",
        effect="E~ T~ L~",
        own="true",
        needs=_COMPILED,
        versions=UNTIL,
    )
    opt_batch_size: Int | None = _build(
        "Batch size that kernels are chosen for.",
        effect="E~ T~ L~",
        own="8",
        unit="requests",
        needs=_COMPILED,
        versions=UNTIL,
        ge=1,
    )
    opt_num_tokens: Int | None = _build(
        "Tokens of a step that kernels are chosen for.",
        effect="E~ T~ L~",
        unit="tokens",
        needs=_COMPILED,
        versions=UNTIL,
        ge=1,
    )
    remove_input_padding: Bool | None = into("PluginConfig")(
        "Compute prompts of unequal lengths without pads.",
        effect="E- T+ L-",
        own="true",
        needs=_COMPILED,
        versions=UNTIL,
    )
    fast_build: Bool | None = _args(
        "Compile faster, for a slower engine.",
        effect="E+ T- L+",
        own="false",
        needs=_COMPILED,
        versions=UNTIL,
    )
    embedding_parallel_mode: (
        Literal["NONE", "SHARDING_ALONG_VOCAB", "SHARDING_ALONG_HIDDEN"] | None
    ) = _args(
        "How GPUs share the table of embeddings.",
        effect="L~ M~",
        own="SHARDING_ALONG_VOCAB",
        needs=_COMPILED,
        versions=UNTIL,
    )
    batching_type: Literal["STATIC", "INFLIGHT"] | None = _args(
        "Whether requests may join others that run.",
        effect="E~ T~ L~",
        own="INFLIGHT",
        needs=_COMPILED,
        versions=UNTIL,
    )
    normalize_log_probs: Bool | None = _args(
        "Scale the probabilities of beams.",
        effect="L~",
        own="false",
        needs=_COMPILED,
        versions=UNTIL,
    )
    extended_runtime_perf_knob_config: dict[str, Any] | None = _args(
        "Switches of the runtime: multi_block_mode, cuda_graph_mode, ...",
        effect="E~ T~ L~",
        needs=_COMPILED,
        versions=UNTIL,
    )
