/*
 * The write-ahead log's file as the writer writes it: SQLite writes a transaction's pages one by one, each after a head of
 * its own, and all of it goes to the file system at once here, when SQLite makes it durable or wants to see it. Nobody else
 * looks at what is not durable yet: where it ends is published behind the sync (synchronous = full).
 */
#pragma once

#include <sqlite3.h>

#include "lib/sbx_base.h"

struct sqlite_wal;

/* Of a connection that has its log open; it stays beneath it until the connection is closed, and is freed after that. */
_must_check_ int sqlite_wal_join(struct sqlite_wal **ret, sqlite3 *db);
struct sqlite_wal *sqlite_wal_free(struct sqlite_wal *wal);
