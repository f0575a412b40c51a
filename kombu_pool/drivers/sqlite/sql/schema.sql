-- The layout, version 12. Each state of a message is a table, so that a change of state does not write the body again:
-- delayed, free and claimed hold what the state needs, message holds the rest, once.

-- In one row, the identity of this store, which is random and made with the file, and the boot of the machine by whose
-- seconds claims, reservations, holders and lifetimes end; '' if they end by the wall clock. All other times are those of
-- the wall clock. moved is the last id given to a message that came with a queue from another store. As two stores hold a
-- queue while it moves, these begin at random.
CREATE TABLE store(identity TEXT NOT NULL, boot TEXT NOT NULL, moved INTEGER NOT NULL);
INSERT INTO store VALUES(lower(hex(randomblob(16))), '', abs(random() % 281474976710656));

-- The queues of this store. A deleted queue has neither project nor name until its rows are collected. No message of
-- the queue expires to its dead-letter queue before earliest_expiry; NULL if none can. The incarnation is that of the
-- assignment for which the queue was created; '' if for none. paused is 1 while no consumer may claim from it.
CREATE TABLE queue(
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    project TEXT,
    name TEXT,
    incarnation TEXT NOT NULL,
    metadata BLOB NOT NULL,
    earliest_expiry REAL,
    paused INTEGER NOT NULL DEFAULT 0,
    UNIQUE(project, name)
);
CREATE INDEX queue_expiry ON queue(earliest_expiry) WHERE earliest_expiry IS NOT NULL;

-- Every message that is neither dead nor put aside. The id is the time of the post in microseconds, and below 10**15 if
-- the message came with a queue from another store. A lower rank comes first. The record is the last column, so that the
-- others are read without it. By its key a message is found in all queues at once.
-- A unique message holds its unique_id until it is removed, or until it is claimed.
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
    key TEXT,
    unique_id TEXT,
    unique_until_claimed INTEGER,
    record BLOB NOT NULL
);
CREATE INDEX message_expiry ON message(queue, expires) WHERE expires IS NOT NULL;
CREATE INDEX message_key ON message(key, queue) WHERE key IS NOT NULL;
CREATE INDEX message_unique_id ON message(queue, unique_id) WHERE unique_id IS NOT NULL;

-- The ids that unique messages hold for a time, whatever becomes of the messages.
CREATE TABLE unique_id(
    queue INTEGER NOT NULL,
    name TEXT NOT NULL,
    message INTEGER NOT NULL,
    key TEXT,
    until REAL NOT NULL,
    PRIMARY KEY(queue, name)
) WITHOUT ROWID;
CREATE INDEX unique_id_end ON unique_id(until);

-- Free messages, in order; claim is the last claim of a message.
CREATE TABLE free(
    queue INTEGER NOT NULL,
    rank INTEGER NOT NULL,
    id INTEGER NOT NULL,
    expires REAL,
    claim_count INTEGER NOT NULL,
    claim INTEGER,
    PRIMARY KEY(queue, rank, id)
) WITHOUT ROWID;

-- Delayed messages. One that was claimed before its delay has a claim_count.
CREATE TABLE delayed(
    queue INTEGER NOT NULL,
    due REAL NOT NULL,
    id INTEGER NOT NULL,
    rank INTEGER NOT NULL,
    expires REAL,
    claim_count INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY(queue, due, id)
) WITHOUT ROWID;
CREATE INDEX delayed_order ON delayed(queue, rank, id, expires);

-- Claimed messages.
CREATE TABLE claimed(
    id INTEGER PRIMARY KEY,
    claim INTEGER NOT NULL,
    claim_count INTEGER NOT NULL
);
CREATE INDEX claimed_claim ON claimed(claim);

-- The claims. renewed and ends are seconds of the boot. earliest_expiry is the earliest expiry of the claim's messages;
-- holder names the process that holds it.
CREATE TABLE claim(
    id INTEGER PRIMARY KEY,
    queue INTEGER NOT NULL,
    ttl NOT NULL,
    renewed REAL NOT NULL,
    ends REAL NOT NULL,
    earliest_expiry REAL,
    holder TEXT
);
CREATE INDEX claim_end ON claim(queue, ends);

-- Dead messages, in the order in which they died. Until reserved_until, in seconds of the boot, one process forwards or
-- publishes the first of a queue. The rows are complete, so that no other query has to skip dead messages.
CREATE TABLE dead(
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    queue INTEGER NOT NULL,
    reason TEXT NOT NULL,
    reserved_until REAL NOT NULL,
    rank INTEGER NOT NULL,
    created REAL NOT NULL,
    ttl NOT NULL,
    expires REAL,
    client TEXT,
    claim_count INTEGER NOT NULL,
    key TEXT,
    record BLOB NOT NULL
);
CREATE INDEX dead_queue ON dead(queue);

-- Messages that are put aside, to be moved to another store: they are in no state. The rows are complete, as those of dead
-- messages are; due is NULL if the message was free. The ids are those of the messages.
CREATE TABLE aside(
    queue INTEGER NOT NULL,
    id INTEGER NOT NULL,
    rank INTEGER NOT NULL,
    created REAL NOT NULL,
    ttl NOT NULL,
    expires REAL,
    due REAL,
    client TEXT,
    claim_count INTEGER NOT NULL,
    dead_letter BLOB,
    key TEXT,
    unique_id TEXT,
    unique_until_claimed INTEGER,
    record BLOB NOT NULL,
    PRIMARY KEY(queue, id)
);

-- The queues that store batches from another store: the epoch of the process that may, and the ids, in the other store, of
-- the last batch. The row is removed when the queue gets another incarnation.
CREATE TABLE arrival(queue INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, batch TEXT NOT NULL);

-- The ids of queues and dead messages begin at random, so that an id that was read from a deleted file has no row in the
-- next one.
INSERT INTO sqlite_sequence VALUES('queue', abs(random() % 2147483648));
INSERT INTO sqlite_sequence VALUES('dead', abs(random() % 2147483648));

-- The subscriptions to a queue, which need not exist, and the first of their expiries.
CREATE TABLE subscription(
    project TEXT NOT NULL,
    queue TEXT NOT NULL,
    record BLOB NOT NULL,
    expires REAL NOT NULL,
    PRIMARY KEY(project, queue)
);

-- The control plane: the queues of all pools.
CREATE TABLE control_queue(
    project TEXT NOT NULL,
    name TEXT NOT NULL,
    metadata BLOB NOT NULL,
    PRIMARY KEY(project, name)
) WITHOUT ROWID;

-- All pools and flavors, in one row.
CREATE TABLE registry(version INTEGER NOT NULL, record BLOB NOT NULL);
INSERT INTO registry VALUES(0, x'');

-- The assignments of queues to pools. The incarnation is random, so that no other store has it either, nor a copy of this
-- one. The state is reserved, creating, active, moving or deleting. move is the queue's move to another pool, or NULL.
CREATE TABLE catalogue(
    project TEXT NOT NULL,
    queue TEXT NOT NULL,
    pool TEXT NOT NULL,
    incarnation TEXT NOT NULL,
    state TEXT NOT NULL,
    move BLOB,
    PRIMARY KEY(project, queue)
) WITHOUT ROWID;
CREATE INDEX catalogue_pool ON catalogue(pool);
CREATE INDEX catalogue_deleting ON catalogue(state) WHERE state = 'deleting';
CREATE INDEX catalogue_move ON catalogue(pool) WHERE move IS NOT NULL;

-- The sums of what all processes did with a queue, by name; a queue without an assignment has none.
CREATE TABLE counter(
    project TEXT NOT NULL,
    queue TEXT NOT NULL,
    name TEXT NOT NULL,
    total INTEGER NOT NULL,
    PRIMARY KEY(project, queue, name)
) WITHOUT ROWID;

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

-- The last generation given to any exchange, so that none is given twice.
CREATE TABLE generation(last INTEGER NOT NULL);
INSERT INTO generation VALUES(0);

-- after is NULL until the queue has a lifetime. touched is the last use by no holder that is still listed. The queue
-- expires at expires. These are seconds of the boot, like the ends of holders.
CREATE TABLE lifetime(
    project TEXT NOT NULL,
    queue TEXT NOT NULL,
    after REAL,
    touched REAL,
    expires REAL,
    PRIMARY KEY(project, queue)
) WITHOUT ROWID;
CREATE INDEX lifetime_expiry ON lifetime(expires) WHERE expires IS NOT NULL;

-- The processes that hold queues; consuming is 0 for a holder that does not consume.
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
