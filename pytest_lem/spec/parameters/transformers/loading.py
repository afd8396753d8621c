"""How transformers loads a model, and how torch then runs it."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from pytest_lem.spec.parameters.about import HARNESS, Bool, Int, Section, into

_load = into("from_pretrained")
_quantise = into("BitsAndBytesConfig")
_distribute = into("DistributedConfig")
_torch = into("torch.compile")
_ours = into(HARNESS)

Dtype = Literal["float32", "float16", "bfloat16"]


def _text_keys(value: object) -> object:
    """GPUs may be given as numbers; JSON has only text for keys."""
    if isinstance(value, dict):
        return {str(key): one for key, one in value.items()}
    return value


class Quantization(Section):
    """`quantization_config`: weights in fewer bits."""

    method: str | None = into("from_pretrained.quantization_config")(
        "Which method; unset takes bitsandbytes where load_in_4bit or load_in_8bit is "
        "set, else what the checkpoint says.",
        effect="E~ T~ L~ M-",
        own="the checkpoint's",
        choices="bitsandbytes, gptq, awq, torchao, hqq, quanto, fp8, fbgemm_fp8, "
        "mxfp4, nvfp4, mxfp8, compressed-tensors, aqlm, auto-round, ...",
        advice="Saves memory; energy often rises at small batches.",
        needs="The method's package; gptq, awq and their like need such a checkpoint.",
    )
    load_in_4bit: Bool | None = _quantise(
        "Round weights to 4 bits while loading.",
        effect="E+ T- L+ M-",
        own="false",
        needs="bitsandbytes >= 0.46.1; not together with load_in_8bit.",
        older=("load_in_4bit", "/quantization.load_in_4bit"),
    )
    load_in_8bit: Bool | None = _quantise(
        "Round weights to 8 bits while loading.",
        effect="E+ T- L+ M-",
        own="false",
        needs="bitsandbytes >= 0.46.1; not together with load_in_4bit.",
        older=("load_in_8bit", "/quantization.load_in_8bit"),
    )
    bnb_4bit_compute_dtype: Dtype | None = _quantise(
        "Precision in which 4-bit weights are multiplied.",
        effect="E- T+ L-",
        own="float32",
        advice="bfloat16 on GPUs that have it.",
        needs="load_in_4bit.",
        older=("bnb_4bit_compute_dtype", "/quantization.bnb_4bit_compute_dtype"),
    )
    bnb_4bit_quant_type: Literal["fp4", "nf4"] | None = _quantise(
        "Code of the 4-bit numbers.",
        effect="",
        own="fp4",
        advice="nf4 keeps quality better.",
        needs="load_in_4bit.",
        older=("bnb_4bit_quant_type", "/quantization.bnb_4bit_quant_type"),
    )
    bnb_4bit_use_double_quant: Bool | None = _quantise(
        "Quantise the scales of 4-bit weights as well.",
        effect="T- L+ M-",
        own="false",
        needs="load_in_4bit.",
        older=(
            "bnb_4bit_use_double_quant",
            "/quantization.bnb_4bit_use_double_quant",
        ),
    )
    options: dict[str, Any] | None = into("from_pretrained.quantization_config")(
        "Further arguments of the method's own configuration class.",
        effect="E~ T~ L~ M~",
        needs="method.",
    )

    @model_validator(mode="after")
    def _methods_agree(self) -> "Quantization":
        if self.load_in_4bit and self.load_in_8bit:
            msg = "load_in_4bit and load_in_8bit exclude each other"
            raise ValueError(msg)
        four = [n for n in self.model_fields_set if n.startswith("bnb_4bit_")]
        if four and not self.load_in_4bit:
            msg = f"{min(four)} needs load_in_4bit=True"
            raise ValueError(msg)
        if (self.load_in_4bit or self.load_in_8bit) and self.method not in (
            None,
            "bitsandbytes",
        ):
            msg = f"load_in_4bit and load_in_8bit are no options of {self.method!r}"
            raise ValueError(msg)
        return self


class Distributed(Section):
    """`distributed_config`: one model over several GPUs, each with a process."""

    tp_plan: str | dict[str, str] | None = _distribute(
        "How layers are cut for tensor parallelism.",
        effect="E+ T~ L- M-",
        own="auto",
        choices="auto, or a plan by module name",
        needs="tp_size.",
        older=("tp_plan",),
    )
    tp_size: Int | None = _distribute(
        "GPUs that share each layer.",
        effect="E+ T~ L- M-",
        own="1",
        unit="GPUs",
        needs="as many GPUs of the run, or the CPU; a model with a plan. Not with "
        "device_map, num_processes, torch_compile, continuous_batching, "
        "quantization_config, drafts or an adapter.",
        older=("tp_size",),
        ge=1,
    )

    @model_validator(mode="after")
    def _plans_have_a_size(self) -> "Distributed":
        if self.tp_plan is not None and self.tp_size is None:
            msg = "tp_plan needs tp_size: as many processes are started"
            raise ValueError(msg)
        return self


class Loading(Section):
    """Arguments of `from_pretrained`, and what is decided about devices beside it."""

    device: Annotated[str, Field(pattern=r"^(cpu|cuda(:\d+)?)$")] | None = _ours(
        "Where the model runs.",
        effect="E~ T~ L~",
        own="the GPU where there is one",
        choices="cpu, cuda, cuda:N",
    )
    attn_implementation: str | None = _load(
        "Attention kernel.",
        effect="E~ T~ L~ M~",
        own="sdpa",
        choices="eager, sdpa, flex_attention, flash_attention_2, flash_attention_3, "
        "flash_attention_4, paged variants, a hub kernel's id",
        advice="sdpa; flash_attention_2 for long contexts in 16 bits.",
        needs="flash_attention_2: its package and compute capability 8.0.",
    )
    device_map: str | dict[str, str | Int] | None = _load(
        "Which module goes on which device.",
        effect="E~ T- L+ M~",
        own="one device",
        choices="auto, balanced, sequential, cpu, cuda:N, or a mapping",
        advice="Only for models that do not fit one GPU; auto may offload to the host.",
        needs="accelerate; not with num_processes > 1 or distributed_config.",
    )
    max_memory: Annotated[dict[str, str | Int], BeforeValidator(_text_keys)] | None = (
        _load(
            "Memory that each device may give, by GPU number or `cpu`.",
            effect="E+ T- L+ M-",
            own="all there is",
            unit="bytes, or text such as 10GiB",
            needs="device_map: without it the library ignores it.",
        )
    )
    offload_folder: str | None = _load(
        "Where weights go that fit no device.",
        effect="E+ T- L+ M-",
        needs="device_map.",
    )
    offload_buffers: Bool | None = _load(
        "Offload buffers as well.", effect="T- L+ M-", own="false", needs="device_map."
    )
    quantization_config: Quantization | None = None
    distributed_config: Distributed | None = None
    use_kernels: Bool | None = _load(
        "Replace layers by kernels of the hub.",
        effect="E- T+ L-",
        own="false",
        needs="the kernels package, and its download.",
    )
    kernel_config: dict[str, Any] | None = _load(
        "Which kernel replaces which layer.",
        effect="E~ T~ L~",
        needs="use_kernels.",
    )
    experts_implementation: str | None = _load(
        "How a mixture of experts is multiplied.",
        effect="E~ T+ L~",
        own="the model's",
        choices="eager, batched_mm, grouped_mm, ...",
        needs="a mixture-of-experts model.",
    )
    gguf_file: str | None = _load(
        "A GGUF file of the repository to load; its weights are widened.",
        effect="M+",
    )
    use_safetensors: Bool | None = _load(
        "Take safetensors files, or refuse them.", effect="", own="where there are some"
    )
    disable_mmap: Bool | None = _load(
        "Read weights instead of mapping them.", effect="M+", own="false"
    )
    fusion_config: dict[str, Any] | None = _load(
        "Modules to fuse while loading.", effect="E- T+ L-", versions=">5.17"
    )
    merge_adapter: Bool | None = into("PeftModel")(
        "Merge the adapter into the weights; unmerged it adds kernels to each layer.",
        called="merge_and_unload",
        effect="E- T+ L-",
        own="false",
        advice="Say which was measured: the costs differ.",
        needs="adapter, peft.",
    )
    num_processes: Int | None = _ours(
        "Data parallel: copies of the engine, each on its own GPU.",
        effect="E~ T+ L0 M+",
        own="1",
        unit="processes",
        needs="as many GPUs of the run, or the CPU; not with device_map.",
        ge=1,
    )


class Running(Section):
    """How torch runs the loaded model."""

    torch_compile: (
        Bool
        | Literal[
            "default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs"
        ]
        | None
    ) = _torch(
        "Compile the model; `True` is the mode `default`.",
        called="mode",
        effect="E- T+ L- M+",
        own="false",
        advice="reduce-overhead for small batches; compiling stays outside the window.",
    )
    torch_compile_backend: str | None = _torch(
        "What compiles.",
        called="backend",
        effect="E~ T~ L~",
        own="inductor",
        choices="inductor, cudagraphs, onnxrt, aot_eager, ...",
        needs="torch_compile.",
    )
    torch_compile_fullgraph: Bool | None = _torch(
        "Refuse graph breaks.",
        called="fullgraph",
        effect="E- T+ L-",
        own="false",
        needs="torch_compile.",
    )
    torch_compile_dynamic: Bool | None = _torch(
        "Compile for any shape instead of each.",
        called="dynamic",
        effect="E+ T- L+",
        own="decided by recompiles",
        needs="torch_compile.",
    )
    torch_compile_options: dict[str, Any] | None = _torch(
        "Options of the compiler.",
        called="options",
        effect="E~ T~ L~",
        needs="torch_compile; not together with a mode.",
    )
    allow_tf32: Bool | None = into("torch.backends.cuda.matmul")(
        "Let float32 products round to TF32; restored afterwards.",
        called="allow_tf32",
        effect="E- T+ L-",
        own="false",
        needs="compute capability 8.0.",
    )
    float32_matmul_precision: Literal["highest", "high", "medium"] | None = into(
        "torch.set_float32_matmul_precision"
    )(
        "Precision of float32 products; restored afterwards.",
        called="precision",
        effect="E- T+ L-",
        own="highest",
        advice="Set this or allow_tf32, not both.",
    )
    autocast_enabled: Bool | None = into("torch.autocast")(
        "Run products in autocast_dtype.",
        called="enabled",
        effect="E- T+ L-",
        own="false",
        advice="Load in 16 bits instead, with precision.",
    )
    autocast_dtype: Literal["float16", "bfloat16"] | None = into("torch.autocast")(
        "The type that autocast takes.",
        called="dtype",
        effect="E~ T~ L~",
        own="float16 on GPUs, bfloat16 on CPUs",
        needs="autocast_enabled.",
    )
    sdpa_kernel: Literal["flash", "efficient", "cudnn", "math"] | None = into(
        "torch.nn.attention.sdpa_kernel"
    )(
        "The one kernel that sdpa attention may use.",
        called="backends",
        effect="E~ T~ L~ M~",
        own="torch's choice",
        needs="attn_implementation sdpa.",
    )
    num_threads: Int | None = into("torch.set_num_threads")(
        "CPU threads of the engine; OMP_NUM_THREADS as well.",
        called="num_threads",
        effect="E~ T+ L-",
        own="cores",
        unit="threads",
        ge=1,
    )
    alloc_conf: str | None = into("environment")(
        "How torch's allocator on GPUs behaves.",
        called="PYTORCH_ALLOC_CONF",
        effect="T~ M-",
        choices="expandable_segments:True, ...",
    )
