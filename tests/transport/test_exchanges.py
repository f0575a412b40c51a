"""Exchanges and bindings: where a message goes, whichever process made the binding."""

from __future__ import annotations

import pytest
from amqp.exceptions import NotFound, PreconditionFailed
from kombu import Exchange, Producer, Queue

from tests.support.transport.traffic import consume, count, declare, outlast_trust, publish, take_all


def bound(channel, exchange, kind, **keys):
    """Declare an exchange, and a queue bound to it for each name, with its routing key."""
    channel.exchange_declare(exchange, kind)
    for queue, key in keys.items():
        channel.queue_declare(queue)
        channel.queue_bind(queue, exchange, key)


def filled(channel, *queues):
    return {queue: take_all(channel, queue) for queue in queues}


def test_a_direct_exchange_leads_to_the_queues_bound_with_that_key(channel):
    bound(channel, "e", "direct", q="k", r="other", s="k")

    publish(channel, "k", "a", exchange="e")

    assert filled(channel, "q", "r", "s") == {"q": ["a"], "r": [], "s": ["a"]}


def test_a_topic_exchange_leads_by_pattern(channel):
    bound(channel, "e", "topic", q="a.#", r="*.b", s="#", t="a.b.c.*")

    for key in ("a", "a.b", "x.b", "a.b.c"):
        publish(channel, key, key, exchange="e")

    assert filled(channel, "q", "r", "s", "t") == {
        "q": ["a", "a.b", "a.b.c"],
        "r": ["a.b", "x.b"],
        "s": ["a", "a.b", "x.b", "a.b.c"],
        "t": [],
    }


def test_a_fanout_exchange_leads_everywhere_whatever_the_key(channel):
    bound(channel, "e", "fanout", q="", r="ignored")

    publish(channel, "any", "a", exchange="e")

    assert filled(channel, "q", "r") == {"q": ["a"], "r": ["a"]}


def test_a_headers_exchange_leads_by_headers(channel):
    channel.exchange_declare("e", "headers")
    declare(channel, "q", "r")
    channel.queue_bind("q", "e", arguments={"x-match": "all", "type": "report", "urgent": True})
    channel.queue_bind("r", "e", arguments={"x-match": "any", "type": "report", "urgent": True})

    publish(channel, "", "a", exchange="e", headers={"type": "report", "urgent": False})
    publish(channel, "", "b", exchange="e", headers={"type": "report", "urgent": True})

    assert filled(channel, "q", "r") == {"q": ["b"], "r": ["a", "b"]}


def test_an_exchange_leads_on_to_another(channel):
    bound(channel, "inner", "topic", q="a.#")
    channel.exchange_declare("outer", "direct")
    channel.exchange_bind("inner", "outer", "a.b")

    publish(channel, "a.b", "through", exchange="outer")
    publish(channel, "a.c", "not bound", exchange="outer")

    assert take_all(channel, "q") == ["through"]


def test_exchanges_that_lead_to_each_other_deliver_once(channel):
    bound(channel, "one", "fanout", q="")
    bound(channel, "two", "fanout", q="")
    channel.exchange_bind("one", "two")
    channel.exchange_bind("two", "one")

    publish(channel, "", "a", exchange="one")

    assert take_all(channel, "q") == ["a"]


def test_a_binding_between_exchanges_can_be_undone(channel):
    bound(channel, "inner", "fanout", q="")
    channel.exchange_declare("outer", "fanout")
    channel.exchange_bind("inner", "outer")
    publish(channel, "", "a", exchange="outer")

    channel.exchange_unbind("inner", "outer")
    publish(channel, "", "b", exchange="outer")

    assert take_all(channel, "q") == ["a"]


def test_a_queue_bound_twice_gets_a_message_once(channel):
    bound(channel, "e", "topic", q="a.*")
    channel.queue_bind("q", "e", "#")

    publish(channel, "a.b", "a", exchange="e")

    assert take_all(channel, "q") == ["a"]


@pytest.mark.parametrize(("exchange", "key"), [("amq.direct", "k"), ("amq.topic", "k"), ("amq.fanout", "")])
def test_the_predeclared_exchanges_need_no_declaration(channel, exchange, key):
    declare(channel, "q")
    channel.queue_bind("q", exchange, key)

    publish(channel, "k", "a", exchange=exchange)

    assert take_all(channel, "q") == ["a"]


def test_the_predeclared_headers_exchange_leads_by_headers(channel):
    declare(channel, "q")
    channel.queue_bind("q", "amq.headers", arguments={"a": 1})

    publish(channel, "", "a", exchange="amq.headers", headers={"a": 1})

    assert take_all(channel, "q") == ["a"]


def test_the_predeclared_exchanges_can_be_looked_for(channel):
    channel.exchange_declare("amq.topic", "topic", passive=True)


def test_publishing_to_a_predeclared_exchange_with_nothing_bound_drops_the_message(channel):
    publish(channel, "k", "a", exchange="amq.topic")


def test_a_mandatory_message_that_no_binding_takes_is_returned(channel):
    returned = []
    bound(channel, "e", "direct", q="k")
    producer = Producer(channel, on_return=lambda *arguments: returned.append(arguments))

    producer.publish("a", exchange="e", routing_key="other", mandatory=True)

    [(_, exchange, routing_key, _)] = returned
    assert (exchange, routing_key) == ("e", "other")


def test_declaring_an_exchange_again_keeps_its_bindings(channel):
    bound(channel, "e", "direct", q="k")

    channel.exchange_declare("e", "direct")
    publish(channel, "k", "a", exchange="e")

    assert take_all(channel, "q") == ["a"]


def test_declaring_an_exchange_as_another_type_is_refused(channel):
    channel.exchange_declare("e", "direct")

    with pytest.raises(PreconditionFailed, match="of type 'direct', not 'topic'"):
        channel.exchange_declare("e", "topic")


def test_an_unknown_type_of_exchange_is_refused_with_those_that_there_are(channel):
    with pytest.raises(PreconditionFailed, match="no exchange type 'x-magic'; there are direct, fanout"):
        channel.exchange_declare("e", "x-magic")


def test_looking_for_an_exchange_that_is_not_there_says_so(channel):
    with pytest.raises(NotFound, match="no exchange 'e'"):
        channel.exchange_declare("e", passive=True)


def test_binding_to_what_is_not_there_says_so(channel):
    declare(channel, "q")

    with pytest.raises(NotFound, match="no exchange 'e'"):
        channel.queue_bind("q", "e", "k")
    channel.exchange_declare("e", "direct")
    with pytest.raises(NotFound, match="no queue 'absent'"):
        channel.queue_bind("absent", "e", "k")


def test_a_binding_made_elsewhere_leads_there_too(channel, elsewhere):
    bound(channel, "e", "direct", q="k")
    publish(channel, "k", "before", exchange="e")

    bound(elsewhere.channel(), "e", "direct", r="k")
    outlast_trust(channel)
    publish(channel, "k", "after", exchange="e")

    assert filled(channel, "q", "r") == {"q": ["before", "after"], "r": ["after"]}


def test_a_binding_undone_elsewhere_leads_no_more(channel, elsewhere):
    bound(channel, "e", "direct", q="k", r="k")
    publish(channel, "k", "before", exchange="e")

    elsewhere.channel().queue_unbind("r", "e", "k")
    outlast_trust(channel)
    publish(channel, "k", "after", exchange="e")

    assert filled(channel, "q", "r") == {"q": ["before", "after"], "r": ["before"]}


def test_a_binding_made_behind_a_known_way_leads_at_once(channel, elsewhere):
    bound(channel, "inner", "fanout", q="")
    channel.exchange_declare("outer", "fanout")
    channel.exchange_bind("inner", "outer")
    publish(channel, "", "before", exchange="outer")

    bound(elsewhere.channel(), "inner", "fanout", r="")
    publish(channel, "", "after", exchange="outer")

    assert filled(channel, "q", "r") == {"q": ["before", "after"], "r": ["after"]}


def test_bindings_of_another_process_lead_and_end(shared_url, opened, programs):
    channel = opened(shared_url).channel()
    bound(channel, "e", "direct", q="k")
    publish(channel, "k", "before", exchange="e")

    programs.run("bind", url=shared_url, exchange="e", queue="r", key="k")
    outlast_trust(channel)
    publish(channel, "k", "bound", exchange="e")
    programs.run("unbind", url=shared_url, exchange="e", queue="r", key="k")
    outlast_trust(channel)
    publish(channel, "k", "unbound", exchange="e")

    assert filled(channel, "q", "r") == {"q": ["before", "bound", "unbound"], "r": ["bound"]}


def test_a_broadcast_published_before_a_bound_queue_has_a_consumer_arrives_when_it_comes(channel, elsewhere):
    Queue("q", Exchange("news", type="fanout"))(channel).declare()

    publish(elsewhere.channel(), "", "broadcast", exchange="news")

    assert consume(channel, "q").wait_for(1)[0].payload == "broadcast"


def test_deleting_an_exchange_keeps_its_queues_and_their_messages(channel, elsewhere):
    bound(channel, "e", "direct", q="k")
    publish(channel, "k", "a", exchange="e")

    elsewhere.channel().exchange_delete("e")
    outlast_trust(channel)

    assert count(channel, "q") == 1
    with pytest.raises(NotFound, match="no exchange 'e'"):
        publish(channel, "k", "b", exchange="e")


def test_an_exchange_that_is_declared_anew_has_none_of_its_old_bindings(channel):
    bound(channel, "e", "direct", q="k")
    channel.exchange_delete("e")

    channel.exchange_declare("e", "fanout")
    publish(channel, "k", "a", exchange="e")

    assert take_all(channel, "q") == []


def test_an_exchange_in_use_is_not_deleted_if_unused(channel):
    bound(channel, "e", "direct", q="k")
    with pytest.raises(PreconditionFailed, match="exchange 'e' in use"):
        channel.exchange_delete("e", if_unused=True)

    channel.queue_unbind("q", "e", "k")
    channel.exchange_delete("e", if_unused=True)

    with pytest.raises(NotFound):
        channel.exchange_declare("e", passive=True)


def test_an_auto_delete_exchange_goes_with_its_last_binding(channel):
    channel.exchange_declare("e", "direct", auto_delete=True)
    declare(channel, "q", "r")
    channel.queue_bind("q", "e", "k")
    channel.queue_bind("r", "e", "k")

    channel.queue_unbind("q", "e", "k")
    channel.exchange_declare("e", passive=True)
    channel.queue_delete("r")

    with pytest.raises(NotFound):
        channel.exchange_declare("e", passive=True)


def test_a_deleted_queue_takes_its_bindings_along(channel):
    bound(channel, "e", "direct", q="k")

    channel.queue_delete("q")
    declare(channel, "q")
    publish(channel, "k", "a", exchange="e")

    assert take_all(channel, "q") == []


def test_kombus_manager_lists_the_bindings(channel, connection):
    bound(channel, "e", "direct", q="k")

    bindings = connection.get_manager().get_bindings()

    assert {"destination": "q", "source": "e", "routing_key": "k"} in bindings


def test_exchanges_of_projects_are_apart(connect):
    ours, theirs = connect(project="ours").channel(), connect(project="theirs").channel()
    bound(ours, "e", "fanout", q="")
    bound(theirs, "e", "fanout", q="")

    publish(ours, "", "a", exchange="e")

    assert (count(ours, "q"), count(theirs, "q")) == (1, 0)


# Alternate exchanges.


def alternate(channel, name, **arguments):
    channel.exchange_declare(name, "direct", arguments={"alternate-exchange": "else", **arguments})


def test_what_leads_nowhere_goes_to_the_alternate_exchange(channel):
    alternate(channel, "x")
    Queue("rest", Exchange("else", "fanout"), channel=channel).declare()
    declare(channel, "q")
    channel.queue_bind("q", "x", "known")
    Producer(channel).publish("a", exchange="x", routing_key="known")
    Producer(channel).publish("b", exchange="x", routing_key="unknown")

    assert take_all(channel, "q") == ["a"]
    assert take_all(channel, "rest") == ["b"]


def test_an_alternate_exchange_need_not_be_there(channel):
    alternate(channel, "x")
    returned = []
    channel.events["basic_return"].add(lambda *what: returned.append(what[1:3]))

    Producer(channel).publish("a", exchange="x", routing_key="unknown", mandatory=True)

    assert returned == [("x", "unknown")]


def test_alternate_exchanges_may_lead_in_circles(channel):
    alternate(channel, "x")
    channel.exchange_declare("else", "direct", arguments={"alternate-exchange": "x"})

    Producer(channel).publish("a", exchange="x", routing_key="unknown")
