/* What is said of a value that is not as a schema wants it: by pointer, with what was wanted and what was given, cut and escaped. */
#include "sbx_schema_inside.h"

#include <string.h>

#include "sbx_jsonw.h"
#include "sbx_utf8.h"

#define TEXT_SHOWN 40
#define NAMES_SHOWN 100 /* bytes, before no more are named */
#define NAME_COMPARED 48

const char *const schema_type_names[N_TYPES] = { "null",     "true or false", "an integer", "a number",
                                                 "a string", "an array",      "an object" };

void
place_pointer(const struct place *place, char *out, size_t size)
{
    const struct place *way[2 * SBX_SCHEMA_DEPTH + 2];
    size_t n = 0;
    char path[128];

    out[0] = '\0';
    for (; place->up != NULL && n < SBX_COUNT(way); place = place->up) {
        way[n++] = place;
    }
    while (n > 0) {
        n--;
        memcpy(path, out, strnlen(out, sizeof(path) - 1) + 1);
        sbx_json_pointer(out, size < sizeof(path) ? size : sizeof(path), path, way[n]->key, way[n]->index);
    }
}

void
schema_types_write(struct sbx_buf *out, unsigned types)
{
    unsigned i, rest = types;

    for (i = 0; i < N_TYPES; i++) {
        if ((types & 1u << i) == 0) {
            continue;
        }
        sbx_buf_puts(out, rest == types ? "" : (rest & (rest - 1)) == 0 ? " or " : ", ");
        sbx_buf_puts(out, schema_type_names[i]);
        rest &= ~(1u << i);
    }
}

/* At most `len` bytes, of whole characters. */
static size_t
cut(const char *text, size_t len, size_t max)
{
    size_t at = 0, n;

    while (at < len) {
        n = sbx_utf8_sequence(text + at, len - at);
        n = n == 0 ? 1 : n;
        if (at + n > max) {
            break;
        }
        at += n;
    }
    return at;
}

void
schema_text_write(struct sbx_buf *out, const char *text, size_t len)
{
    char shown[TEXT_SHOWN * 6 + 3];
    struct sbx_buf escaped = SBX_BUF_OVER(shown);
    size_t n = cut(text, len, TEXT_SHOWN);
    struct sbx_jsonw w;

    sbx_jsonw_init(&w, &escaped);
    sbx_jsonw_strn(&w, NULL, text, n);
    sbx_buf_puts(out, shown);
    sbx_buf_puts(out, n < len ? "..." : "");
}

void
schema_value_write(struct sbx_buf *out, const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        sbx_buf_puts(out, "an object");
        break;
    case JSON_ARRAY:
        sbx_buf_puts(out, "an array");
        break;
    case JSON_STRING:
        schema_text_write(out, json_string_value(value), json_string_length(value));
        break;
    case JSON_INTEGER:
    case JSON_REAL:
    case JSON_TRUE:
    case JSON_FALSE:
    case JSON_NULL:
        sbx_json_dump(out, value, false);
        break;
    }
}

/* "timeoutSeconds" and "timeout-seconds" as "timeoutseconds". */
static size_t
fold(char *out, const char *name)
{
    size_t n = 0;

    for (; *name != '\0' && n < NAME_COMPARED; name++) {
        if (*name != '_' && *name != '-') {
            out[n++] = *name >= 'A' && *name <= 'Z' ? (char)(*name | 0x20) : *name;
        }
    }
    return n;
}

static unsigned
least(unsigned a, unsigned b, unsigned c)
{
    unsigned less = a < b ? a : b;

    return less < c ? less : c;
}

/* Levenshtein's, of bytes. */
static unsigned
distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
    unsigned row[NAME_COMPARED + 1], diagonal, above;
    size_t i, k;

    for (k = 0; k <= b_len; k++) {
        row[k] = (unsigned)k;
    }
    for (i = 1; i <= a_len; i++) {
        diagonal = row[0];
        row[0] = (unsigned)i;
        for (k = 1; k <= b_len; k++) {
            above = row[k];
            row[k] = least(above + 1, row[k - 1] + 1, diagonal + (a[i - 1] != b[k - 1]));
            diagonal = above;
        }
    }
    return row[b_len];
}

/* How far a name is from a known one: 0 the same but for its spelling, UINT_MAX not near. */
static unsigned
how_far(const char *name, const char *known)
{
    char a[NAME_COMPARED], b[NAME_COMPARED];
    size_t a_len = fold(a, name), b_len = fold(b, known), shorter = a_len < b_len ? a_len : b_len;
    unsigned far = distance(a, a_len, b, b_len);

    if (far <= (shorter < 5 ? 1u : 2u) && shorter > 1) {
        return far;
    }
    /* "timeout" for "timeout_seconds", "id" for "session_id" */
    if (shorter >= 2 && a_len != b_len &&
        (memcmp(a, b, shorter) == 0 || memcmp(a + a_len - shorter, b + b_len - shorter, shorter) == 0)) {
        return far + 2;
    }
    return UINT32_MAX;
}

void
schema_names_write(struct sbx_buf *out, const struct node_map *map, const char *name)
{
    const struct named *near = NULL;
    unsigned far, nearest = UINT32_MAX;
    size_t i, start = out->len;

    for (i = 0; i < map->n; i++) {
        far = how_far(name, map->entry[i].name);
        if (far < nearest) {
            near = &map->entry[i];
            nearest = far;
        }
    }
    if (near != NULL) {
        sbx_buf_puts(out, "; did you mean ");
        schema_text_write(out, near->name, near->len);
        sbx_buf_puts(out, "?");
        return;
    }
    for (i = 0; i < map->n && out->len - start < NAMES_SHOWN; i++) {
        sbx_buf_puts(out, i == 0 ? "; known are " : ", ");
        schema_text_write(out, map->entry[i].name, map->entry[i].len);
    }
    sbx_buf_puts(out, i < map->n ? ", ..." : "");
}
