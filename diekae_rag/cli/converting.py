"""``diekae convert``: the released code's encoders as ours."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from diekae_rag.cli.console import quiet_libraries, show, show_json
from diekae_rag.cli.mistakes import reports_mistakes
from diekae_rag.cli.options import AsJson

__all__ = ["convert"]


@reports_mistakes
def convert(
    checkpoint: Annotated[Path, typer.Argument(help="A file that the released code saved.")],
    folder: Annotated[Path, typer.Argument(help="Where the converted encoders go.")],
    base: Annotated[
        str | None, typer.Option(help="The base model's name or folder, where the file's is wrong.")
    ] = None,
    base_layers: Annotated[
        int, typer.Option(min=1, help="Decoder layers of the base model; LLaMA2-7B has 32.")
    ] = 32,
    heads: Annotated[int, typer.Option(min=1, help="Heads of an encoder block.")] = 32,
    as_json: AsJson = False,
) -> None:
    """Convert encoders of the paper's released code; no code in the file is run."""
    quiet_libraries()
    from diekae_rag.convert import convert_released, read_released
    from diekae_rag.files import new_files

    encoders = convert_released(
        read_released(checkpoint),
        base_model_name_or_path=base,
        base_num_hidden_layers=base_layers,
        num_attention_heads=heads,
    )
    with new_files(folder) as temporary:
        encoders.save_pretrained(temporary)
    config = encoders.config
    if as_json:
        show_json(
            {
                "folder": str(folder),
                "layers": list(config.layers),
                "base": config.base_model_name_or_path,
            }
        )
        return
    show(
        f"Encoders for layers {', '.join(map(str, config.layers))} of "
        f"{config.base_model_name_or_path or 'a base model that is not named'} are in {folder}."
    )
