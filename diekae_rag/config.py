"""What a set of encoders is: every choice that is fixed once it is trained."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedConfig

from diekae_rag.prompting import Wording

__all__ = ["DiekaeConfig"]

_CHOICES = {
    "sharing": ("separate", "shared"),
    "positions": ("prompt", "all"),
    "passage_attention": ("joint", "independent"),
    "passage_direction": ("causal", "both"),
    "site": ("mlp", "layer"),
    "knowledge_in": ("passages", "weights"),
}
_AT_LEAST_ONE = (
    "base_hidden_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "max_passage_tokens",
    "max_passages",
)


class DiekaeConfig(PreTrainedConfig):
    """The shape of a set of encoders, and the base model it belongs to.

    The defaults are the paper's for LLaMA2-7B: one encoder for each of the decoder layers 3 to 8,
    4 blocks of width 128, passages read jointly, deltas at the prompt's positions. Only the heads
    are fewer, 4 of 32 and not 32 of 4: the weights are as many, and attention takes a fourth of the
    time.

    Args:
        base_model_name_or_path: The base model the encoders were trained for.
        base_model_revision: Its revision, where it has one.
        base_hidden_size: Width of the base model's residual stream.
        base_num_hidden_layers: How many decoder layers the base model has.
        layers: The decoder layers that are injected into, counted from 0.
        hidden_size: Width of an encoder.
        intermediate_size: Width inside its MLPs.
        num_hidden_layers: Blocks in an encoder.
        num_attention_heads: Heads in each block.
        rope_theta: Base of the rotary positions.
        rms_norm_eps: Added to the variance in RMSNorm.
        initializer_range: Standard deviation of the initial weights, before training.
        sharing: ``"separate"``: one encoder per layer (the paper's); ``"shared"``: one body for all
            of them, and one up-projection per layer.
        positions: Where deltas are injected: at the ``"prompt"`` (the paper's), or at ``"all"``
            positions, generated tokens included.
        passage_attention: ``"joint"``: the passages are read one after the other (the paper's);
            ``"independent"``: each is read alone and the prompt attends to all of them, so that
            their order cannot matter and their states can be kept.
        passage_direction: ``"causal"``: a passage's token sees what comes before it (the paper's);
            ``"both"``: it sees the whole of what is read, so that a value stated before its subject
            is known to belong to it.
        site: What a delta is added to: the layer's ``"mlp"`` output (the paper's), or the whole
            ``"layer"`` output.
        max_passage_tokens: Longest passage as worded, in tokens; what is beyond is cut. With
            independent passages, the prompt's positions start here.
        max_passages: Most passages read for one prompt; the last ones are left out.
        wording: The templates of ``Wording``, as a mapping.
        knowledge_in: Where what they know is: in the ``"passages"`` that they read, or in their own
            ``"weights"``; these read the prompt alone (the paper's way to edit facts).

    Raises:
        ValueError: A choice that does not exist, or a shape that cannot be; also for a field that
            is not one of these.

    Example:
        >>> DiekaeConfig(layers=[0, 3], base_num_hidden_layers=4, base_hidden_size=32).layers
        [0, 3]
    """

    model_type = "diekae"

    base_model_name_or_path: str = ""
    base_model_revision: str | None = None
    base_hidden_size: int = 4096
    base_num_hidden_layers: int = 32
    layers: list[int] | tuple[int, ...] = (3, 4, 5, 6, 7, 8)
    hidden_size: int = 128
    intermediate_size: int = 512
    num_hidden_layers: int = 4
    num_attention_heads: int = 4
    rope_theta: float = 10_000.0
    rms_norm_eps: float = 1e-5
    initializer_range: float = 0.02
    sharing: str = "separate"
    positions: str = "prompt"
    passage_attention: str = "joint"
    passage_direction: str = "causal"
    site: str = "mlp"
    max_passage_tokens: int = 512
    max_passages: int = 64
    wording: dict[str, str] | None = None
    knowledge_in: str = "passages"

    def __post_init__(self, **kwargs: Any) -> None:
        if unknown := {k for k in kwargs if not k.startswith("_")} - _KNOWN_TO_TRANSFORMERS:
            raise ValueError(
                f"unknown config field(s) {sorted(unknown)}; a config has {sorted(_OWN_FIELDS)}."
            )
        if not isinstance(self.wording, dict | None):
            raise ValueError(f"wording must be a mapping of templates, got {self.wording!r}.")
        self.wording = Wording(**(self.wording or {})).to_dict()
        if not isinstance(self.layers, list | tuple) or not all(
            type(layer) is int for layer in self.layers
        ):
            raise ValueError(f"layers must be a list of whole numbers, got {self.layers!r}.")
        self.layers = sorted(self.layers)
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"{name} must be one of {', '.join(choices)}; got {getattr(self, name)!r}."
                )
        if not self.layers or len(set(self.layers)) != len(self.layers):
            raise ValueError(f"layers must name different decoder layers, got {self.layers}.")
        if self.layers[0] < 0 or self.layers[-1] >= self.base_num_hidden_layers:
            raise ValueError(
                f"layers {self.layers} reach outside the base model's "
                f"0..{self.base_num_hidden_layers - 1} (base_num_hidden_layers)."
            )
        for name in _AT_LEAST_ONE:
            if type(value := getattr(self, name)) is not int or value < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}.")
        if not self.rope_theta > 0:
            raise ValueError(f"rope_theta must be above 0, got {self.rope_theta}.")
        for name in ("rms_norm_eps", "initializer_range"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}.")
        if self.hidden_size % (2 * self.num_attention_heads):
            raise ValueError(
                f"hidden_size {self.hidden_size} must be an even multiple of "
                f"num_attention_heads {self.num_attention_heads}: rotary positions turn pairs."
            )
        super().__post_init__(**kwargs)  # type: ignore[no-untyped-call]

    @property
    def num_bodies(self) -> int:
        """How many bodies there are: one per layer, or one for all."""
        return 1 if self.sharing == "shared" else len(self.layers)


_OWN_FIELDS = frozenset(DiekaeConfig.__annotations__)
_KNOWN_TO_TRANSFORMERS = frozenset(
    {"torch_dtype", "name_or_path", "attn_implementation", *PreTrainedConfig().to_dict()}
)
