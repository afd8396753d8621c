"""What is said of settings that are taken all the same."""

from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A parameter that had better be said otherwise, or does not do what it says.

    `path` is the parameter's, or its section's; of what is done as it was meant the
    severity is `info`.
    """

    path: str
    message: str
    suggestion: str = ""
    severity: Literal["info", "warning"] = "warning"

    def __str__(self) -> str:
        """In one line."""
        return f"{self.message}; {self.suggestion}" if self.suggestion else self.message

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)
