from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from weaksam.connection import proxy_for, tls_context

PROXY = {"http": "http://proxy:3128", "https": "proxy:3129", "all": "socks5://proxy:1080"}


@pytest.mark.parametrize(
    ("address", "variables", "expected"),
    [
        pytest.param("http://label.example", PROXY, "http://proxy:3128", id="by scheme"),
        pytest.param("https://label.example", PROXY, "http://proxy:3129", id="a proxy without a scheme is http"),
        pytest.param("http://label.example", {"all": PROXY["all"]}, "socks5://proxy:1080", id="for all schemes"),
        pytest.param("http://label.example", {"http": ""}, None, id="empty"),
        pytest.param("http://127.0.0.1:8000", PROXY, None, id="this machine"),
        pytest.param("http://127.8.9.10:8000", PROXY, None, id="this machine's other addresses"),
        pytest.param("http://localhost:8000", PROXY, None, id="localhost"),
        pytest.param("http://weaksam.localhost", PROXY, None, id="a name below localhost"),
        pytest.param("http://[::1]:8000", PROXY, None, id="this machine by IPv6"),
        pytest.param("http://0.0.0.0:8000", PROXY, None, id="where the server was told to listen"),
    ],
)
def test_the_proxy_of_a_service(address: str, variables: dict[str, str], expected: str | None) -> None:
    found = proxy_for(httpx.URL(address), variables)
    assert (None if found is None else str(found.url)) == expected


@pytest.mark.parametrize(
    ("address", "no_proxy", "excepted"),
    [
        ("http://label.example", "label.example", True),
        ("http://label.example", "example", True),
        ("http://label.example", ".example", True),
        ("http://label.example", "*.example", True),
        ("http://label.example", "LABEL.example", True),
        ("http://label.example", "*", True),
        ("http://label.example", "a.test b.test,label.example", True),
        ("http://label.example:8000", "label.example:8000", True),
        ("http://label.example:8000", "label.example:9000", False),
        ("http://label.example", "label.example:80", True),
        ("http://label.example", "http://label.example", True),
        ("http://label.example", "xlabel.example,bel.example", False),
        ("http://label.example", ",, ,", False),
        ("http://10.1.2.3:8000", "10.1.0.0/16", True),
        ("http://10.2.2.3:8000", "10.1.0.0/16", False),
        ("http://10.1.2.3:8000", "10.1.2.3:8000", True),
        ("http://10.1.2.3:8000", "10.1.2.3:8001", False),
        ("http://[fd00::1]:8000", "[fd00::1]", True),
        ("http://[fd00::1]:8000", "fd00::/8", True),
        ("http://[fd00::1]:8000", "[fd00::1", True),
        ("http://label.example", "::1,[::1],[::1,host:abc,http://x:99999,10.0.0.0/99", False),
    ],
)
def test_hosts_that_need_no_proxy(address: str, no_proxy: str, excepted: bool) -> None:
    assert (proxy_for(httpx.URL(address), {**PROXY, "no": no_proxy}) is None) is excepted


@pytest.mark.parametrize("text", ["ftp://proxy:21", "socks4://proxy:1080", "http://proxy:port"])
def test_what_is_no_proxy_is_named_with_its_variable(text: str) -> None:
    with pytest.raises(ValueError, match=r"^ALL_PROXY is '.*' and no proxy .*set NO_PROXY=label\.example$"):
        proxy_for(httpx.URL("http://label.example"), {"all": text})


def test_what_holds_no_certificates_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty.pem").touch()
    for name in ("absent.pem", "empty.pem"):
        with pytest.raises(ValueError, match=rf"ca_file .*{name} cannot be read as certificates .* PEM format"):
            tls_context(tmp_path / name)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "absent.pem"))
    with pytest.raises(ValueError, match="^SSL_CERT_FILE cannot be read"):
        tls_context(None)
