"""The user's own devices, in a TOML file: ``devices.toml`` in the folder of the user's settings.

A table a device, named as ``--device`` calls it, with ``host`` (an SSH destination) or ``serial`` (adb's), and
``profile`` where it is known what it is.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tlm_edge.bench.devices import LOCAL, Address
from tlm_edge.files import new_file
from tlm_edge.runtime.errors import UserError

#: Environment variable that names another folder for the settings.
CONFIG_VARIABLE = "TLM_EDGE_CONFIG"
#: The key that holds what each transport calls a device.
_KEYS = {"host": "ssh", "serial": "adb"}
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")


def stored_file() -> Path:
    """Where the devices are stored."""
    if chosen := os.environ.get(CONFIG_VARIABLE):
        return Path(chosen).expanduser() / "devices.toml"
    import platformdirs

    return Path(platformdirs.user_config_dir("tlm-edge")) / "devices.toml"


def stored_devices() -> tuple[Address, ...]:
    """The stored devices in the order of the file. Raises ``UserError`` if it can't be read."""
    file = stored_file()
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"{file} can't be read ({error}): repair or delete it") from error
    return tuple(_address(name, table, file) for name, table in content.items())


def store_device(address: Address, *, force: bool = False) -> Path:
    """Add a device; the file it is in. Raises ``UserError`` if the name can't be one, or is taken and not ``force``."""
    check_name(address.name)
    others = [one for one in stored_devices() if one.name != address.name]
    if not force and len(others) < len(stored_devices()):
        raise UserError(f"there is a device '{address.name}' already: replace it with --force, or choose another name")
    return _write([*others, address])


def forget_device(name: str) -> Path:
    """Remove a device; the file it was in. Raises ``UserError`` if there is none of that name."""
    stored = stored_devices()
    kept = [one for one in stored if one.name != name]
    if len(kept) == len(stored):
        names = ", ".join(one.name for one in stored) or "none"
        raise UserError(f"no stored device '{name}' (there are: {names})")
    return _write(kept)


def check_name(name: str) -> None:
    """Raise ``UserError`` unless ``name`` can be a device's, and a folder's."""
    if not _NAME.fullmatch(name):
        raise UserError(f"'{name}' can't name a device: use letters, digits, '-', '_' and '.'")
    if name == LOCAL.name:
        raise UserError(f"'{name}' is this machine: choose another name")


def _address(name: str, table: Any, file: Path) -> Address:
    if not isinstance(table, dict) or not all(isinstance(value, str) for value in table.values()):
        raise UserError(f"{file}: {name} is no device: a table with host or serial expected")
    ways = [key for key in _KEYS if key in table]
    if len(ways) != 1 or set(table) - {*_KEYS, "profile"}:
        raise UserError(f"{file}: {name} wants host or serial, one of them, and profile at most")
    return Address(name, _KEYS[ways[0]], table[ways[0]], table.get("profile"))


def _write(devices: Sequence[Address]) -> Path:
    keys = {transport: key for key, transport in _KEYS.items()}
    lines = []
    for one in devices:
        lines += [f"[{_text(one.name)}]", f"{keys[one.transport]} = {_text(one.at)}"]
        lines += [f"profile = {_text(one.profile)}"] if one.profile else []
        lines.append("")
    with new_file(stored_file()) as temporary:
        temporary.write_text("\n".join(lines), encoding="utf-8")
    return stored_file()


def _text(value: str) -> str:
    """A TOML basic string: JSON's are such, as long as nothing beyond the basic plane is spelt by two escapes."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
