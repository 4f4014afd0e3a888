/* Brings a database to the newest schema, or says why it cannot be. */
#pragma once

#include "sqlite_conn.h"

_must_check_ int sqlite_schema_migrate(struct sqlite_conn *conn, char *error, size_t error_size);
