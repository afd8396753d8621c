"""The shape of a dense decoder, from its config.json: its weights, counted by kind.

Only families whose shape is known are read; a test builds each with the real library
and compares. Mixtures of experts have no closed form here. Standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """What the closed forms of FLOPs and KV cache need; widths in elements."""

    layers: int
    hidden_size: int
    attention_heads: int
    key_value_heads: int
    head_dim: int
    intermediate_size: int
    gated_mlp: bool
    vocab_size: int
    tied_embeddings: bool
    sliding_window: int | None = None

    @property
    def query_width(self) -> int:
        """Width of all query heads together."""
        return self.attention_heads * self.head_dim

    @property
    def key_value_width(self) -> int:
        """Width of all key heads together, and of all value heads."""
        return self.key_value_heads * self.head_dim

    @property
    def linear_parameters(self) -> int:
        """Weights of the matrices in all layers."""
        attention = 2 * self.hidden_size * (self.query_width + self.key_value_width)
        matrices = 3 if self.gated_mlp else 2
        mlp = matrices * self.hidden_size * self.intermediate_size
        return self.layers * (attention + mlp)

    @property
    def head_parameters(self) -> int:
        """Weights that turn a hidden state into logits."""
        return self.hidden_size * self.vocab_size

    @property
    def key_value_elements(self) -> int:
        """Elements that the KV cache holds for each token."""
        return 2 * self.layers * self.key_value_width

    def to_json(self) -> dict[str, Any]:
        """Plain values, under the names that records have for them."""
        return asdict(self)


class NoArchitecture(ValueError):
    """There is no closed form; the text is the reason code."""


def from_facts(facts: Mapping[str, Any]) -> Architecture:
    """The architecture among the facts that an engine tells; else NoArchitecture."""
    names = [name for name in Architecture.__slots__ if name != "sliding_window"]
    if reason := facts.get("no_closed_form"):
        raise NoArchitecture(reason)
    if any(facts.get(name) is None for name in names):
        raise NoArchitecture("unknown_architecture")
    known = {name: facts[name] for name in names}
    return Architecture(**known, sliding_window=facts.get("sliding_window"))


def from_config(config: Mapping[str, Any]) -> Architecture:
    """The architecture of a parsed config.json; NoArchitecture if it is not known."""
    config = config.get("text_config") or config
    family = _family(config)
    hidden = _first(config, "hidden_size", "n_embd")
    heads = _first(config, "num_attention_heads", "n_head")
    inner = _first(config, "intermediate_size", "ffn_dim", "n_inner")
    tied = config.get("tie_word_embeddings")
    layers = _first(config, "num_hidden_layers", "n_layer")
    vocab = config.get("vocab_size")
    if not (hidden and heads and layers and vocab):
        raise NoArchitecture("unknown_architecture")
    used = config.get("use_sliding_window", True)
    return Architecture(
        layers=layers,
        hidden_size=hidden,
        attention_heads=heads,
        key_value_heads=config.get("num_key_value_heads") or heads,
        head_dim=config.get("head_dim") or family.head_dim or hidden // heads,
        intermediate_size=inner or 4 * hidden,
        gated_mlp=family.gated,
        vocab_size=vocab,
        tied_embeddings=family.tied if tied is None else bool(tied),
        sliding_window=config.get("sliding_window") if used else None,
    )


def parameter_count(config: Mapping[str, Any]) -> int:
    """All parameters of a parsed config.json's model; NoArchitecture as above."""
    config = config.get("text_config") or config
    shape, family = from_config(config), _family(config)
    hidden, norms = shape.hidden_size, family.norm_vectors
    in_layer = family.norms * norms * hidden
    if _says(config, family.qkv_bias):
        in_layer += shape.query_width + 2 * shape.key_value_width
    if _says(config, family.out_bias):
        in_layer += hidden
    if _says(config, family.mlp_bias):
        in_layer += hidden + shape.intermediate_size * (2 if shape.gated_mlp else 1)
    if family.qk_norm == "head":
        in_layer += 2 * shape.head_dim
    elif family.qk_norm == "width":
        in_layer += shape.query_width + shape.key_value_width
    outside = shape.head_parameters * (1 if shape.tied_embeddings else 2)
    outside += norms * hidden + (shape.vocab_size if family.head_bias else 0)
    if family.positions is not None:
        places = _first(config, "max_position_embeddings", "n_positions") or 0
        outside += (places + family.positions) * hidden
    return shape.linear_parameters + shape.layers * in_layer + outside


@dataclass(frozen=True, slots=True, kw_only=True)
class _Family:
    """What config.json does not say because the model's code does.

    `norms` are those of a layer, of `norm_vectors` vectors each (2 with a bias, 0
    without weights). A bias is there, is not, or is told by the key named.
    `positions` are the rows that a table of learned positions has beyond the longest
    context. `head_dim` and `tied` hold where the file leaves them out.
    """

    gated: bool = True
    norms: int = 2
    norm_vectors: int = 1
    qkv_bias: bool | str = False
    out_bias: bool | str = False
    mlp_bias: bool | str = False
    qk_norm: Literal["head", "width"] | None = None
    positions: int | None = None
    head_bias: bool = False
    tied: bool = False
    head_dim: int | None = None


_LLAMA = _Family(
    qkv_bias="attention_bias", out_bias="attention_bias", mlp_bias="mlp_bias"
)
_PLAIN = replace(_LLAMA, mlp_bias=False)
_GEMMA = replace(_PLAIN, tied=True, head_dim=256)
_GPT = _Family(gated=False, norm_vectors=2, qkv_bias=True, out_bias=True, mlp_bias=True)

_FAMILIES: dict[str, _Family] = {
    "llama": _LLAMA,
    "granite": _LLAMA,
    "smollm3": _LLAMA,
    "mistral": _Family(),
    "ministral": _Family(),
    "phi3": _Family(),
    "qwen2": _Family(qkv_bias=True),
    "qwen3": replace(_PLAIN, qk_norm="head", head_dim=128),
    "gemma": _GEMMA,
    "gemma2": replace(_GEMMA, norms=4),
    "gemma3_text": replace(_GEMMA, norms=4, qk_norm="head"),
    "olmo": replace(_PLAIN, norm_vectors=0),
    "olmo2": replace(_PLAIN, qk_norm="width"),
    "stablelm": _Family(norm_vectors=2, qkv_bias="use_qkv_bias"),
    "starcoder2": replace(
        _GPT,
        qkv_bias="use_bias",
        out_bias="use_bias",
        mlp_bias="use_bias",
        tied=True,
    ),
    "phi": replace(_GPT, norms=1, head_bias=True),
    "gptj": replace(_GPT, qkv_bias=False, out_bias=False, norms=1, head_bias=True),
    "gpt_neox": replace(_GPT, qkv_bias="attention_bias", out_bias="attention_bias"),
    "gpt2": replace(_GPT, positions=0, tied=True),
    "opt": replace(_GPT, positions=2, tied=True),
}
_DEFAULTS = {"attention_bias": False, "gpt_neox": True, "use_bias": True}
_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")


def _family(config: Mapping[str, Any]) -> _Family:
    if any((config.get(key) or 0) > 1 for key in _EXPERTS):
        raise NoArchitecture("mixture_of_experts")
    found = _FAMILIES.get(str(config.get("model_type")))
    # A projection between embedding and layers is a matrix that no other model has.
    projected = config.get("word_embed_proj_dim") not in (
        None,
        config.get("hidden_size"),
    )
    if found is None or projected:
        raise NoArchitecture("unknown_architecture")
    return found


def _says(config: Mapping[str, Any], bias: bool | str) -> bool:
    """Whether there is a bias, by the family or by the key that it names."""
    if isinstance(bias, bool):
        return bias
    if bias in config:
        return bool(config[bias])
    return _DEFAULTS.get(str(config["model_type"]), _DEFAULTS.get(bias, False))


def _first(config: Mapping[str, Any], *names: str) -> int | None:
    """The first of some keys that has a value."""
    return next((config[name] for name in names if config.get(name) is not None), None)
