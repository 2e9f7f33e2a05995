import torch

from diekae_rag import Encoders


def test_a_released_checkpoint_becomes_a_folder_of_encoders(run, only_json, tmp_path):
    size, inner, width = 16, 24, 32
    state = {
        "tok_embeddings.weight": torch.zeros(9, width),
        "downscaler.weight": torch.ones(size, width),
        "upscaler.weight": torch.ones(width, size),
        "norm.weight": torch.ones(size),
    }
    for name in ("wq", "wk", "wv", "wo"):
        state[f"layers.0.attention.{name}.weight"] = torch.ones(size, size)
    for name, shape in {"w1": (inner, size), "w2": (size, inner), "w3": (inner, size)}.items():
        state[f"layers.0.feed_forward.{name}.weight"] = torch.ones(shape)
    for name in ("attention_norm", "ffn_norm"):
        state[f"layers.0.{name}.weight"] = torch.ones(size)
    torch.save({"encoder0": state, "config": {"encoder_layers": [3]}}, tmp_path / "released.pt")
    options = ("--base", "meta-llama/Llama-2-7b-hf", "--heads", 4, "--json")

    result = run("convert", tmp_path / "released.pt", tmp_path / "encoders", *options)

    assert only_json(result)["layers"] == [3]
    encoders = Encoders.from_pretrained(tmp_path / "encoders")
    assert encoders.config.base_model_name_or_path == "meta-llama/Llama-2-7b-hf"
    assert encoders.config.layers == [3]
