-- The schema, version 1. A state of a message is a table, so that a message changes state without its body being
-- written again: delayed, free and claimed hold what the state needs, message holds the rest, once.

-- The queues of this store. A deleted one has neither project nor name until its rows are collected. first_death is a
-- time before which none of its messages is dead for having expired; NULL where no message can be.
CREATE TABLE queue(
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    project TEXT,
    name TEXT,
    metadata BLOB NOT NULL,
    first_death REAL,
    UNIQUE(project, name)
);
CREATE INDEX queue_death ON queue(first_death) WHERE first_death IS NOT NULL;

-- Every message. Its id tells its place in time (microseconds); a lower rank comes first; the record comes last, so that
-- the other columns are read without it.
CREATE TABLE message(
    id INTEGER PRIMARY KEY,
    queue INTEGER NOT NULL,
    rank INTEGER NOT NULL,
    created REAL NOT NULL,
    ttl NOT NULL,
    expires REAL,
    due REAL,
    client TEXT,
    dead_letter BLOB,
    record BLOB NOT NULL
);
CREATE INDEX message_expiry ON message(queue, expires) WHERE expires IS NOT NULL;

-- Messages that may be claimed, in order; claim is the one that held it last.
CREATE TABLE free(
    queue INTEGER NOT NULL,
    rank INTEGER NOT NULL,
    id INTEGER NOT NULL,
    expires REAL,
    claim_count INTEGER NOT NULL,
    claim INTEGER,
    PRIMARY KEY(queue, rank, id)
) WITHOUT ROWID;

-- Messages that nobody may claim before they are due.
CREATE TABLE delayed(
    queue INTEGER NOT NULL,
    due REAL NOT NULL,
    id INTEGER NOT NULL,
    rank INTEGER NOT NULL,
    expires REAL,
    PRIMARY KEY(queue, due, id)
) WITHOUT ROWID;
CREATE INDEX delayed_order ON delayed(queue, rank, id, expires);

-- Messages that a claim holds, until it ends.
CREATE TABLE claimed(
    id INTEGER PRIMARY KEY,
    claim INTEGER NOT NULL,
    claim_count INTEGER NOT NULL
);
CREATE INDEX claimed_claim ON claimed(claim);

-- The claims. expires is when the first of its messages does.
CREATE TABLE claim(
    id INTEGER PRIMARY KEY,
    queue INTEGER NOT NULL,
    ttl NOT NULL,
    renewed REAL NOT NULL,
    ends REAL NOT NULL,
    expires REAL
);
CREATE INDEX claim_end ON claim(queue, ends);

-- Messages that wait to be buried, in the order of their deaths; until it is no longer parked, somebody is at the first.
-- They are here with all that they are, so that nothing that looks for messages has to pass them over.
CREATE TABLE dead(
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    queue INTEGER NOT NULL,
    reason TEXT NOT NULL,
    parked REAL NOT NULL,
    rank INTEGER NOT NULL,
    created REAL NOT NULL,
    ttl NOT NULL,
    expires REAL,
    client TEXT,
    claim_count INTEGER NOT NULL,
    record BLOB NOT NULL
);
CREATE INDEX dead_queue ON dead(queue);

CREATE TABLE subscription(
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    queue INTEGER NOT NULL,
    subscriber TEXT NOT NULL,
    ttl NOT NULL,
    created REAL NOT NULL,
    expires REAL,
    options BLOB NOT NULL,
    confirmed INTEGER NOT NULL,
    UNIQUE(queue, subscriber)
);

-- The control plane: all queues, wherever they live.
CREATE TABLE queue_record(
    project TEXT NOT NULL,
    name TEXT NOT NULL,
    metadata BLOB NOT NULL,
    PRIMARY KEY(project, name)
) WITHOUT ROWID;

CREATE TABLE pool(
    name TEXT PRIMARY KEY NOT NULL,
    uri TEXT NOT NULL UNIQUE,
    weight INTEGER NOT NULL,
    flavor TEXT,
    options BLOB NOT NULL
) WITHOUT ROWID;

CREATE TABLE flavor(
    project TEXT NOT NULL,
    name TEXT NOT NULL,
    capabilities BLOB NOT NULL,
    PRIMARY KEY(project, name)
) WITHOUT ROWID;

CREATE TABLE catalogue(
    project TEXT NOT NULL,
    queue TEXT NOT NULL,
    pool TEXT NOT NULL,
    PRIMARY KEY(project, queue)
) WITHOUT ROWID;
CREATE INDEX catalogue_pool ON catalogue(pool);

CREATE TABLE exchange(
    project TEXT NOT NULL,
    name TEXT NOT NULL,
    type TEXT NOT NULL,
    durable INTEGER NOT NULL,
    auto_delete INTEGER NOT NULL,
    arguments BLOB NOT NULL,
    generation INTEGER NOT NULL,
    PRIMARY KEY(project, name)
) WITHOUT ROWID;

CREATE TABLE binding(
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    project TEXT NOT NULL,
    exchange TEXT NOT NULL,
    destination_type TEXT NOT NULL,
    destination TEXT NOT NULL,
    routing_key TEXT NOT NULL,
    arguments BLOB NOT NULL,
    UNIQUE(project, exchange, destination_type, destination, routing_key, arguments)
);
CREATE INDEX binding_destination ON binding(project, destination_type, destination);

-- The last generation that any exchange had, so that none is used twice.
CREATE TABLE generation(last INTEGER NOT NULL);
INSERT INTO generation VALUES(0);

-- after is NULL until the queue has a lifetime; touched is when it was last used by no holder that is still listed; due is
-- when it counts as abandoned.
CREATE TABLE lifetime(
    project TEXT NOT NULL,
    queue TEXT NOT NULL,
    after REAL,
    touched REAL,
    due REAL,
    PRIMARY KEY(project, queue)
) WITHOUT ROWID;
CREATE INDEX lifetime_due ON lifetime(due) WHERE due IS NOT NULL;

CREATE TABLE holder(
    name TEXT NOT NULL,
    project TEXT NOT NULL,
    queue TEXT NOT NULL,
    ends REAL NOT NULL,
    consuming INTEGER NOT NULL,
    PRIMARY KEY(name, project, queue)
) WITHOUT ROWID;
CREATE INDEX holder_queue ON holder(project, queue, ends, consuming);
CREATE INDEX holder_end ON holder(ends);
