"""Named API keys: the file that holds their hashes, and the ring that knows a key when it sees one.

A key is 256 random bits, so its plain SHA-256 is enough: there is no dictionary to try, a salt would only set apart
equal keys, of which there are none, and a slow hash would slow down every request instead of an attacker.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from service.auth.token_bucket import RateLimit, TokenBucket
from weaksam.files.atomic import replacing

KEY_PREFIX = "weaksam_"
KEY_BYTES = 32


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ApiKey(_Document):
    """One key as it is stored.

    Attributes:
        name: of whoever holds the key; stands in logs and metrics.
        sha256: of the key, in hexadecimal.
        admin: whether the key opens the pages under /admin.
        rate_per_s: requests a second in the long run; None: the service's own default.
        burst: requests at once after a pause; None: the service's own default.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    admin: bool = False
    rate_per_s: Annotated[float, Field(gt=0)] | None = None
    burst: Annotated[int, Field(ge=1)] | None = None


class KeyFile(_Document):
    """What a keys file holds."""

    version: Literal[1] = 1
    keys: tuple[ApiKey, ...] = ()

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [key.name for key in self.keys]
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            raise ValueError(f"several keys are named {doubled[0]!r}: give each a name of its own")
        return self


def new_key() -> str:
    """A key that nobody has seen; its prefix lets scanners for leaked secrets know it."""
    return KEY_PREFIX + secrets.token_urlsafe(KEY_BYTES)


def key_sha256(key: str) -> str:
    """What is stored of a key."""
    return hashlib.sha256(key.encode()).hexdigest()


def read_key_file(path: Path) -> KeyFile:
    """The keys of a file.

    Raises:
        ValueError: it is not there or not a keys file, naming the field.
    """
    try:
        return KeyFile.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror}): make it with `weaksam keys add`") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        # The value is not shown: someone may have put a key where its hash belongs.
        raise ValueError(f"{path} is not a keys file: {where}: {first['msg']}") from error


def write_key_file(path: Path, keys: KeyFile) -> None:
    """Replace the file as a whole, so that a service that reads it meanwhile sees the old or the new one."""
    with replacing(path) as file:
        file.write(keys.model_dump_json(indent=1, exclude_none=True) + "\n")


class KeyRing:
    """The keys of a file in use, each with its own rate.

    Args:
        path: a keys file.
        default_limit: for keys that name none; None: no limit.
        clock_s: seconds of a steady clock.

    Raises:
        ValueError: as `read_key_file`.
    """

    def __init__(
        self, path: Path, default_limit: RateLimit | None = None, clock_s: Callable[[], float] = monotonic
    ) -> None:
        self._path = path
        self._default_limit = default_limit
        self._clock_s = clock_s
        self._buckets: dict[str, TokenBucket] = {}
        self.reload()

    def __len__(self) -> int:
        return len(self._keys)

    def reload(self) -> None:
        """Read the file again; where it is damaged, the keys stay as they were. Rates go on where they were.

        Raises:
            ValueError: as `read_key_file`.
        """
        keys = read_key_file(self._path).keys
        limits = {key.name: limit for key in keys if (limit := self._limit(key)) is not None}
        before = self._buckets
        self._keys = keys
        self._buckets = {
            name: before[name] if name in before and before[name].limit == limit else TokenBucket(limit, self._clock_s)
            for name, limit in limits.items()
        }

    def find(self, presented: str) -> ApiKey | None:
        """The key that was presented, in a time that does not tell how much of it is right or which one it is."""
        digest = key_sha256(presented)
        found = None
        for key in self._keys:
            if hmac.compare_digest(key.sha256, digest):
                found = key
        return found

    def take(self, key: ApiKey) -> float:
        """Count a request of `key`: 0 where its rate allows one, else the seconds after which it will."""
        bucket = self._buckets.get(key.name)
        return 0.0 if bucket is None else bucket.take()

    def _limit(self, key: ApiKey) -> RateLimit | None:
        default = self._default_limit
        per_s = key.rate_per_s or (default.per_s if default else None)
        if per_s is None:
            return None
        return RateLimit(per_s, key.burst or (default.burst if default else max(1, round(per_s))))
