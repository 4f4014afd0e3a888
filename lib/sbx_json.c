#include "sbx_json_inside.h"

#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "sbx_digits.h"
#include "sbx_utf8.h"

void
sbx_field_error_set(struct sbx_field_error *err, const char *field, const char *fmt, ...)
{
    va_list args;

    memset(err, 0, sizeof(*err));
    (void)snprintf(err->field, sizeof(err->field), "%s", field); /* a longer pointer is cut */

    va_start(args, fmt);
    (void)vsnprintf(err->message, sizeof(err->message), fmt, args); /* likewise */
    va_end(args);
}

/* One character of a key in the form of RFC 6901; returns what it appended. */
static size_t
pointer_put(char *out, size_t room, const char *key, size_t n)
{
    if (n == 1 && (key[0] == '~' || key[0] == '/')) {
        if (room < 2) {
            return 0;
        }
        out[0] = '~';
        out[1] = key[0] == '~' ? '0' : '1';
        return 2;
    }
    if (room < n) {
        return 0;
    }
    memcpy(out, key, n);
    if (n == 1 && ((uint8_t)key[0] < 0x20 || key[0] == 0x7f)) {
        out[0] = '?';
    }
    return n;
}

void
sbx_json_pointer(char *out, size_t size, const char *path, const char *key, size_t index)
{
    char digits[SBX_DIGITS_MAX];
    const char *text;
    size_t len, left, n, put;

    /* Made for each member of a document, though only a faulty one's is read: no printf. Cut when too long. */
    len = strnlen(path, size - 1);
    memcpy(out, path, len);
    if (len < size - 1) {
        out[len++] = '/';
    }

    if (key == NULL) {
        text = sbx_digits_before(digits + sizeof(digits), index);
        n = (size_t)(digits + sizeof(digits) - text);
        n = n < size - 1 - len ? n : size - 1 - len;
        memcpy(out + len, text, n);
        out[len + n] = '\0';
        return;
    }

    for (left = strlen(key); left > 0; key += n, left -= n) {
        n = (uint8_t)key[0] < 0x80 ? 1 : sbx_utf8_sequence(key, left);
        if (n == 0) {
            n = 1;
        }
        put = pointer_put(out + len, size - 1 - len, key, n);
        if (put == 0) {
            break;
        }
        len += put;
    }
    out[len] = '\0';
}

static void member_error(struct sbx_field_error *err, const char *path, const char *key, const char *fmt, ...)
    _printf_(4, 5);

static void
member_error(struct sbx_field_error *err, const char *path, const char *key, const char *fmt, ...)
{
    char field[sizeof(err->field)], message[sizeof(err->message)];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(message, sizeof(message), fmt, args); /* cut when too long */
    va_end(args);

    sbx_json_pointer(field, sizeof(field), path, key, 0);
    sbx_field_error_set(err, field, "%s", message);
}

/* Index of the quote that ends the string begun at `i`, or `len`. */
static size_t
string_end(const char *data, size_t len, size_t i)
{
    for (i++; i < len && data[i] != '"'; i++) {
        if (data[i] == '\\') {
            i++;
        }
    }
    return i;
}

/*
 * Counts what a parser would build. Exact for JSON; for anything else it may
 * be wrong, which the parser then refuses within its own depth limit.
 */
static bool
document_is_small(const char *data, size_t len, struct sbx_field_error *err)
{
    size_t i, depth = 0, containers = 0, values = 0;

    for (i = 0; i < len; i++) {
        if (data[i] == '"') {
            i = string_end(data, len, i);
        } else if (data[i] == ',') {
            values++;
        } else if (data[i] == '{' || data[i] == '[') {
            containers++;
            depth++;
        } else if ((data[i] == '}' || data[i] == ']') && depth > 0) {
            depth--;
        }
        if (depth > SBX_JSON_DEPTH) {
            sbx_field_error_set(err, "", "must not nest deeper than %d levels", SBX_JSON_DEPTH);
            return false;
        }
    }

    if (containers > SBX_JSON_CONTAINERS || values > SBX_JSON_VALUES) {
        sbx_field_error_set(err, "", "must not hold more than %d objects and arrays, %d values",
                            SBX_JSON_CONTAINERS, SBX_JSON_VALUES);
        err->too_large = true;
        return false;
    }
    return true;
}

/* jansson's own text quotes the document, so only its code and position are used. */
static const char *
syntax_reason(enum json_error_code code)
{
    if (code == json_error_premature_end_of_input) {
        return "ends too early";
    }
    if (code == json_error_end_of_input_expected) {
        return "has bytes after its end";
    }
    if (code == json_error_invalid_utf8) {
        return "is not UTF-8";
    }
    if (code == json_error_duplicate_key) {
        return "names a member twice";
    }
    if (code == json_error_numeric_overflow) {
        return "holds a number that is too large";
    }
    if (code == json_error_null_character || code == json_error_null_byte_in_key) {
        return "holds a NUL in a string";
    }
    return "is not JSON";
}

int
sbx_json_parse(json_t **ret, const char *data, size_t len, struct sbx_field_error *err)
{
    json_error_t error;
    json_t *json;

    data = len == 0 ? "" : data;
    json = sbx_json_read(data, len);
    if (json != NULL) {
        *ret = json;
        return 0;
    }
    /* Slower, and with the last word: what is wrong, or that nothing is. */
    if (!document_is_small(data, len, err)) {
        return SBX_JSON_E_SYNTAX;
    }

    json = json_loadb(data, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (json == NULL) {
        if (json_error_code(&error) == json_error_out_of_memory) {
            return -ENOMEM;
        }
        sbx_field_error_set(err, "", "the document %s (line %d, column %d)",
                            syntax_reason(json_error_code(&error)), error.line, error.column);
        return SBX_JSON_E_SYNTAX;
    }

    *ret = json;
    return 0;
}

/* NULL when absent or null. */
static json_t *
member(const json_t *object, const char *key)
{
    json_t *value = json_object_get(object, key);

    return json_is_null(value) ? NULL : value;
}

bool
sbx_json_get_str(const json_t *object, const char *path, const char *key, size_t max_len, const char **ret,
                 size_t *ret_len, struct sbx_field_error *err)
{
    const json_t *value = member(object, key);

    if (value == NULL) {
        return true;
    }
    if (!json_is_string(value)) {
        member_error(err, path, key, "must be a string");
        return false;
    }
    if (json_string_length(value) > max_len) {
        member_error(err, path, key, "must not be longer than %zu bytes", max_len);
        err->too_large = true;
        return false;
    }

    *ret = json_string_value(value);
    if (ret_len != NULL) {
        *ret_len = json_string_length(value);
    }
    return true;
}

bool
sbx_json_get_int(const json_t *object, const char *path, const char *key, int64_t min, int64_t max,
                 int64_t *ret, struct sbx_field_error *err)
{
    const json_t *value = member(object, key);

    if (value == NULL) {
        return true;
    }
    if (!json_is_integer(value)) {
        member_error(err, path, key, "must be an integer");
        return false;
    }
    if (json_integer_value(value) < min || json_integer_value(value) > max) {
        member_error(err, path, key, "must be between %" PRId64 " and %" PRId64, min, max);
        return false;
    }

    *ret = json_integer_value(value);
    return true;
}

bool
sbx_json_get_bool(const json_t *object, const char *path, const char *key, bool *ret,
                  struct sbx_field_error *err)
{
    const json_t *value = member(object, key);

    if (value == NULL) {
        return true;
    }
    if (!json_is_boolean(value)) {
        member_error(err, path, key, "must be true or false");
        return false;
    }

    *ret = json_is_true(value);
    return true;
}

bool
sbx_json_get_object(const json_t *object, const char *path, const char *key, json_t **ret,
                    struct sbx_field_error *err)
{
    json_t *value = member(object, key);

    if (value == NULL) {
        return true;
    }
    if (!json_is_object(value)) {
        member_error(err, path, key, "must be an object");
        return false;
    }

    *ret = value;
    return true;
}

bool
sbx_json_get_array(const json_t *object, const char *path, const char *key, size_t max_items, json_t **ret,
                   struct sbx_field_error *err)
{
    json_t *value = member(object, key);

    if (value == NULL) {
        return true;
    }
    if (!json_is_array(value)) {
        member_error(err, path, key, "must be an array");
        return false;
    }
    if (json_array_size(value) > max_items) {
        member_error(err, path, key, "must not have more than %zu items", max_items);
        err->too_large = true;
        return false;
    }

    *ret = value;
    return true;
}

bool
sbx_json_only(const json_t *object, const char *path, const char *const *known, struct sbx_field_error *err)
{
    const char *const *name;
    const char *key;
    void *iter;

    /* Iterating does not write, but jansson's macros want a mutable object for its cast-free loop. */
    for (iter = json_object_iter((json_t *)(uintptr_t)object); iter != NULL;
         iter = json_object_iter_next((json_t *)(uintptr_t)object, iter)) {
        key = json_object_iter_key(iter);
        for (name = known; *name != NULL && strcmp(*name, key) != 0; name++) {
        }
        if (*name == NULL) {
            member_error(err, path, key, "is not a known field");
            return false;
        }
    }
    return true;
}

static int
dump_chunk(const char *data, size_t len, void *arg)
{
    struct sbx_buf *buf = arg;

    sbx_buf_append(buf, data, len);
    return buf->failed ? -1 : 0;
}

void
sbx_json_dump(struct sbx_buf *buf, const json_t *json, bool canonical)
{
    size_t flags = JSON_COMPACT | JSON_ENCODE_ANY;

    if (canonical) {
        flags |= JSON_SORT_KEYS;
    }
    if (json_dump_callback(json, dump_chunk, buf, flags) != 0) {
        buf->failed = true;
    }
}
