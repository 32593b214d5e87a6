"""A pretended Raspberry Pi: an arm64 userland whose programs qemu runs, behind the sshd of ``loopback``.

A private user and mount namespace has a binfmt_misc of its own (Linux 6.7 and later), so that whatever runs in it is
arm64 code on a Cortex-A72, however deeply nested. What its kernel and firmware would tell is written here.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.bench.loopback import Loopback, loopback
from tlm_edge.bench.profiles import Cores, profile_of
from tlm_edge.runtime.errors import UserError

#: What a login needs beside Python.
PACKAGES = ("coreutils", "dash", "openssh-sftp-server")
#: An ELF file of 64 bits for AArch64: what binfmt_misc is to hand to qemu.
_MAGIC = r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
_MASK = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"

_ENTER = r"""#!/bin/sh
exec unshare --user --map-root-user --mount sh -ec '
cpu=$1 folder=$2 qemu=$3 root=$4; shift 4
mount -t tmpfs none /mnt
mkdir /mnt/binfmt /mnt/upper /mnt/work /mnt/root
mount -t binfmt_misc none /mnt/binfmt
cp "$qemu" /mnt/qemu
printf "%s" ":arm64:M::MAGIC:MASK:/mnt/qemu:FP" > /mnt/binfmt/register
mount -t overlay -o "lowerdir=$folder/board:$root,upperdir=/mnt/upper,workdir=/mnt/work" none /mnt/root
cd /mnt/root
mkdir -p dev home/pi proc tmp
mount --rbind /dev dev
mount --rbind /proc proc
mount --bind "$folder/cpuinfo" proc/cpuinfo
mount --bind "$folder/home" home/pi
exec env -i HOME=/home/pi PATH=/usr/bin:/bin LANG=C.UTF-8 QEMU_CPU="$cpu" SSH_CLIENT="$SSH_CLIENT" \
  "$(PATH=$PATH:/usr/sbin command -v chroot)" . /bin/sh -c "cd; exec \"\$@\"" sh "$@"
' enter ARGUMENTS "$@"
"""

#: path → content, over the userland: what a Raspberry Pi 4 tells of its state.
_BOARD = {
    "etc/passwd": "pi:x:0:0:pretended:/home/pi:/bin/sh\n",
    "sys/class/thermal/thermal_zone0/temp": "47712\n",
    "usr/bin/vcgencmd": '#!/bin/sh\n[ "$1" = get_throttled ] && echo throttled=0x50000\n',
}


@contextmanager
def pretend_pi(folder: Path, profile: str = "rpi4") -> Iterator[Loopback]:
    """A board of ``profile`` that ssh reaches as ``loopback.HOST``. Skips where it can't be had, with the reason."""
    cores = profile_of(profile).cores[0]
    qemu = shutil.which("qemu-aarch64-static")
    if qemu is None or shutil.which("unshare") is None:
        pytest.skip("no qemu-aarch64-static: install qemu-user-static (make setup-emulation)")
    try:
        from tlm_edge.bench.emulation.sysroot import sysroot

        root = sysroot(cores, PACKAGES)
    except UserError as error:
        pytest.skip(str(error))
    _warm(qemu, root)
    enter = way_in(folder, cores, qemu, root)
    with loopback(folder, [str(enter)]) as running:
        make_board(folder, cores, root, profile_of(profile).title)
        require_arm64(enter)
        yield running


def way_in(folder: Path, cores: Cores, qemu: str, root: Path) -> Path:
    """A script beside ``folder`` that runs its arguments on the board whose files ``folder`` holds."""
    enter = folder.parent / f"{folder.name}-enter.sh"
    arguments = f"{cores.qemu} {folder} {qemu} {root}"
    enter.write_text(_ENTER.replace("MAGIC", _MAGIC).replace("MASK", _MASK).replace("ARGUMENTS", arguments))
    enter.chmod(0o755)
    return enter


def require_arm64(enter: Path) -> None:
    """Skip where the script can't run arm64 programs."""
    tried = subprocess.run([str(enter), "uname", "-m"], capture_output=True, text=True)
    if tried.stdout.strip() != "aarch64":
        pytest.skip(f"arm64 programs can't be run in a namespace here: {tried.stderr.strip()[-200:]}")


def _warm(qemu: str, root: Path) -> None:
    """Have Python compile what the agent imports, once: in the namespace it can't keep what it compiles."""
    modules = "ctypes, fcntl, json, platform, queue, resource, shutil, subprocess, tempfile, zipfile"
    subprocess.run([qemu, "-L", str(root), str(root / "usr/bin/python3"), "-c", f"import {modules}"], check=True)


def make_board(folder: Path, cores: Cores, root: Path, title: str) -> None:
    """Write what the board's kernel and firmware would tell, and its own files, into ``folder``."""
    cpuinfo = (root / "proc/cpuinfo").read_text()
    (folder / "cpuinfo").write_text(f"{cpuinfo}\nModel\t\t: {title} (pretended)\n")
    files = dict(_BOARD)
    for number in range(cores.count):
        frequency = f"sys/devices/system/cpu/cpu{number}/cpufreq"
        files[f"{frequency}/scaling_governor"] = "ondemand\n"
        files[f"{frequency}/scaling_cur_freq"] = f"{cores.mhz * 1000}\n"
    for name, content in files.items():
        file = folder / "board" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
        file.chmod(0o755)
