"""Whom to trust on encrypted connections: verification is always on."""

from __future__ import annotations

import ssl

from vidan.pipeline.errors import ConfigError


def tls_context(ca_file: str | None, certificate: str | None = None, key: str | None = None) -> ssl.SSLContext:
    """TLS 1.2 or newer, with certificates and host names verified.

    Args:
        ca_file: Certificates (PEM) of whom to trust; None: whom the system trusts.
        certificate: Of this client (PEM), where the server asks for one.
        key: Of that certificate, if it is not in the same file.

    Raises:
        ConfigError: If one of the files cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigError(f"the certificates in {ca_file} cannot be used: {error.strerror or error}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if certificate is not None:
        try:
            context.load_cert_chain(certificate, key, password=lambda: "")  # an encrypted key is an error, no question
        except OSError as error:
            files = certificate if key is None else f"{certificate} with the key {key}"
            raise ConfigError(f"the client certificate {files} cannot be used: {error.strerror or error}") from error
    return context
