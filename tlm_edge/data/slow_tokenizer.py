"""Tokenizers that are stored in the form their first authors gave them: transformers turns them into today's."""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer

from tlm_edge.extras import require_extra
from tlm_edge.quiet import quiet
from tlm_edge.runtime.errors import UserError

#: Files that hold such a tokenizer: byte-level BPE (RoBERTa), SentencePiece (CamemBERT, XLM-RoBERTa, ALBERT).
SLOW_FILES = ("merges.txt", "vocab.json", "sentencepiece.bpe.model", "spiece.model", "tokenizer.model")


def convert_slow_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer in one of ``SLOW_FILES`` of ``folder``, converted by transformers.

    Raises ``UserError`` if it can't be converted, ``MissingExtraError`` if transformers is missing.
    """
    name = next(name for name in SLOW_FILES if (folder / name).is_file())
    require_extra("transformers", for_what=f"converting the tokenizer {folder / name} to a tokenizer.json")
    with quiet():
        import transformers

        transformers.logging.set_verbosity_error()
        try:
            loaded = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            content = loaded.backend_tokenizer.to_str()
        except Exception as error:  # transformers raises whatever its parts raise
            reason = (str(error) or type(error).__name__).strip().splitlines()[0]
            raise UserError(
                f"{folder}: transformers {transformers.__version__} can't convert the tokenizer {name} ({reason}): "
                "save it again with AutoTokenizer, which writes a tokenizer.json"
            ) from error
    tokenizer = Tokenizer.from_str(content)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer
