"""Parameters of Kombu's as parts of a MongoDB URI."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu_pool.drivers.parameters import Network, path_is_virtual_host
from kombu_pool.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kombu_pool.drivers.uri import StoreUri


def _tls_options(uri: StoreUri, values: Mapping[str, Any]) -> Mapping[str, str]:
    if values.get("keyfile", values.get("certfile")) != values.get("certfile"):
        raise ConfigurationError(f"{uri}: ssl: PyMongo takes one file with the certificate and its key, as certfile")
    files = {"tlsCAFile": values.get("ca_certs"), "tlsCertificateKeyFile": values.get("certfile")}
    relaxed = {
        "tlsAllowInvalidCertificates": values.get("cert_reqs") == "none",
        "tlsAllowInvalidHostnames": values.get("check_hostname", True) is False,
    }
    is_named_ssl = any(name.lower() == "ssl" for name in uri.options)
    return {
        "ssl" if is_named_ssl else "tls": "true",
        **{name: str(file) for name, file in files.items() if file},
        **{name: "true" for name, is_on in relaxed.items() if is_on},
    }


NETWORK = Network(_tls_options, path_is_virtual_host)
