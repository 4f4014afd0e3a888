/* Bytes lie in one growing buffer, hence places instead of pointers until the last row is in. */
#include "db_rows.h"

#include <stdlib.h>

void
db_rows_deinit(struct db_rows *rows)
{
    free(rows->values);
    sbx_buf_deinit(&rows->bytes);
    *rows = (struct db_rows)DB_ROWS_INIT;
}

void
db_rows_begin(struct db_rows *rows, unsigned n_columns)
{
    rows->n_values = 0;
    rows->n_columns = n_columns;
    sbx_buf_reset(&rows->bytes);
}

static int
rows_grow(struct db_rows *rows)
{
    struct db_value *values;
    size_t cap;

    if (rows->n_values < rows->cap) {
        return 0;
    }
    if (rows->cap >= DB_ROWS_MAX_VALUES) {
        return -E2BIG;
    }

    cap = rows->cap ? rows->cap * 2 : 32;
    values = realloc(rows->values, cap * sizeof(*values));
    if (values == NULL) {
        return -ENOMEM;
    }
    rows->values = values;
    rows->cap = cap;
    return 0;
}

int
db_rows_add(struct db_rows *rows, const struct db_value *value)
{
    struct db_value copy = *value;
    int r;

    r = rows_grow(rows);
    if (r) {
        return r;
    }

    if (value->type == DB_TEXT || value->type == DB_BLOB) {
        if (value->len >= DB_ROWS_MAX_BYTES - rows->bytes.len) {
            return -E2BIG;
        }
        copy.data = NULL;
        copy.integer = (int64_t)rows->bytes.len;
        sbx_buf_append(&rows->bytes, value->data, value->len);
        sbx_buf_putc(&rows->bytes, '\0');
        if (rows->bytes.failed) {
            return -ENOMEM;
        }
    }

    rows->values[rows->n_values++] = copy;
    return 0;
}

void
db_rows_seal(struct db_rows *rows, struct db_result *ret)
{
    for (size_t i = 0; i < rows->n_values; i++) {
        struct db_value *value = &rows->values[i];

        if ((value->type == DB_TEXT || value->type == DB_BLOB) && value->data == NULL) {
            value->data = rows->bytes.data + value->integer;
            value->integer = 0;
        }
    }

    ret->n_columns = rows->n_columns;
    ret->n_rows = rows->n_columns ? (unsigned)(rows->n_values / rows->n_columns) : 0;
    ret->values = rows->values;
}
