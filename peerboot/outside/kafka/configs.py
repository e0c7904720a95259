"""Responses about settings and disks to values, as ``responses`` does: DescribeConfigs, IncrementalAlterConfigs and
DescribeLogDirs. Raises ``KafkaError``, nothing else.
"""

from __future__ import annotations

from peerboot.outside.kafka.errors import answered, check
from peerboot.outside.kafka.values import Config, Configs, Copy, Failure, LogDir
from peerboot.outside.kafka.wire import Reader


def describe_configs(read: Reader, _version: int) -> tuple[Configs, ...]:
    """Version 4."""

    def synonym() -> None:
        read.string()
        read.nullable()
        read.int8()
        read.tags()

    def config() -> Config:
        key, value, _read_only, source = read.string(), read.nullable(), read.boolean(), read.int8()
        read.boolean()
        read.array(synonym, 4)
        read.int8()
        read.nullable()
        read.tags()
        return Config(key=key, value=value, source=source)

    def result() -> Configs:
        code, message = read.int16(), read.nullable()
        kind, name, configs = read.int8(), read.string(), read.array(config, 9)
        read.tags()
        return Configs(kind=kind, name=name, configs=configs, error=code, message=_said(code, message))

    read.int32()
    found = read.array(result, 7)
    read.tags()
    read.end()
    return found


def alter_configs(read: Reader, _version: int) -> tuple[Failure, ...]:
    """Version 1: those that were not changed; empty means that all were."""

    def result() -> Failure:
        code, message, kind, name = read.int16(), read.nullable(), read.int8(), read.string()
        read.tags()
        return Failure(kind=kind, name=name, code=code, message=_said(code, message))

    read.int32()
    found = read.array(result, 6)
    read.tags()
    read.end()
    # The one code of a broker that does not forward, or of a controller that does not lead, stands at each resource.
    for one in found:
        if answered(one.code).outcome == "not-leader":
            check(one.code)
    return tuple(one for one in found if one.code)


def describe_log_dirs(read: Reader, _version: int) -> tuple[LogDir, ...]:
    """Version 4."""

    def partition() -> tuple[int, int, bool]:
        index, size = read.int32(), read.int64()
        read.int64()
        future = read.boolean()
        read.tags()
        return index, size, future

    def topic() -> tuple[Copy, ...]:
        name, rows = read.string(), read.array(partition, 22)
        read.tags()
        return tuple(Copy(topic=name, partition=index, size=size, future=future) for index, size, future in rows)

    def directory() -> LogDir:
        code, path, topics = read.int16(), read.string(), read.array(topic, 3)
        total, usable = read.int64(), read.int64()
        read.tags()
        copies = tuple(copy for copies in topics for copy in copies)
        return LogDir(path=path, copies=copies, total=total, usable=usable, error=code)

    read.int32()
    code = read.int16()
    found = read.array(directory, 21)
    read.tags()
    read.end()
    check(code)
    return found


def _said(code: int, message: str | None) -> str:
    return str(answered(code, message)) if code else ""
