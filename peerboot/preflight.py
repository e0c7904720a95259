"""Checks of the settings that need the disk, before anything is written. Each failure is one line and exit 2."""

from __future__ import annotations

import os
from pathlib import Path

from peerboot.errors import SettingsError
from peerboot.outside.files import FilesError, nearest_existing, read_small, same_device, volume_root
from peerboot.settings import Settings

SECRET_LIMIT = 64 * 1024
KEY_BYTES = 32
MAX_KEYS = 8


def state_dir(settings: Settings, data_dir: Path) -> Path:
    """PEERBOOT_STATE_DIR, or ``.peerboot`` at the root of the volume that holds the data directory."""
    if settings.state_dir:
        return Path(settings.state_dir)
    root = volume_root(data_dir)
    if root == Path("/"):
        raise SettingsError(
            f"PEERBOOT_DATA_DIR={data_dir} is not on a volume of its own: mount the volume, or set PEERBOOT_STATE_DIR"
        )
    return root / ".peerboot"


def check(settings: Settings, data_dir: Path) -> Path:
    """Everything that can be known before starting; returns the state directory. Raises ``SettingsError``."""
    if settings.secret_file:
        read_secrets(settings.secret_file)
    state = state_dir(settings, data_dir)
    if os.path.ismount(data_dir):
        raise SettingsError(
            f"PEERBOOT_DATA_DIR={data_dir} is the mount itself, so its content could not be renamed aside: use a "
            f"sub-directory, for example {data_dir}/data"
        )
    if state == data_dir or data_dir in state.parents:
        raise SettingsError(
            f"PEERBOOT_STATE_DIR={state} lies inside PEERBOOT_DATA_DIR={data_dir}: use a directory beside it"
        )
    if not same_device(state, data_dir):
        raise SettingsError(
            f"PEERBOOT_STATE_DIR={state} is on another file system than PEERBOOT_DATA_DIR={data_dir}: a lost disk would not "
            "take the state with it; put both on the same volume"
        )
    if settings.mode == "manage":
        for name, path in (("PEERBOOT_STATE_DIR", state), ("PEERBOOT_DATA_DIR", data_dir)):
            _writable(name, path)
    _writable("PEERBOOT_OUTPUT_DIR", Path(settings.output_dir), must_exist=True)
    return state


def _writable(name: str, path: Path, *, must_exist: bool = False) -> None:
    if must_exist and not path.is_dir():
        raise SettingsError(f"{name}={path} is not a directory: mount an emptyDir with medium Memory there")
    there = nearest_existing(path)
    if not there.is_dir():
        raise SettingsError(f"{name}={path}: {there} is not a directory")
    if not os.access(there, os.W_OK | os.X_OK) or os.statvfs(there).f_flag & os.ST_RDONLY:
        raise SettingsError(
            f"{name}={path} cannot be written by uid {os.getuid()}: set runAsUser and fsGroup of the Pod to the server's"
        )


def read_secrets(path: str) -> tuple[bytes, ...]:
    """The census keys: one a line, the first signs, all verify. Raises ``SettingsError``; the keys are never shown."""
    try:
        content = read_small(Path(path), SECRET_LIMIT)
    except FilesError as error:
        raise SettingsError(f"PEERBOOT_SECRET_FILE: {error}") from None
    if content is None:
        raise SettingsError(f"PEERBOOT_SECRET_FILE={path} is not there: mount the Secret")
    keys = tuple(line.strip() for line in content.splitlines() if line.strip())
    if not keys:
        raise SettingsError(f"PEERBOOT_SECRET_FILE={path} is empty: put a key of {KEY_BYTES} bytes or more in it")
    if len(keys) > MAX_KEYS:
        raise SettingsError(f"PEERBOOT_SECRET_FILE={path} has {len(keys)} lines: {MAX_KEYS} keys at most, one a line")
    for number, key in enumerate(keys, 1):
        if len(key) < KEY_BYTES:
            raise SettingsError(
                f"PEERBOOT_SECRET_FILE={path}: the key in line {number} has {len(key)} bytes: use {KEY_BYTES} or more"
            )
    return keys
