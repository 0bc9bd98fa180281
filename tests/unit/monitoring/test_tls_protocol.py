"""Cipher suites have the names of IANA, and those of OpenSSL for the libraries."""

import ssl

import pytest

from statefulroute.monitoring.tls_protocol import CipherSuite, TlsProtocol, TlsVersion, parse_cipher_suites

ONE, OTHER = CipherSuite.ECDHE_RSA_AES_128, CipherSuite.ECDHE_ECDSA_CHACHA20


def test_openssl_knows_every_cipher_suite_and_uses_it_by_default() -> None:
    default = {each["name"] for each in ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).get_ciphers()}
    assert {suite.openssl_name for suite in CipherSuite} < default


def test_both_libraries_get_the_same_names() -> None:
    protocol = TlsProtocol(cipher_suites=(ONE, OTHER))
    assert protocol.openssl_ciphers == "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305"
    assert protocol.grpc_ciphers == protocol.openssl_ciphers


def test_by_default_the_libraries_choose() -> None:
    assert (TlsProtocol().openssl_ciphers, TlsProtocol().grpc_ciphers) == (None, None)


def test_grpc_gets_no_cipher_suite_of_a_version_that_is_too_low() -> None:
    chosen = TlsProtocol(TlsVersion.TLS_1_3, (ONE,)).grpc_ciphers
    assert chosen is not None
    assert chosen not in {suite.openssl_name for suite in CipherSuite}


def test_names_are_separated_by_commas() -> None:
    assert parse_cipher_suites(f"{ONE}, {OTHER}", "--x") == (ONE, OTHER)
    assert parse_cipher_suites(None, "--x") == ()


@pytest.mark.parametrize("name", ["", "ECDHE-RSA-AES128-GCM-SHA256", "TLS_AES_128_GCM_SHA256", str(ONE).lower()])
def test_unknown_name_raises_with_all_known_ones(name: str) -> None:
    with pytest.raises(ValueError, match=r"^--x has ") as error:
        parse_cipher_suites(f"{ONE},{name}", "--x")
    assert repr(name) in str(error.value)
    assert all(suite in str(error.value) for suite in CipherSuite)
