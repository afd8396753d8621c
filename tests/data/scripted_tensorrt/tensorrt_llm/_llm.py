"""`LLM`, of both backends: takes what was recorded, generates by script."""

import contextlib
import inspect
import json
import shutil
import tempfile
from pathlib import Path

from tensorrt_llm._executor import Executor, RequestOutput
from tensorrt_llm._models import NAMES, RECORDED, RECORDING

MADE = []
"""Every `LLM` of this process, for tests to look at."""


class Inner:
    """What is wrapped: a tokenizer of transformers, made once it is needed."""

    chat_template = None

    def __init__(self, folder, special):
        self._file = str(folder / "tokenizer.json")
        self.all_special_ids = special

    def apply_chat_template(self, turns, **more):
        from transformers import PreTrainedTokenizerFast

        made = PreTrainedTokenizerFast(tokenizer_file=self._file)
        return made.apply_chat_template(turns, **more)


class Tokenizer:
    """As much of TensorRT-LLM's own wrapper as is used, by the model's own file."""

    def __init__(self, folder):
        from tokenizers import Tokenizer as Reader

        self._reader = Reader.from_file(str(folder / "tokenizer.json"))
        told = {}
        with contextlib.suppress(OSError):
            told = json.loads((folder / "config.json").read_text())
        self.eos_token_id = told.get("eos_token_id")
        self.pad_token_id = told.get("pad_token_id")
        special = self._reader.get_added_tokens_decoder()
        self.tokenizer = Inner(folder, sorted(special))

    def encode(self, text, **_more):
        return self._reader.encode(text).ids

    def decode(self, ids, skip_special_tokens=True, **_more):
        return self._reader.decode(ids, skip_special_tokens=skip_special_tokens)


def signature_of(arguments):
    """What the real method says of itself."""
    found = [
        inspect.Parameter(
            name,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            default=told.get("default", inspect.Parameter.empty),
        )
        for name, told in {"self": {}, **arguments}.items()
    ]
    return inspect.Signature(found)


def recorded(method):
    """Refuse arguments that the real method was not recorded to take."""
    known = [*RECORDED[method]["arguments"]]

    def wrap(call):
        def checked(self, inputs, sampling_params=None, **rest):
            for name in rest:
                if name not in known:
                    msg = f"{method}() got an unexpected keyword argument '{name}'"
                    raise TypeError(msg)
            return call(self, inputs, sampling_params, **rest)

        checked.__signature__ = signature_of(RECORDED[method]["arguments"])
        return checked

    return wrap


class BaseLLM:
    args_name = ""

    def __init__(self, model, **kwargs):
        kind = NAMES[self.args_name]
        for key in kwargs:
            if key not in (*kind.model_fields, "_mpi_session"):
                raise ValueError(f"{type(self).__name__} got invalid argument: {key}")
        self.args = kind(model=model, **kwargs)
        self._folder = self._found(Path(model))
        config = json.loads((self._folder / "config.json").read_text())
        config = config.get("pretrained_config", config)
        drafts = self.args.speculative_config
        count = 0
        if drafts is not None:
            count = drafts.max_draft_len or getattr(
                drafts, "num_nextn_predict_layers", 4
            )
        self._executor = Executor(self.args, config["vocab_size"], drafts=count)
        self.tokenizer = Tokenizer(self._folder)
        MADE.append(self)

    def _found(self, model):
        if not (model / "config.json").is_file():
            raise ValueError(f"no config.json exists in {model}")
        return model

    @recorded("generate")
    def generate(self, inputs, sampling_params=None, **rest):
        rest.pop("use_tqdm", None)
        alone = bool(inputs) and isinstance(inputs[0], int)
        loras = rest.pop("lora_request", None)
        rows = [inputs] if alone else inputs
        made = [
            self.generate_async(
                row,
                sampling_params[k]
                if isinstance(sampling_params, list)
                else sampling_params,
                lora_request=loras[k] if isinstance(loras, list) else loras,
                **rest,
            )
            for k, row in enumerate(rows)
        ]
        for one in made:
            one.result()
        return made[0] if alone else made

    @recorded("generate_async")
    def generate_async(self, inputs, sampling_params=None, **rest):
        if self._executor is None:
            raise RuntimeError("LLM is shutting down")
        longest = self.args.max_num_tokens
        if len(inputs) > longest and not self.args.enable_chunked_prefill:
            raise ValueError(
                f"The sum of prompt length ({len(inputs)}), query length (0) should "
                f"not exceed max_num_tokens ({longest})"
            )
        request = RequestOutput(
            inputs,
            sampling_params or NAMES["SamplingParams"](),
            streaming=rest.get("streaming", False),
            salt=rest.get("cache_salt"),
            lora=rest.get("lora_request"),
        )
        self._executor.add(request)
        return request

    def get_stats(self, timeout=2):
        found = [*self._executor.stats]
        self._executor.stats.clear()
        return found

    def shutdown(self):
        executor, self._executor = self._executor, None
        if executor is not None:
            executor.close()


class TorchLLM(BaseLLM):
    """The PyTorch backend."""

    args_name = "TorchLlmArgs"

    def __init__(self, model, **kwargs):
        super().__init__(model, **kwargs)
        told, path = {}, self._folder / "hf_quant_config.json"
        if path.is_file():
            told = json.loads(path.read_text())["quantization"]
        cache = self.args.kv_cache_config.dtype
        quantised = NAMES["QuantConfig"](
            quant_algo=told.get("quant_algo"),
            kv_cache_quant_algo="FP8"
            if cache == "fp8"
            else told.get("kv_cache_quant_algo"),
            exclude_modules=told.get("exclude_modules"),
        )
        object.__setattr__(self.args, "quant_config", quantised)


class TrtLLM(BaseLLM):
    """The backend that compiles; an engine is its configuration and a file a rank."""

    args_name = "TrtLlmArgs"
    builds = 0

    def _found(self, model):
        folder = super()._found(model)
        config = json.loads((folder / "config.json").read_text())
        if "build_config" in config:
            return folder
        TrtLLM.builds += 1
        args = self.args
        build = args.build_config or NAMES["BuildConfig"]()
        made = Path(tempfile.mkdtemp(prefix="scripted-engine-"))
        shutil.copy(folder / "tokenizer.json", made)
        mapping = {
            "tp_size": args.tensor_parallel_size,
            "pp_size": args.pipeline_parallel_size,
        }
        engine = {
            "version": f"{RECORDING}.0rc0+scripted",
            "pretrained_config": {
                **config,
                "mapping": mapping,
                "quantization": args.quant_config.model_dump(mode="json"),
            },
            "build_config": build.model_dump(mode="json"),
        }
        (made / "config.json").write_text(json.dumps(engine))
        for rank in range(mapping["tp_size"] * mapping["pp_size"]):
            (made / f"rank{rank}.engine").write_bytes(b"scripted")
        return made

    def save(self, engine_dir):
        shutil.copytree(self._folder, engine_dir, dirs_exist_ok=True)
