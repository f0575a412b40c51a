"""Zaqar's storage classes over the drivers of kombu_pool.

A verb or a hook of a Zaqar controller calls the verb of the same name here; an error becomes Zaqar's of the same name.
"""

from __future__ import annotations

import contextlib
import functools

from oslo_config import cfg
from oslo_utils import timeutils
from zaqar import storage
from zaqar.storage import errors as zaqar_errors

from kombu_pool import conf as settings
from kombu_pool import drivers, pooling
from kombu_pool.errors import KombuPoolError

STORES = (settings.MEMORY_GROUP, settings.SQLITE_GROUP, settings.REDIS_GROUP, settings.MONGODB_GROUP)


class OsloClock:
    """The time in whole seconds that Zaqar's tests replace."""

    def time(self):
        return float(timeutils.utcnow_ts())

    def elapsed(self):
        return self.time()

    def boot_id(self):
        return ""


@contextlib.contextmanager
def translated():
    """Raise Zaqar's error of the same name, or of the nearest base's; an error that Zaqar lacks stays."""
    try:
        yield
    except KombuPoolError as error:
        classes = (getattr(zaqar_errors, base.__name__, None) for base in type(error).__mro__)
        theirs = next(filter(None, classes), None)
        if theirs is None:
            raise
        has_values = theirs.__init__ is not zaqar_errors.ExceptionBase.__init__
        raise (theirs(*error.args) if has_values else theirs()) from error


def _delegate(attribute, verb):
    def call(self, *args, **named):
        with translated():
            return getattr(getattr(self.driver.ours, attribute), verb)(*args, **named)

    return call


def adapted(base, attribute):
    """Return a subclass of a Zaqar controller that calls the controller ``attribute`` of the driver under test."""
    verbs = [name for name in dir(base) if not name.startswith("__") and callable(getattr(base, name))]
    return type(base)(base.__name__, (base,), {name: _delegate(attribute, name.lstrip("_")) for name in verbs})


Queue = adapted(storage.Queue, "queue_controller")
Message = adapted(storage.Message, "message_controller")
Claim = adapted(storage.Claim, "claim_controller")
Subscription = adapted(storage.Subscription, "subscription_controller")
Pools = adapted(storage.PoolsBase, "pools_controller")
Catalogue = adapted(storage.CatalogueBase, "catalogue_controller")
Flavors = adapted(storage.FlavorsBase, "flavors_controller")


class ControlDriver(storage.ControlDriverBase):
    """The control store at ``uri``, which a subclass names."""

    uri = ""
    queue_controller = property(Queue)
    pools_controller = property(Pools)
    catalogue_controller = property(Catalogue)
    flavors_controller = property(Flavors)
    topic_controller = None

    @functools.cached_property
    def ours(self):
        return drivers.open_control(self.uri, clock=OsloClock())

    def close(self):
        self.ours.close()


class DataDriver(storage.DataDriverBase):
    """The message store at the first of ``uris``, which a subclass names."""

    uris = ()
    queue_controller = property(Queue)
    message_controller = property(Message)
    claim_controller = property(Claim)
    subscription_controller = property(Subscription)
    capabilities = ()

    def __init__(self, conf, cache, control):
        super().__init__(conf, cache, control)
        self._opened = {}

    @property
    def ours(self):
        """The driver with the present option: a test sets it when the driver is in use."""
        enable_checksum = self.conf.enable_checksum
        if enable_checksum not in self._opened:
            conf = cfg.ConfigOpts()
            settings.register_opts(conf)
            for group in STORES:
                conf.set_override("enable_checksum", enable_checksum, group=group)
            self._opened[enable_checksum] = self._open(conf)
        return self._opened[enable_checksum]

    def _open(self, conf):
        return drivers.open_data(self.uris[0], conf=conf, clock=OsloClock())

    def gc(self):
        return self.ours.gc()

    def is_alive(self):
        return self.ours.is_alive()

    def _health(self):
        return self.ours.health()

    def close(self):
        for opened in self._opened.values():
            opened.close()


class PooledDriver(DataDriver):
    """Pooling over the stores at all ``uris``."""

    def _open(self, conf):
        control = self.control_driver.ours
        for number, uri in enumerate(self.uris):
            control.pools_controller.create(str(number), 100, uri)
        return pooling.DataDriver(conf, None, control, clock=OsloClock())
