/*
 * The launcher's log: one JSON object a line on standard error. A line is dropped,
 * and counted, when the reader does not keep up: a full pipe must never stop the
 * process that kills sandboxes. Events are constants, what varies is a field.
 */
#pragma once

#include "lib/sbx_base.h"

enum journal_level { JOURNAL_DEBUG, JOURNAL_INFO, JOURNAL_WARN, JOURNAL_ERROR };

struct journal_field {
    const char *key;
    const char *text;
    int64_t number;
};

#define JOURNAL_STR(name, value) ((struct journal_field){ .key = (name), .text = (value) })
#define JOURNAL_INT(name, value) ((struct journal_field){ .key = (name), .number = (int64_t)(value) })
#define journal(level, event, ...)                                                                           \
    journal_write((level), (event), (const struct journal_field[]){ __VA_ARGS__, { 0 } })

void journal_set_level(enum journal_level level);
_must_check_ bool journal_level_parse(const char *text, enum journal_level *ret);
/* `fields` ends with one whose key is NULL. */
void journal_write(enum journal_level level, const char *event, const struct journal_field *fields);
