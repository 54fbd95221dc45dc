"""The tables of the day index, which can be made anew from the ledgers at any time.

``meta``: ``epoch``, another one whenever the index begins anew, so that nobody takes the numbers
of an old one for those of the new; ``restored ID``: what of a ledger that came back was read;
``began URL``: since when (µs) another collector is there, NULL where nobody knows; ``told URL``:
what it last said that it lacks; ``lost NAME ANEW``: a collector that began anew (`losses.Loss`);
``faded ID``: a ledger of whose purged events too little is known (`fading.Faded`).

``sessions``: one row for each job or session of the whole fleet (`states.State`). ``seq`` grows
with everything that is learnt from this collector's own ledgers (``own``), and is what other
collectors ask by. ``due`` is set while a session has no end and is not counted yet.

``cells``: what these rows come to without warm-ups, by day (since the Unix epoch, UTC) and labels.
``days`` has the same of a whole day as one value (`columns`), NULL since something of it changed.

``labels`` and ``sources`` keep texts once. A session's ``dimensions`` stand in its row only where
those of its label are not all of them, for there are too many (`crowding`).

``ledgers``: up to which position each was read. ``lost``: how many positions of each could not be
read. ``early``: events of this collector dated later than they were received, by day of their
receipt. ``peers``: up to which number each other collector was asked, and when (µs) it answered
last.
"""

from usage_collector.usage.states import LABELS

SUMS = "count, duration, speech, estimated, estimated_duration"
"""How many jobs and sessions, their durations (µs), and what of these is estimated."""

_NAMES = ", ".join(f"{name} TEXT NOT NULL" for name in LABELS)
_CELLS = f"""
CREATE TABLE cells(
  day INTEGER, label INTEGER, {SUMS.replace(",", " INTEGER NOT NULL,")} INTEGER NOT NULL,
  PRIMARY KEY (day, label)) WITHOUT ROWID;
CREATE TABLE days(day INTEGER PRIMARY KEY, columns BLOB);
"""
VERSION = 1
"""Of these tables, in ``user_version``."""

SQL = f"""
CREATE TABLE meta(name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE labels(id INTEGER PRIMARY KEY, {_NAMES}, dimensions TEXT NOT NULL DEFAULT '');
CREATE TABLE sources(id INTEGER PRIMARY KEY, collector TEXT NOT NULL, ledger TEXT NOT NULL);
CREATE TABLE sessions(
  seq INTEGER PRIMARY KEY, identity BLOB NOT NULL UNIQUE, own INTEGER NOT NULL,
  source INTEGER NOT NULL, position INTEGER NOT NULL, label INTEGER NOT NULL,
  final INTEGER NOT NULL, warm_up INTEGER NOT NULL, time INTEGER, received INTEGER NOT NULL,
  duration INTEGER NOT NULL, speech INTEGER NOT NULL, ended INTEGER NOT NULL, end_time INTEGER,
  statuses BLOB, counted INTEGER NOT NULL, due INTEGER, dimensions TEXT);
CREATE INDEX open_sessions ON sessions(due) WHERE due IS NOT NULL;
{_CELLS}
CREATE TABLE ledgers(ledger TEXT PRIMARY KEY, position INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE lost(ledger TEXT PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE early(day INTEGER PRIMARY KEY, count INTEGER NOT NULL);
CREATE TABLE peers(
  url TEXT PRIMARY KEY, collector TEXT, epoch TEXT, seq INTEGER NOT NULL, heard INTEGER,
  zone TEXT NOT NULL)
  WITHOUT ROWID;
PRAGMA user_version = {VERSION};
"""
UPGRADE = f"""
ALTER TABLE labels ADD COLUMN dimensions TEXT NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN dimensions TEXT;
{_CELLS}
INSERT INTO cells SELECT day, label, {SUMS} FROM amounts WHERE warm_up = 0 AND count > 0;
INSERT INTO days(day) SELECT DISTINCT day FROM cells;
DROP TABLE amounts;
DROP TABLE daily;
DROP TABLE groups;
DELETE FROM ledgers;
DELETE FROM lost;
DELETE FROM early;
PRAGMA user_version = {VERSION};
"""  # noqa: S608
"""From tables without dimensions: everything is read once more, which counts nothing twice."""

FORMAT = 1
"""Part of the file's name: an index of another layout is made anew, not converted."""
