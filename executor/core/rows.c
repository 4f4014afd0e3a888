#include "executor/core/rows.h"

#include <stdlib.h>
#include <string.h>

struct db_value
row_text_or_null(const char *text)
{
    return DB_VTEXT(text == NULL || *text == '\0' ? NULL : text);
}

struct db_value
row_time_or_null(uint64_t ms)
{
    return ms == 0 ? DB_VNULL() : DB_VINT(ms);
}

void
row_take_text(char *out, size_t size, const struct db_value *value, int *rc)
{
    if (value->type == DB_NULL) {
        *out = '\0';
        return;
    }
    if (value->type != DB_TEXT || value->len >= size) {
        *rc = -EINVAL;
        return;
    }
    memcpy(out, value->data, value->len + 1);
}

void
row_take_copy(char **ret, const struct db_value *value, int *rc)
{
    if (value->type == DB_NULL) {
        return;
    }
    *ret = malloc(value->len + 1);
    if (*ret == NULL) {
        *rc = -ENOMEM;
        return;
    }
    memcpy(*ret, value->len > 0 ? value->data : "", value->len);
    (*ret)[value->len] = '\0';
}

uint64_t
row_take_number(const struct db_value *value)
{
    return value->type == DB_INT && value->integer > 0 ? (uint64_t)value->integer : 0;
}

void
row_take_isolation(enum sbx_isolation *ret, const struct db_value *value, int *rc)
{
    *ret = value->type == DB_TEXT ? sbx_isolation_parse(value->data) : SBX_ISOLATION_NONE;
    if (*ret == SBX_ISOLATION_NONE) {
        *rc = -EINVAL;
    }
}
