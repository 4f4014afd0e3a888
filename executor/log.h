/*
 * The executor's logger: one JSON object a line, one write a line,
 * {"ts","level","event",<fields>}. The event is a constant; what varies is a
 * field, escaped by sbx_jsonw and cut at LOG_FIELD_MAX bytes. Secrets, tokens and
 * payload bytes are never passed here.
 */
#pragma once

#include "lib/sbx_base.h"

#define LOG_FIELD_MAX 1024

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR, LOG_N_LEVELS };

struct log_field {
    const char *key;
    const char *text; /* NULL with is_number false: the field is left out */
    int64_t number;
    bool is_number;
};

#define LOG_STR(name, value) ((struct log_field){ .key = (name), .text = (value) })
#define LOG_INT(name, value)                                                                                 \
    ((struct log_field){ .key = (name), .number = (int64_t)(value), .is_number = true })

#define LOG_FIELDS(...) ((const struct log_field[]){ __VA_ARGS__ })
#define log_at(level, event, ...)                                                                            \
    log_event((level), (event), LOG_FIELDS(__VA_ARGS__),                                                     \
              sizeof(LOG_FIELDS(__VA_ARGS__)) / sizeof(struct log_field))
#define log_debug(event, ...) log_at(LOG_LEVEL_DEBUG, event, __VA_ARGS__)
#define log_info(event, ...) log_at(LOG_LEVEL_INFO, event, __VA_ARGS__)
#define log_warn(event, ...) log_at(LOG_LEVEL_WARN, event, __VA_ARGS__)
#define log_error(event, ...) log_at(LOG_LEVEL_ERROR, event, __VA_ARGS__)

void log_event(enum log_level level, const char *event, const struct log_field *fields, size_t n);
/* False when there is no such level. */
_must_check_ bool log_level_parse(const char *text, enum log_level *ret);
/* `path` NULL or "": standard error. Returns 0 or -errno of open; then the present destination stays. */
_must_check_ int log_open(const char *path, enum log_level level);
/* Opens the same path again after it was moved away; keeps the old descriptor when that fails. */
void log_reopen(void);
