"""``tlm-edge verify``."""

from __future__ import annotations

from tlm_edge.cli.options import BundleArgument, JsonOption, OptionalDataOption


def verify(bundle: BundleArgument, data: OptionalDataOption = None, json: JsonOption = False) -> None:
    """Check a bundle again: hashes, signature, logits against PyTorch's, accuracy. Exit 2 if one fails."""
    import typer

    from tlm_edge.export.verify import verify_bundle

    verification = verify_bundle(bundle, data)
    if json:
        from dataclasses import asdict
        from json import dumps

        print(dumps(asdict(verification), ensure_ascii=False))
    else:
        for check in verification.checks:
            print(f"{'ok    ' if check.passed else 'FAILED'}  {check.name:<9}  {check.found}")
    if not verification.passed:
        raise typer.Exit(2)
