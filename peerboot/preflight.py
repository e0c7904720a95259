"""Checks of the settings that need the disk, before anything is written. Each failure is one line and exit 2."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from peerboot.errors import SettingsError
from peerboot.outside.files import (
    FilesError,
    is_mount_root,
    mount_points,
    nearest_existing,
    read_small,
    real_path,
    same_device,
    volume_root,
)
from peerboot.settings import Settings, contradictions

SECRET_LIMIT = 64 * 1024
KEY_BYTES = 32
MAX_KEYS = 8
ROOT = Path("/")


def state_dir(settings: Settings, data_dir: Path) -> Path:
    """PEERBOOT_STATE_DIR, or ``.peerboot`` at the root of the volume that holds the data directory."""
    if settings.state_dir:
        return Path(settings.state_dir)
    try:
        root = volume_root(data_dir)
    except FilesError as error:
        raise SettingsError(f"PEERBOOT_DATA_DIR: {error}: repair that path") from None
    if root == ROOT:
        raise SettingsError(
            f"PEERBOOT_DATA_DIR={data_dir} is not on a volume of its own: mount the volume, or set PEERBOOT_STATE_DIR"
        )
    return root / ".peerboot"


def check(settings: Settings, data_dir: Path, further: Iterable[tuple[str, Path]] = ()) -> Path:
    """Everything that can be known before starting; returns the state directory. Raises ``SettingsError``.

    ``further``: the server's other directories, see ``systems.Prepared.further_dirs``. One that only observes is
    nobody's gate: what is wrong with those is a warning there (``short_lived``).
    """
    if settings.secret_file:
        read_secrets(settings.secret_file)
    if settings.by_tls:
        # Imported on use: most sets have a key.
        from peerboot.outside import pair

        pair.read(settings.census_tls_dir)
    if is_mount_root(data_dir):
        raise SettingsError(
            f"PEERBOOT_DATA_DIR={data_dir} is the mount itself, so its content could not be renamed aside: "
            f"use a sub-directory, for example {data_dir}/data"
        )
    state, output = state_dir(settings, data_dir), Path(settings.output_dir)
    volume = {"PEERBOOT_STATE_DIR": state, "PEERBOOT_DATA_DIR": data_dir}
    mounted = {"PEERBOOT_OUTPUT_DIR": output, "PEERBOOT_ADMIN_SOCKET": Path(settings.socket_path).parent}
    for name, path in (volume | mounted).items():
        _directory(name, path, must_exist=name in mounted)
    # Asked again with what was not set, and with the directories that symbolic links lead to.
    for data, own, out in ((data_dir, state, output), map(real_path, (data_dir, state, output))):
        contradictions(replace(settings, data_dir=str(data), state_dir=str(own), output_dir=str(out)))
    if not same_device(state, data_dir):
        raise SettingsError(
            f"PEERBOOT_STATE_DIR={state} is on another file system than PEERBOOT_DATA_DIR={data_dir}: "
            "a lost disk would not take the state with it; put both on the same volume"
        )
    if settings.mode != "observe":
        for problem in short_lived(settings, data_dir, further):
            raise SettingsError(problem)
    for name, path in (mounted if settings.mode == "observe" else volume | mounted).items():
        _writable(name, path)
    return state


def _directory(name: str, path: Path, *, must_exist: bool) -> None:
    nearest = nearest_existing(path)
    if must_exist and nearest != path:
        raise SettingsError(f"{name}: {path} is not there: mount an emptyDir with medium Memory there")
    if not nearest.is_dir():
        raise SettingsError(f"{name}: {nearest} is not a directory: name another path")


def short_lived(settings: Settings, data_dir: Path, further: Iterable[tuple[str, Path]]) -> Iterator[str]:
    """Of the server's further directories those that do not outlive a container: what is wrong, and what to do."""
    for name, path in further:
        if problem := _ends_early(path, data_dir, Path(settings.output_dir)):
            yield f"{name}: {problem}"


def _ends_early(path: Path, data_dir: Path, output: Path) -> str:
    """Why a further directory of the server's is lost when a container restarts; empty if that is not known.

    Known for sure is only this: it is on the container's own file system, though the data directory, and so a volume,
    is not. Where both are, there is no container, or none with a volume. An emptyDir cannot be told from a volume.
    """
    if real_path(path).is_relative_to(real_path(output)):
        return (
            f"{path} lies inside PEERBOOT_OUTPUT_DIR={output}: that is in memory and is gone with the Pod; "
            "name a directory on a volume"
        )
    try:
        on_none = volume_root(path) == ROOT != volume_root(data_dir)
    except FilesError as error:
        return f"{error}: repair that path"
    # A device alone would not do: a container's root file system may be a directory of the node's disk, and a volume of
    # that node another one.
    if on_none and mount_points():
        return (
            f"{path} is on no volume that peerboot's container has, and PEERBOOT_DATA_DIR={data_dir} is on "
            "one: what a server writes to its container alone is lost when that restarts; mount the volume in both "
            "containers, or name a directory on it"
        )
    return ""


def _writable(name: str, path: Path) -> None:
    nearest = nearest_existing(path)
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise SettingsError(
            f"{name}: {nearest} cannot be written by uid {os.getuid()}: "
            "set runAsUser and fsGroup of the Pod to the server's, and mount it for writing"
        )


def read_secrets(path: str) -> tuple[bytes, ...]:
    """The census keys: one a line, the first signs, all verify. Raises ``SettingsError``; no key is ever shown."""
    try:
        content = read_small(Path(path), SECRET_LIMIT)
    except FilesError as error:
        raise SettingsError(f"PEERBOOT_SECRET_FILE: {error}: mount a Secret that the Pod's fsGroup may read") from None
    if content is None:
        raise SettingsError(f"PEERBOOT_SECRET_FILE={path} is not there: mount the Secret")
    keys = tuple(line.strip() for line in content.splitlines() if line.strip())
    if not keys:
        raise SettingsError(f"PEERBOOT_SECRET_FILE={path} is empty: put a key of {KEY_BYTES} bytes or more in it")
    if len(keys) > MAX_KEYS:
        raise SettingsError(f"PEERBOOT_SECRET_FILE={path} has {len(keys)} keys: {MAX_KEYS} at most, one a line")
    for number, key in enumerate(keys, 1):
        if len(key) < KEY_BYTES:
            raise SettingsError(
                f"PEERBOOT_SECRET_FILE={path}: key {number} has {len(key)} bytes: use {KEY_BYTES} or more"
            )
    return keys
