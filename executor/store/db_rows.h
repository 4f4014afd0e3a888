/* The rows of one statement, copied out of the driver: grown row by row, then sealed into a db_result. */
#pragma once

#include "db.h"
#include "lib/sbx_buf.h"

#define DB_ROWS_MAX_BYTES (128u << 20)
#define DB_ROWS_MAX_VALUES (1u << 20)

struct db_rows {
    struct db_value *values; /* until sealed, `integer` of TEXT and BLOB is the place in bytes */
    size_t n_values, cap;
    unsigned n_columns;
    struct sbx_buf bytes;
};

#define DB_ROWS_INIT                                                                                         \
    {                                                                                                        \
        .bytes = SBX_BUF_INIT(DB_ROWS_MAX_BYTES)                                                             \
    }

void db_rows_deinit(struct db_rows *rows);
/* Forgets what was gathered; values of n_columns columns follow, row after row. */
void db_rows_begin(struct db_rows *rows, unsigned n_columns);
/* Copies. -E2BIG past the ceilings, -ENOMEM. */
_must_check_ int db_rows_add(struct db_rows *rows, const struct db_value *value);
/* The result borrows from rows. */
void db_rows_seal(struct db_rows *rows, struct db_result *ret);
