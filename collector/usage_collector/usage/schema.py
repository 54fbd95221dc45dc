"""The tables of the day index, which can be made anew from the ledgers at any time.

``meta``: ``epoch``, another one whenever the index begins anew, so that nobody takes the numbers
of an old one for those of the new; ``restored ID``: what of a ledger that came back was read;
``began URL``: since when (µs) another collector is there, NULL where nobody knows.

``sessions``: one row for each job or session of the whole fleet (`states.State`). ``seq`` grows
with everything that is learnt from this collector's own ledgers (``own``), and is what other
collectors ask by. ``due`` is set while a session has no end and is not counted yet.

``amounts``: what these rows come to, by day (since the Unix epoch, UTC) and labels, warm-ups apart.
``daily`` is the same, without warm-ups, by the `GROUPINGS` that are asked for most: ``grouping`` is
the number of one, and ``value`` names its values in ``groups``.

``labels`` and ``sources`` keep texts once. ``ledgers``: up to which position each was read.
``lost``: how many positions of each could not be read. ``early``: events of this collector dated
later than they were received, by day of their receipt. ``peers``: up to which number each other
collector was asked, and when (µs) it answered last.
"""

from usage_collector.usage.states import LABELS

DETAILS = ("mode", "type", "language", "operating_point")
"""The labels of the details that `GET /v2/usage` answers with."""
INVOICES = ("customer", "contract", "mode", "type")
"""The labels that say who is billed for what."""
GROUPINGS = (DETAILS, INVOICES, ("zone",), ("format",))
"""What ``daily`` is kept by; an index into it is a ``grouping``."""

_NAMES = ", ".join(f"{name} TEXT NOT NULL" for name in LABELS)
_SUMS = """
  count INTEGER NOT NULL, duration INTEGER NOT NULL, speech INTEGER NOT NULL,
  estimated INTEGER NOT NULL, estimated_duration INTEGER NOT NULL"""

SQL = f"""
CREATE TABLE meta(name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE labels(id INTEGER PRIMARY KEY, {_NAMES});
CREATE TABLE groups(id INTEGER PRIMARY KEY, a TEXT, b TEXT, c TEXT, d TEXT);
CREATE TABLE sources(id INTEGER PRIMARY KEY, collector TEXT NOT NULL, ledger TEXT NOT NULL);
CREATE TABLE sessions(
  seq INTEGER PRIMARY KEY, identity BLOB NOT NULL UNIQUE, own INTEGER NOT NULL,
  source INTEGER NOT NULL, position INTEGER NOT NULL, label INTEGER NOT NULL,
  final INTEGER NOT NULL, warm_up INTEGER NOT NULL, time INTEGER, received INTEGER NOT NULL,
  duration INTEGER NOT NULL, speech INTEGER NOT NULL, ended INTEGER NOT NULL, end_time INTEGER,
  statuses BLOB, counted INTEGER NOT NULL, due INTEGER);
CREATE INDEX open_sessions ON sessions(due) WHERE due IS NOT NULL;
CREATE TABLE amounts(
  day INTEGER, label INTEGER, warm_up INTEGER, {_SUMS},
  PRIMARY KEY (label, day, warm_up)) WITHOUT ROWID;
CREATE TABLE daily(
  grouping INTEGER, day INTEGER, value INTEGER, {_SUMS},
  PRIMARY KEY (grouping, day, value)) WITHOUT ROWID;
CREATE TABLE ledgers(ledger TEXT PRIMARY KEY, position INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE lost(ledger TEXT PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE early(day INTEGER PRIMARY KEY, count INTEGER NOT NULL);
CREATE TABLE peers(
  url TEXT PRIMARY KEY, collector TEXT, epoch TEXT, seq INTEGER NOT NULL, heard INTEGER,
  zone TEXT NOT NULL)
  WITHOUT ROWID;
"""

FORMAT = 1
"""Part of the file's name: an index of another layout is made anew, not converted."""
