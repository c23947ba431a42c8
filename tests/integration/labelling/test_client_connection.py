"""The client behind proxies, TLS and redirects: it gets through, or says in one sentence what is in its way."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.responses import RedirectResponse

from tests.support.fakes.fake_service import FakeService, fake_app
from tests.support.servers.live_server import live_server
from tests.support.servers.proxies import Proxy, running_proxy
from weaksam.client import AsyncClient, ServerFailed, ServerUnreachable
from weaksam.retry import PATIENT, RetryPolicy

PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def _without_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of its own authority for 127.0.0.1, with its key beside it."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("there is no openssl to make a certificate")
    path = tmp_path_factory.mktemp("tls") / "own.pem"
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=weaksam test"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(path.with_name("key.pem")), "-out", str(path)]
    subprocess.run(command, check=True, capture_output=True)
    return path


@pytest.fixture
def https_url(fake: FakeService, certificate: Path) -> Iterator[str]:
    with live_server(
        fake_app(fake), ssl_certfile=str(certificate), ssl_keyfile=str(certificate.with_name("key.pem"))
    ) as address:
        yield address


@pytest.mark.parametrize("kind", ["http", "socks5"])
async def test_a_service_is_reached_through_a_proxy(
    url: str, fake: FakeService, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    proxy = Proxy(int(url.rpartition(":")[2]))
    async with running_proxy(proxy, kind) as address:
        monkeypatch.setenv("ALL_PROXY", address)
        monkeypatch.setenv("NO_PROXY", "other.test, ::1,[::1")
        async with AsyncClient("http://label.test:8000", retry=PATIENT) as client:
            assert await client.alive()
            assert len((await client.detect(b"x", ["Bolt"])).detections) == 1
    assert set(proxy.asked) == {"label.test:8000"}
    assert len(fake.seen) == 1


async def test_this_machine_is_reached_without_the_proxy(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "socks5://127.0.0.1:9")
    async with AsyncClient(url) as client:
        assert await client.alive()


async def test_a_proxy_that_is_not_there_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    async with AsyncClient("http://label.test", retry=RetryPolicy(attempts=2, first_wait_s=0.01)) as client:
        with pytest.raises(ServerUnreachable, match=r"^http://label\.test cannot be reached: .*connection"):
            await client.labels()


async def test_a_named_authority_is_trusted(https_url: str, certificate: Path) -> None:
    async with AsyncClient(https_url, ca_file=certificate) as client:
        assert (await client.labels()).bundle.name == "fake"


async def test_a_certificate_that_is_not_trusted_is_said_at_once(https_url: str) -> None:
    async with AsyncClient(https_url, retry=PATIENT) as client:
        with pytest.raises(
            ServerUnreachable, match=r"its certificate is not trusted \(self.signed .*SSL_CERT_FILE .*--ca-file"
        ) as raised:
            await client.labels()
    assert raised.value.code == "tls_failed"


async def test_https_to_a_server_without_tls_is_said(url: str) -> None:
    async with AsyncClient(url.replace("http:", "https:"), retry=PATIENT) as client:
        with pytest.raises(ServerUnreachable, match=r"TLS failed \(.*\): check if its address begins with http://"):
            await client.labels()


async def test_a_redirect_is_said_with_its_target() -> None:
    app = FastAPI()

    @app.api_route("/{path:path}", methods=["GET", "POST"])
    async def moved(path: str) -> RedirectResponse:
        return RedirectResponse(f"https://label.test/{path}", 308)

    with live_server(app) as address:
        async with AsyncClient(address, retry=PATIENT) as client:
            for call in (client.reach(), client.detect(b"x", ["Bolt"])):
                with pytest.raises(
                    ServerFailed, match=r"redirects to https://label\.test/.*: give that address"
                ) as raised:
                    await call
                assert raised.value.code == "redirected"


def label(folder: Path, server: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run `weaksam label` on one image."""
    (folder / "in" / "Bolt").mkdir(parents=True)
    (folder / "in" / "Bolt" / "a.jpg").touch()
    command = [sys.executable, "-m", "weaksam", "label", str(folder / "in"), "--tags-from", "folder"]
    command += ["--server", server, "--out", str(folder / "out"), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        pytest.param({"ALL_PROXY": "ftp://proxy"}, "ALL_PROXY is 'ftp://proxy' and no proxy", id="proxy"),
        pytest.param({"SSL_CERT_FILE": "absent.pem"}, "SSL_CERT_FILE cannot be read", id="certificates"),
    ],
)
def test_the_command_line_says_it_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], sentence: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    ended = label(tmp_path, "https://label.test")
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert sentence in ended.stderr


def test_an_untrusted_certificate_is_not_told_as_a_missing_server(https_url: str, tmp_path: Path) -> None:
    ended = label(tmp_path, https_url)
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert "its certificate is not trusted" in ended.stderr
    assert "weaksam serve" not in ended.stderr


def test_a_folder_is_labelled_over_https(https_url: str, certificate: Path, tmp_path: Path) -> None:
    ended = label(tmp_path, https_url, "--ca-file", str(certificate))
    assert ended.returncode == 0, ended.stderr
