/*
 * Values into and out of rows of the database. The readers are sticky: a failure is kept in *rc and looked at once.
 */
#pragma once

#include "executor/store/db.h"
#include "lib/sbx_isolation.h"

/* "" and NULL are NULL there. */
struct db_value row_text_or_null(const char *text);
struct db_value row_time_or_null(uint64_t ms);

void row_take_text(char *out, size_t size, const struct db_value *value, int *rc);
/* NULL leaves *ret; the caller frees. */
void row_take_copy(char **ret, const struct db_value *value, int *rc);
uint64_t row_take_number(const struct db_value *value);
void row_take_isolation(enum sbx_isolation *ret, const struct db_value *value, int *rc);
