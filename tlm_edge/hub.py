"""Models of the Hugging Face hub by their name: checkpoints and committees, never code, never pickles."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from tlm_edge.extras import missing_modules
from tlm_edge.runtime.errors import UserError

_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")

#: What a checkpoint or committee consists of; nothing else is fetched.
CHECKPOINT_FILES = [
    f"{folder}{name}"
    for folder in ("", "members/*/")
    for name in (
        "config.json",
        "committee.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "vocab.txt",
        "vocab.json",
        "merges.txt",
        "sentencepiece.bpe.model",
        "spiece.model",
        "tokenizer.model",
    )
]


def is_hub_name(model: str) -> bool:
    """Whether ``model`` is a hub name, ``owner/name``, rather than a path into a folder that is here."""
    return _NAME.fullmatch(model) is not None and not Path(model).parent.is_dir()


def fetch_model(name: str) -> Path:
    """The folder of the hub's model ``name`` in the hub's own cache, fetched if it isn't there or has changed.

    Raises ``UserError`` if the hub has no such model, or can't be reached and the cache has none, or if its weights
    are pickled.
    """
    if missing := missing_modules("hub"):
        raise UserError(
            f"no model '{name}' here: if it is one of the Hugging Face hub's, fetching it needs {', '.join(missing)}: "
            'pip install "tlm-edge[hub]"'
        )
    import huggingface_hub

    # Its warnings of every retry would bury the one line that tells what is wrong.
    huggingface_hub.logging.set_verbosity_error()
    if not sys.stderr.isatty():
        huggingface_hub.utils.disable_progress_bars()
    try:
        folder = Path(huggingface_hub.snapshot_download(name, allow_patterns=CHECKPOINT_FILES))
    except Exception as error:  # the library raises many kinds, of its own and of the network
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(
            f"no model '{name}': neither a path here nor a model that the Hugging Face hub gives ({reason})"
        ) from error
    if not any((folder / file).is_file() for file in ("model.safetensors", "committee.json")):
        raise UserError(
            f"the hub's {name} has no model.safetensors, and weights in other forms can run code when they are loaded: "
            'if you trust it, convert it, python -c "from transformers import AutoModelForSequenceClassification as M, '
            f"AutoTokenizer as T; [kind.from_pretrained('{name}').save_pretrained('converted') for kind in (M, T)]\""
        )
    return folder


def hub_name(folder: Path) -> str | None:
    """The hub's name, ``owner/name``, of a folder in the hub's cache; None of others."""
    folder = folder.resolve()
    kind, *parts = folder.parents[1].name.split("--") if folder.parent.name == "snapshots" else [""]
    return "/".join(parts) if kind == "models" and len(parts) == 2 else None


def name_of(folder: Path) -> str:
    """A model's name by its folder: in the hub's cache that of its repository, elsewhere the folder's own."""
    return (hub_name(folder) or folder.resolve().name).rpartition("/")[2]
