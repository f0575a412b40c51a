"""No password is in a text that is shown, whatever it holds."""

from __future__ import annotations

from contextlib import suppress

import pytest

from kombu_pool import errors
from kombu_pool.drivers import capabilities_of, mask, mask_uri, open_data, parse, show
from kombu_pool.drivers.parameters import Parameters
from kombu_pool.drivers.registry import StoredPool
from kombu_pool.pooling.pool_handle import Settings

SECRETS = ["s3cret", *(f"a{odd}s3cret" for odd in "; /?#@:&="), *(f"s3cret{odd}b" for odd in "; /?#@:&="), "1?s3cret"]


def uris(secret):
    """Return URIs with a password, in each place for one."""
    return [
        f"redis://user:{secret}@h:1/0",
        f"redis://:{secret}@h",
        f"rediss+sentinel://u:{secret}@h1:1,h2:2/main/0?db=1",
        f"mongodb://u:{secret}@h1,h2/x?replicaSet=r",
    ]


@pytest.mark.parametrize("secret", SECRETS)
def test_no_part_of_a_password_is_left_in_a_uri(secret):
    for uri in uris(secret):
        assert "s3cret" not in mask_uri(uri)
        assert mask_uri(uri).startswith(uri.partition(":")[0])


@pytest.mark.parametrize("secret", SECRETS)
def test_no_part_of_a_password_is_left_in_a_text_with_a_uri_that_was_parsed(secret):
    for uri in uris(secret):
        with suppress(errors.ConfigurationError):
            parse(uri)

        assert "s3cret" not in mask(f"cannot reach {uri!s}, or so it seems")


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("redis://u:p@h:1/0?sentinel_password=a;b&db=2", "redis://u:**@h:1/0?sentinel_password=**&db=2"),
        (
            "mongodb://h/x?authMechanismProperties=AWS_SESSION_TOKEN:x&w=2",
            "mongodb://h/x?authMechanismProperties=**&w=2",
        ),
        ("mongodb://h/?tlsCertificateKeyFilePassword=a%20b", "mongodb://h/?tlsCertificateKeyFilePassword=**"),
        ("redis://u:p@h:1/0?client=a@b", "redis://u:**@h:1/0?client=a@b"),
        ("redis://u@h:1/0", "redis://u@h:1/0"),
        ("redis://h:1/0", "redis://h:1/0"),
        ("redis://[::1]:6379/0", "redis://[::1]:6379/0"),
        ("sqlite:////a:b@c/x.db", "sqlite:////a:b@c/x.db"),
        ("pool:///shop", "pool:///shop"),
        ("no uri", "no uri"),
    ],
)
def test_the_rest_of_a_uri_is_shown(uri, shown):
    assert mask_uri(uri) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("AWS_SESSION_TOKEN:abc is wrong", "AWS_SESSION_TOKEN:** is wrong"),
        ("mail a@b: no such user", "mail a@b: no such user"),
        ("token: expired", "token: expired"),
    ],
)
def test_a_text_without_a_uri(text, shown):
    assert mask(text) == shown


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("shape", ["{}", "a list", "a mapping", "an option", "a property", "bytes", "a number"])
def test_a_value_that_a_user_gave_is_shown_without_passwords(secret, shape):
    uri = uris(secret)[0]
    value = {
        "{}": uri,
        "a list": [("a", uri), {uri}],
        "a mapping": {"a": {"uri": uri}},
        "an option": {"options": {"sentinel_password": secret}},
        "a property": {"options": {"authMechanismProperties": {"AWS_SESSION_TOKEN": secret}}},
        "bytes": [uri.encode()],
        "a number": {"password": 53},
    }[shape]

    assert "s3cret" not in show(value)
    assert "53" not in show(value)


@pytest.mark.parametrize("secret", SECRETS)
def test_no_representation_of_settings_shows_a_password(secret):
    for uri in uris(secret):
        for settings in (
            Settings(uri, {"sentinel_password": secret}),
            StoredPool(uri, 1, None, secret.encode()),
            Parameters("u", secret, 7, "/", {"keyfile": "/k"}),
        ):
            assert "s3cret" not in repr(settings)
            assert "s3cret" not in str(settings)


@pytest.mark.parametrize("secret", SECRETS)
def test_no_error_of_a_driver_shows_a_password(secret):
    for uri in uris(secret):
        for call in (open_data, lambda uri: open_data(f"{uri}&colour=1"), lambda uri: capabilities_of(f"x{uri}")):
            with pytest.raises(errors.KombuPoolError) as caught:
                call(uri).queue_controller.exists("q")

            assert "s3cret" not in f"{caught.value} {caught.value.__cause__}"
