from __future__ import annotations

import subprocess
import sys

import pytest
from oslo_config import cfg, generator

from kombu_pool import conf, errors
from kombu_pool.pooling import Catalog


def read(tmp_path, text):
    path = tmp_path / "kombu_pool.conf"
    path.write_text(text)
    found = cfg.ConfigOpts()
    found(["--config-file", str(path)])
    return found


def test_the_catalogs_options_come_from_the_configuration_file(control, tmp_path):
    conf_file = read(tmp_path, "[pooling:catalog]\ncache_ttl = 2.5\nenable_virtual_pool = no\n")

    catalog = Catalog(conf_file, None, control)

    assert catalog.ttl == 2.5
    with pytest.raises(errors.NoPoolFound):
        catalog.register("q")


def test_without_a_configuration_the_defaults_hold(control):
    assert Catalog(None, None, control).ttl == 10.0


@pytest.mark.parametrize(
    ("line", "message"),
    [("cache_ttl = -1", "cache_ttl"), ("cache_ttl = soon", "cache_ttl"), ("enable_virtual_pool = x", "x")],
)
def test_a_value_that_cannot_work_is_refused_by_name(control, tmp_path, line, message):
    with pytest.raises(errors.ConfigurationError, match=message):
        Catalog(read(tmp_path, f"[pooling:catalog]\n{line}\n"), None, control)


def test_a_ttl_of_0_trusts_nothing(control, tmp_path, stores):
    catalog = Catalog(read(tmp_path, "[pooling:catalog]\ncache_ttl = 0\n"), None, control)
    for name in ("a", "b"):
        control.pools_controller.create(name, 100, stores.uri(name))
    control.catalogue_controller.insert(None, "q", "a")
    assert catalog.pool_of("q") == "a"
    assert catalog.lookup("q") is catalog.get_driver("a")

    control.catalogue_controller.update(None, "q", "b")

    assert catalog.pool_of("q") == "b"
    assert catalog.lookup("q") is catalog.get_driver("b")


def test_two_catalogs_may_share_a_configuration(control, tmp_path):
    conf_file = read(tmp_path, "[pooling:catalog]\ncache_ttl = 3\n")

    assert Catalog(conf_file, None, control).ttl == Catalog(conf_file, None, control).ttl == 3


@pytest.mark.parametrize(
    "uri", ["memory://x?nonsense=1", "memory://x?max_message_size=0", "memory://x?max_message_size=a"]
)
def test_a_pool_of_an_unknown_option_or_a_value_out_of_range_is_refused_by_name(empty, uri):
    empty.control.pools_controller.create("a", 100, uri)

    with pytest.raises(errors.ConfigurationError, match=uri.partition("?")[2].partition("=")[0]):
        empty.catalog.get_driver("a")


def test_every_option_has_a_type_a_help_and_a_default_that_fits():
    for group, opts in conf.list_opts():
        assert group
        for opt in opts:
            assert opt.help, opt.name
            assert opt.help.endswith("."), opt.name
            if opt.default is not None:
                assert opt.type(opt.default) == opt.default


def test_a_sample_configuration_can_be_generated(tmp_path):
    sample = tmp_path / "sample.conf"
    groups = [("kombu_pool", conf.list_opts())]

    with sample.open("w") as output:
        settings = cfg.ConfigOpts()
        generator.register_cli_opts(settings)
        settings(["--namespace", "kombu_pool"])
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(generator, "_list_opts", lambda _: groups)
            generator.generate(settings, output_file=output)

    text = sample.read_text()
    assert "[pooling:catalog]" in text
    assert "#enable_virtual_pool = true" in text
    assert "#cache_ttl = 10.0" in text


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [("kombu_pool", ("oslo_config", "sqlite3", "msgspec")), ("kombu_pool.transport", ("oslo_config", "pymongo"))],
)
def test_importing_a_module_loads_nothing_that_it_may_not_need(module, unwanted):
    script = f"import {module}, sys; print([m for m in {unwanted} if m in sys.modules])"

    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert answer.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("option", "value", "reason"),
    [
        ("enable_checksum", "maybe", "must be one of true"),
        ("busy_timeout", "soon", "must be a number"),
        ("busy_timeout", "nan", "must be greater than or equal to 0"),
        ("busy_timeout", True, "must be a number"),
        ("wal_size_limit", "", "must be a whole number"),
        ("wal_size_limit", 1.5, "must be a whole number"),
        ("synchronous", "OFF", "must be one of FULL, NORMAL"),
    ],
)
def test_an_invalid_value_is_refused_with_what_it_must_be(option, value, reason):
    with pytest.raises(errors.ConfigurationError, match=f"here: invalid {option}=.*: {reason}"):
        conf.options(conf.SQLITE, {option: value}, where="here")


@pytest.mark.parametrize(
    ("option", "value", "meant"),
    [
        ("enable_checksum", " On", True),
        ("enable_checksum", 0, False),
        ("busy_timeout", "3", 3.0),
        ("synchronous", "full", "FULL"),
    ],
)
def test_a_value_may_be_a_text(option, value, meant):
    assert conf.options(conf.SQLITE, {option: value}, where="here")[option] == meant


@pytest.mark.parametrize("group", conf.GROUPS)
def test_stores_of_one_kind_share_a_configuration(group):
    shared = cfg.ConfigOpts()
    shared([])

    first, second = (conf.options(conf.GROUPS[group], {}, where="here", conf=shared, group=group) for _ in range(2))

    assert first == second
    conf.register_opts(shared)


def test_a_driver_may_have_options_of_oslo_config():
    assert conf.options([cfg.IntOpt("size", default=3)], {"size": "4"}, where="here") == {"size": 4}
