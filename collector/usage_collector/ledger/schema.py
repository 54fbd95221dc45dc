"""The tables of one ledger.

``meta``: ``format``, ``ledger`` (the id), ``began`` (µs), ``purged`` (up to which position),
``indexed`` (up to which position ``ids`` holds all; of later ones it may hold some), ``sealed``
(up to which position small blocks were packed together),
``purged_unsent`` (JSON, runs of positions that were purged though they were not sent),
``purged_receipts`` (JSON, purged positions with when those up to there were received, µs),
``proven`` (µs, the last commit for its own sake).

``blocks``: consecutive events, compressed together. ``size`` is their plain bytes, ``jobs`` and
``realtime_ms`` what they weigh, ``received`` when they were stored (µs); ``dictionary`` names the
zstd dictionary that is needed to read them, NULL for none.

``ids``: the short id of each event, which begins with its time: the guard against duplicates
and the index by time in one. ``weight`` is -1 for a batch job, the milliseconds of an ended
real-time session, NULL for what does not count. ``untimed`` files events without a time under
the time of their receipt.

``marks``: h(n) of each hundredth position. ``identities``: who was billed, kept longer than the
events. ``dictionaries`` are stored twice, since without one nothing can be read.
"""

SQL = """
CREATE TABLE meta(name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE blocks(
  first INTEGER PRIMARY KEY, count INTEGER NOT NULL, received INTEGER NOT NULL,
  size INTEGER NOT NULL, jobs INTEGER NOT NULL, realtime_ms INTEGER NOT NULL,
  dictionary INTEGER, data BLOB NOT NULL);
CREATE TABLE ids(id BLOB PRIMARY KEY, position INTEGER NOT NULL, weight INTEGER) WITHOUT ROWID;
CREATE TABLE untimed(
  received INTEGER, position INTEGER, weight INTEGER,
  PRIMARY KEY (received, position)) WITHOUT ROWID;
CREATE TABLE marks(position INTEGER PRIMARY KEY, hash BLOB NOT NULL);
CREATE TABLE identities(
  position INTEGER PRIMARY KEY, identity BLOB NOT NULL, duration REAL, time INTEGER NOT NULL);
CREATE TABLE dictionaries(id INTEGER PRIMARY KEY, sha256 BLOB, data BLOB, copy BLOB);
"""

FORMAT = 3
"""Version of this layout, kept in ``meta``."""
