#include "executor/runtime/session_reply.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/sbx_agent_error.h"
#include "lib/sbx_json.h"
#include "lib/sbx_jsonw.h"
#include "lib/sbx_utf8.h"

enum {
    MAX_DOCUMENT = 65536, /* as the connection has it */
    MAX_NAME = 512,
    MAX_ERROR_JSON = 6 * 65536 + 256,
};

/* C0, DEL, C1 and the line separators: what could break a line of log or a terminal. */
static bool
text_is_printable(const char *text, size_t len)
{
    for (size_t i = 0; i < len;) {
        size_t n = sbx_utf8_sequence(text + i, len - i);
        unsigned char c = (unsigned char)text[i];

        if (n == 0 || c < 0x20 || c == 0x7f || (n == 2 && c == 0xc2 && (unsigned char)text[i + 1] < 0xa0)) {
            return false;
        }
        if (n == 3 &&
            (memcmp(text + i, "\xe2\x80\xa8", 3) == 0 || memcmp(text + i, "\xe2\x80\xa9", 3) == 0)) {
            return false;
        }
        i += n;
    }
    return true;
}

static int
document_parse(json_t **ret, const char *json, size_t len)
{
    struct sbx_field_error err;
    int r;

    if (len > MAX_DOCUMENT) {
        return SESSION_REPLY_E_INVALID;
    }
    r = sbx_json_parse(ret, json, len, &err);
    if (r < 0) {
        return r;
    }
    return r > 0 || !json_is_object(*ret) ? SESSION_REPLY_E_INVALID : 0;
}

static bool
read_failure(struct session_reply *ret, const json_t *document)
{
    static const char *const errors[] = {
#define X(name, code) code,
        SBX_AGENT_ERRORS(X)
#undef X
    };
    const char *error = NULL, *message = "";
    struct sbx_field_error err;
    size_t len = 0;

    if (!sbx_json_get_str(document, "", "error", sizeof(ret->error) - 1, &error, NULL, &err) ||
        !sbx_json_get_str(document, "", "message", SESSION_REPLY_MAX_MESSAGE, &message, &len, &err) ||
        error == NULL || !text_is_printable(message, len)) {
        return false;
    }
    for (size_t i = 0; i < SBX_COUNT(errors); i++) {
        if (strcmp(error, errors[i]) == 0) {
            (void)snprintf(ret->error, sizeof(ret->error), "%s", error);       /* its length was checked */
            (void)snprintf(ret->message, sizeof(ret->message), "%s", message); /* so was this */
            return true;
        }
    }
    return false;
}

static bool
read_reply(struct session_reply *ret, const json_t *document)
{
    const json_t *ok = json_object_get(document, "ok");

    memset(ret, 0, sizeof(*ret));
    if (!json_is_boolean(ok)) {
        return false;
    }
    ret->ok = json_is_true(ok);
    if (!ret->ok) {
        return read_failure(ret, document);
    }
    return json_object_get(document, "error") == NULL || !json_is_string(json_object_get(document, "error"));
}

int
session_reply_end(struct session_reply *ret, const char *json, size_t len)
{
    _cleanup_(sbx_json_decrefp) json_t *document = NULL;
    int r;

    r = document_parse(&document, json, len);
    if (r) {
        return r;
    }
    return read_reply(ret, document) ? 0 : SESSION_REPLY_E_INVALID;
}

static bool
read_word(const json_t *document, const char *key, const char *const *words, size_t n, unsigned *ret)
{
    const char *word = NULL;
    struct sbx_field_error err;

    if (!sbx_json_get_str(document, "", key, 32, &word, NULL, &err) || word == NULL) {
        return false;
    }
    for (unsigned i = 0; i < n; i++) {
        if (strcmp(word, words[i]) == 0) {
            *ret = i;
            return true;
        }
    }
    return false;
}

/* Present, and of its own kind: what is missing is as wrong as what is strange. */
static bool
read_number(const json_t *document, const char *key, uint64_t *ret)
{
    struct sbx_field_error err;
    int64_t number = -1;

    if (!sbx_json_get_int(document, "", key, 0, INT64_MAX, &number, &err) || number < 0) {
        return false;
    }
    *ret = (uint64_t)number;
    return true;
}

static bool
read_exit(struct session_reply_step *ret, const json_t *document)
{
    struct sbx_field_error err;
    const char *signal = NULL;
    int64_t code = -1;
    size_t len = 0;

    if (!sbx_json_get_int(document, "", "exit_code", 0, 255, &code, &err) ||
        !sbx_json_get_str(document, "", "signal", sizeof(ret->signal) - 1, &signal, &len, &err)) {
        return false;
    }
    ret->has_exit_code = code >= 0;
    ret->exit_code = code >= 0 ? (int)code : 0;
    if (signal == NULL || len == 0) {
        return true;
    }
    if (strncmp(signal, "SIG", 3) != 0 || strspn(signal, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") != len) {
        return false;
    }
    memcpy(ret->signal, signal, len + 1);
    return true;
}

/* The text of an exception is the tenant's: any that JSON can hold. It is written anew, in our order. */
static int
read_error(struct session_reply_step *ret, const json_t *document)
{
    static const char *const known[] = { "name", "value", "traceback", NULL };
    _cleanup_(sbx_buf_deinit) struct sbx_buf text = SBX_BUF_INIT(MAX_ERROR_JSON);
    const char *name = NULL, *value = NULL, *traceback = NULL;
    size_t name_len = 0, value_len = 0, traceback_len = 0;
    struct sbx_field_error err;
    json_t *error = NULL;
    struct sbx_jsonw w;

    if (!sbx_json_get_object(document, "", "error", &error, &err)) {
        return SESSION_REPLY_E_INVALID;
    }
    if (error == NULL) {
        return 0;
    }
    if (!sbx_json_only(error, "", known, &err) ||
        !sbx_json_get_str(error, "", "name", MAX_NAME, &name, &name_len, &err) ||
        !sbx_json_get_str(error, "", "value", MAX_DOCUMENT, &value, &value_len, &err) ||
        !sbx_json_get_str(error, "", "traceback", MAX_DOCUMENT, &traceback, &traceback_len, &err)) {
        return SESSION_REPLY_E_INVALID;
    }
    sbx_jsonw_init(&w, &text);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_strn(&w, "name", name == NULL ? "" : name, name_len);
    sbx_jsonw_strn(&w, "value", value == NULL ? "" : value, value_len);
    sbx_jsonw_strn(&w, "traceback", traceback == NULL ? "" : traceback, traceback_len);
    sbx_jsonw_object_end(&w);
    ret->error_json = sbx_buf_take(&text, NULL);
    return ret->error_json == NULL ? -ENOMEM : 0;
}

static bool
read_step(struct session_reply_step *ret, const json_t *document)
{
    static const char *const known[] = {
        "ok",        "status",  "error",  "exit_code",         "signal",           "interpreter",
        "restarted", "wall_ms", "cpu_ms", "peak_memory_bytes", "displays_dropped", "message",
        NULL
    };
    static const char *const statuses[] = {
        [STEP_SAYS_SUCCEEDED] = "succeeded",     [STEP_SAYS_FAILED] = "failed",
        [STEP_SAYS_INTERRUPTED] = "interrupted", [STEP_SAYS_TIMED_OUT] = "timed_out",
        [STEP_SAYS_CRASHED] = "crashed",
    };
    static const char *const lives[] = { "dead", "alive" };
    const json_t *restarted = json_object_get(document, "restarted");
    unsigned status = 0, alive = 0;
    struct sbx_field_error err;

    if (!sbx_json_only(document, "", known, &err) ||
        !read_word(document, "status", statuses, SBX_COUNT(statuses), &status) ||
        !read_word(document, "interpreter", lives, SBX_COUNT(lives), &alive) || !json_is_boolean(restarted) ||
        !read_exit(ret, document) || !read_number(document, "wall_ms", &ret->wall_ms) ||
        !read_number(document, "cpu_ms", &ret->cpu_ms) ||
        !read_number(document, "peak_memory_bytes", &ret->peak_memory_bytes) ||
        !read_number(document, "displays_dropped", &ret->displays_dropped)) {
        return false;
    }
    ret->status = (enum session_step_status)status;
    ret->alive = alive == 1;
    ret->restarted = json_is_true(restarted);
    return ret->status != STEP_SAYS_CRASHED || !ret->alive;
}

int
session_reply_step(struct session_reply_step *ret, const char *json, size_t len)
{
    _cleanup_(sbx_json_decrefp) json_t *document = NULL;
    int r;

    memset(ret, 0, sizeof(*ret));
    r = document_parse(&document, json, len);
    if (r) {
        return r;
    }
    if (!read_reply(&ret->reply, document)) {
        return SESSION_REPLY_E_INVALID;
    }
    if (!ret->reply.ok) {
        return 0;
    }
    return read_step(ret, document) ? read_error(ret, document) : SESSION_REPLY_E_INVALID;
}

/* type/subtype of RFC 6838 names, in lower case. */
static bool
mime_valid(const char *mime, size_t len)
{
    static const char chars[] = "abcdefghijklmnopqrstuvwxyz0123456789!#$&^_.+-";
    size_t type = strspn(mime, chars);
    size_t sub;

    if (type == 0 || mime[type] != '/') {
        return false;
    }
    sub = strspn(mime + type + 1, chars);
    return sub > 0 && type + 1 + sub == len;
}

static bool
read_item(struct session_reply_item *ret, const json_t *item)
{
    static const char *const known[] = { "mime", "size", NULL };
    struct sbx_field_error err;
    const char *mime = NULL;
    size_t len = 0;

    if (!json_is_object(item) || !sbx_json_only(item, "", known, &err) ||
        !sbx_json_get_str(item, "", "mime", SESSION_REPLY_MAX_MIME, &mime, &len, &err) || mime == NULL ||
        !mime_valid(mime, len) || !read_number(item, "size", &ret->size) ||
        ret->size > SESSION_REPLY_MAX_ITEM_BYTES) {
        return false;
    }
    memcpy(ret->mime, mime, len + 1);
    return true;
}

/* A bundle is an object in the answer: no type twice. */
static bool
item_is_new(const struct session_reply_display *display, const char *mime)
{
    for (unsigned i = 0; i < display->n_items; i++) {
        if (strcmp(display->items[i].mime, mime) == 0) {
            return false;
        }
    }
    return true;
}

static bool
read_display(struct session_reply_display *ret, const json_t *document)
{
    static const char *const outer[] = { "display", NULL };
    static const char *const inner[] = { "kind", "items", NULL };
    static const char *const kinds[] = { "display", "result" };
    json_t *display = NULL, *items = NULL, *item;
    struct sbx_field_error err;
    unsigned kind = 0;
    size_t i;

    if (!sbx_json_only(document, "", outer, &err) ||
        !sbx_json_get_object(document, "", "display", &display, &err) || display == NULL ||
        !sbx_json_only(display, "", inner, &err) ||
        !read_word(display, "kind", kinds, SBX_COUNT(kinds), &kind) ||
        !sbx_json_get_array(display, "", "items", SESSION_REPLY_MAX_ITEMS, &items, &err) || items == NULL) {
        return false;
    }
    ret->is_result = kind == 1;
    json_array_foreach (items, i, item) {
        struct session_reply_item *next = &ret->items[ret->n_items];

        if (!read_item(next, item) || !item_is_new(ret, next->mime)) {
            return false;
        }
        ret->n_items++;
    }
    return true;
}

int
session_reply_display(struct session_reply_display *ret, const char *json, size_t len)
{
    _cleanup_(sbx_json_decrefp) json_t *document = NULL;
    int r;

    ret->n_items = 0;
    r = document_parse(&document, json, len);
    if (r) {
        return r;
    }
    return read_display(ret, document) ? 0 : SESSION_REPLY_E_INVALID;
}

bool
session_reply_is_json(const char *data, size_t len)
{
    _cleanup_(sbx_json_decrefp) json_t *document = NULL;
    struct sbx_field_error err;

    return sbx_json_parse(&document, data, len, &err) == 0;
}
