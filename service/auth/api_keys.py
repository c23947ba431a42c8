"""Named API keys: the file that holds their hashes, and the ring that recognises a key.

A key is 256 random bits, so its plain SHA-256 is enough. There is no dictionary to try, and no two keys are equal, so
a salt adds nothing. A slow hash would slow down every request instead of an attacker.
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
from weaksam.errors import UserError
from weaksam.files.atomic import replacing
from weaksam.findings import KEY_NAME_PATTERN, SHA256_PATTERN, fault_at, first_fault
from weaksam.mask_schemas import NO_FLAG

KEY_PREFIX = "weaksam_"
KEY_BYTES = 32


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ApiKey(_Document):
    """One key as it is stored.

    Attributes:
        name: of the key's holder, for logs and metrics.
        sha256: of the key, in hexadecimal.
        admin: whether the key opens the paths under /admin.
        rate_per_s: requests a second in the long run; None is the service's default.
        burst: requests at once after a pause; None is the service's default.
    """

    name: Annotated[str, Field(pattern=KEY_NAME_PATTERN)]
    sha256: Annotated[str, Field(pattern=SHA256_PATTERN)]
    admin: bool = False
    rate_per_s: Annotated[float, Field(gt=0), NO_FLAG] | None = None
    burst: Annotated[int, Field(ge=1), NO_FLAG] | None = None


class KeyFile(_Document):
    """Contents of a keys file."""

    version: Annotated[Literal[1], NO_FLAG] = 1
    keys: tuple[ApiKey, ...] = ()

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names: set[str] = set()
        for index, key in enumerate(self.keys):
            if key.name in names:
                sentence = f"several keys are named {key.name!r}: give each a name of its own"
                raise fault_at(("keys", index, "name"), key.name, sentence)
            names.add(key.name)
        return self


def new_key() -> str:
    """Return a new random key; its prefix lets scanners for leaked secrets recognise it."""
    return KEY_PREFIX + secrets.token_urlsafe(KEY_BYTES)


def key_sha256(key: str) -> str:
    """Return the hash under which a key is stored."""
    return hashlib.sha256(key.encode()).hexdigest()


def read_key_file(path: Path) -> KeyFile:
    """Return the keys of a file.

    Raises:
        UserError: the file cannot be read or is no keys file; it names the field.
    """
    try:
        return KeyFile.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): make it with `weaksam keys add`") from error
    except ValidationError as error:
        # The value is not shown: it may be a key instead of its hash.
        told = first_fault(error, secret=True).sentence("the file")
        raise UserError(f"{path} is not a keys file: {told}: correct it, or use `weaksam keys add`") from error


def write_key_file(path: Path, keys: KeyFile) -> None:
    """Replace the file as a whole, so that a service that reads it sees the old or the new one."""
    with replacing(path) as file:
        file.write(keys.model_dump_json(indent=1, exclude_none=True) + "\n")


class KeyRing:
    """The keys in use, each with its own rate.

    Args:
        path: a keys file.
        default_limit: of keys without a rate of their own; None is no limit.
        clock_s: seconds of a steady clock.

    Raises:
        UserError: as `read_key_file`.
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
        """Read the file again and keep the state of unchanged rates. If the file is damaged, the keys stay.

        Raises:
            UserError: as `read_key_file`.
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
        """Return the presented key, or None. The time taken tells neither how much of it is right nor which it is."""
        digest = key_sha256(presented)
        found = None
        for key in self._keys:
            if hmac.compare_digest(key.sha256, digest):
                found = key
        return found

    def take(self, key: ApiKey) -> float:
        """Count a request of `key` and return 0, or return the seconds until its rate allows one."""
        bucket = self._buckets.get(key.name)
        return 0.0 if bucket is None else bucket.take()

    def _limit(self, key: ApiKey) -> RateLimit | None:
        default = self._default_limit
        per_s = key.rate_per_s or (default.per_s if default else None)
        if per_s is None:
            return None
        return RateLimit(per_s, key.burst or (default.burst if default else max(1, round(per_s))))
