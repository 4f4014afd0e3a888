# title: SQLite with a write-ahead log, two connections at once
import sqlite3
import threading

db = sqlite3.connect("/workspace/a.db", timeout=10)
assert db.execute("pragma journal_mode=wal").fetchone()[0] == "wal"
db.execute("create table t(x integer primary key, y text)")
db.commit()
def insert(base):
    own = sqlite3.connect("/workspace/a.db", timeout=10)
    for i in range(100):
        with own:
            own.execute("insert into t values(?, ?)", (base + i, "v%d" % i))
    own.close()
threads = [threading.Thread(target=insert, args=(b,)) for b in (0, 1000)]
[t.start() for t in threads]
[t.join(20) for t in threads]
assert db.execute("select count(*), max(x) from t").fetchone() == (200, 1099)
db.execute("vacuum")
assert db.execute("pragma integrity_check").fetchone()[0] == "ok"
print("WORKS")
