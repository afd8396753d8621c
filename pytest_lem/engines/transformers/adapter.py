"""LoRA and its like, by PEFT: beside the weights, or merged into them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_lem.engines.contract import first_line
from pytest_lem.errors import EngineLoadError
from pytest_lem.workload.adapters import located


def adapted(model: Any, spec: Mapping[str, Any]) -> tuple[Any, dict[str, Any] | None]:
    """The model with the spec's adapter, and what is then in it; None without one.

    Unmerged, an adapter adds products to each layer that it touches; merged it costs
    nothing. `layers` are those it touches, none of which is left once it is merged.
    Raises EngineLoadError in one line.
    """
    path = spec.get("adapter")
    if path is None:
        return model, None
    try:
        from peft import PeftModel
        from peft.tuners.tuners_utils import BaseTunerLayer
    except ImportError as error:
        msg = f"adapter {path!r} needs the peft package: {first_line(error)}"
        raise EngineLoadError(msg) from error
    place = located(path)
    try:
        made = PeftModel.from_pretrained(model, str(place.folder))
    except Exception as error:
        msg = f"adapter {path!r} cannot be loaded: {first_line(error)}"
        raise EngineLoadError(msg, detail=str(error)) from error
    config = made.peft_config["default"]
    layers = [one for one in made.modules() if isinstance(one, BaseTunerLayer)]
    own = [value for name, value in made.named_parameters() if ".lora_" in name]
    facts = {
        "path": path,
        "type": str(config.peft_type.value),
        "rank": getattr(config, "r", None),
        "layers": len(layers),
        "parameters": sum(value.numel() for value in own),
        "dtype": str(own[0].dtype).removeprefix("torch.") if own else None,
        **place.facts(),
    }
    if spec["engine"].get("merge_adapter"):
        model = made.merge_and_unload()
    else:
        # The layers are in the model itself; it keeps its class and its methods.
        model = made.get_base_model()
    left = sum(isinstance(one, BaseTunerLayer) for one in model.modules())
    return model.eval(), {**facts, "merged": left == 0}
