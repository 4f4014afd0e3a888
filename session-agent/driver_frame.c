#include "session-agent/driver_frame.h"

#include <string.h>

#include "lib/sbx_jsonw.h"
#include "lib/sbx_utf8.h"

#define MAX_DISPLAY_TEXT 16384u
#define MAX_OUTCOME_TEXT (256u << 10)
#define MAX_NAME 256u
#define MAX_VALUE 8192u
#define MAX_DROPPED 1000000

void
driver_reader_init(struct driver_reader *reader)
{
    *reader = (struct driver_reader){
        .text.max = MAX_OUTCOME_TEXT,
        .outcome.error.max = 8ul * MAX_OUTCOME_TEXT,
    };
}

void
driver_reader_deinit(struct driver_reader *reader)
{
    sbx_buf_deinit(&reader->text);
    sbx_buf_deinit(&reader->outcome.error);
}

/* type/subtype of RFC 6838's names, in lower case: executord takes no other. */
static bool
mime_valid(const char *mime, size_t len)
{
    static const char chars[] = "abcdefghijklmnopqrstuvwxyz0123456789!#$&^_.+-";
    size_t type = strspn(mime, chars), sub;

    if (len > DRIVER_MAX_MIME || type == 0 || mime[type] != '/') {
        return false;
    }
    sub = strspn(mime + type + 1, chars);
    return sub > 0 && type + 1 + sub == len;
}

static bool
item_read(struct driver_display *display, const json_t *json)
{
    static const char *const known[] = { "mime", "size", NULL };
    struct driver_item *item = &display->items[display->n_items];
    struct sbx_field_error err;
    const char *mime = "";
    int64_t size = -1;
    size_t len = 0;
    unsigned i;

    if (!json_is_object(json) || !sbx_json_only(json, "", known, &err) ||
        !sbx_json_get_str(json, "", "mime", DRIVER_MAX_MIME, &mime, &len, &err) ||
        !sbx_json_get_int(json, "", "size", 0, DRIVER_FRAME_MAX, &size, &err) || size < 0 ||
        !mime_valid(mime, len)) {
        return false;
    }
    for (i = 0; i < display->n_items; i++) {
        if (strcmp(display->items[i].mime, mime) == 0) {
            return false;
        }
    }
    memcpy(item->mime, mime, len + 1);
    item->size = (uint32_t)size;
    display->bytes += item->size; /* 32 of 32 MiB fit */
    display->n_items++;
    return true;
}

static bool
display_read(struct driver_display *ret, const json_t *json)
{
    static const char *const known[] = { "kind", "items", NULL };
    struct sbx_field_error err;
    const char *kind = "";
    json_t *items = NULL;
    const json_t *item;
    size_t i;

    ret->n_items = 0;
    ret->bytes = 0;
    if (!sbx_json_only(json, "", known, &err) || !sbx_json_get_str(json, "", "kind", 16, &kind, NULL, &err) ||
        !sbx_json_get_array(json, "", "items", DRIVER_MAX_ITEMS, &items, &err) ||
        json_array_size(items) == 0) {
        return false;
    }
    ret->is_result = strcmp(kind, "result") == 0;
    if (!ret->is_result && strcmp(kind, "display") != 0) {
        return false;
    }
    json_array_foreach (items, i, item) {
        if (!item_read(ret, item)) {
            return false;
        }
    }
    return true;
}

/* The longest beginning of at most so many bytes that cuts no character. */
static size_t
text_cut(const char *text, size_t len, size_t max)
{
    if (len <= max) {
        return len;
    }
    while (max > 0 && ((unsigned char)text[max] & 0xc0) == 0x80) {
        max--;
    }
    return max;
}

/* Escapes make a text up to six times as long: the traceback is cut until all of it fits. */
static bool
error_read(struct sbx_buf *ret, const json_t *error)
{
    static const char *const known[] = { "name", "value", "traceback", NULL };
    const char *name = "", *value = "", *traceback = "";
    size_t name_len = 0, value_len = 0, traceback_len = 0, max = DRIVER_MAX_ERROR;
    struct sbx_field_error err;
    struct sbx_jsonw w;

    if (!sbx_json_only(error, "", known, &err) ||
        !sbx_json_get_str(error, "", "name", MAX_OUTCOME_TEXT, &name, &name_len, &err) ||
        !sbx_json_get_str(error, "", "value", MAX_OUTCOME_TEXT, &value, &value_len, &err) ||
        !sbx_json_get_str(error, "", "traceback", MAX_OUTCOME_TEXT, &traceback, &traceback_len, &err)) {
        return false;
    }
    do {
        sbx_buf_reset(ret);
        sbx_jsonw_init(&w, ret);
        sbx_jsonw_object(&w, NULL);
        sbx_jsonw_strn(&w, "name", name, text_cut(name, name_len, MAX_NAME));
        sbx_jsonw_strn(&w, "value", value, text_cut(value, value_len, MAX_VALUE));
        sbx_jsonw_strn(&w, "traceback", traceback, text_cut(traceback, traceback_len, max));
        sbx_jsonw_object_end(&w);
        max /= 2;
    } while (ret->len > DRIVER_MAX_ERROR && !ret->failed);
    return !ret->failed;
}

static bool
outcome_read(struct driver_outcome *ret, const json_t *json)
{
    static const char *const known[] = { "status", "error", "exit_code", "dropped", NULL };
    static const char *const statuses[] = {
        [DRIVER_SUCCEEDED] = "succeeded",
        [DRIVER_FAILED] = "failed",
        [DRIVER_INTERRUPTED] = "interrupted",
    };
    int64_t exit_code = -1, dropped = 0;
    struct sbx_field_error err;
    const char *status = "";
    json_t *error = NULL;
    unsigned i;

    sbx_buf_reset(&ret->error);
    if (!sbx_json_only(json, "", known, &err) ||
        !sbx_json_get_str(json, "", "status", 16, &status, NULL, &err) ||
        !sbx_json_get_object(json, "", "error", &error, &err) ||
        !sbx_json_get_int(json, "", "exit_code", 0, 255, &exit_code, &err) ||
        !sbx_json_get_int(json, "", "dropped", 0, MAX_DROPPED, &dropped, &err)) {
        return false;
    }
    for (i = 0; i < SBX_COUNT(statuses) && strcmp(statuses[i], status) != 0; i++) {
        continue;
    }
    if (i == SBX_COUNT(statuses)) {
        return false;
    }
    ret->status = (enum driver_status)i;
    ret->has_exit_code = exit_code >= 0;
    ret->exit_code = (int)exit_code;
    ret->dropped = (unsigned)dropped;
    return error == NULL || error_read(&ret->error, error);
}

/* The JSON at the head of a frame is complete. */
static enum driver_event
text_end(struct driver_reader *reader)
{
    _cleanup_(sbx_json_decrefp) json_t *json = NULL;
    struct sbx_field_error err;
    bool is_display = reader->head[4] == 'D';

    if (reader->text.failed || sbx_json_parse(&json, reader->text.data, reader->text.len, &err) != 0 ||
        !json_is_object(json)) {
        return DRIVER_NONSENSE;
    }
    sbx_buf_reset(&reader->text);
    if (!is_display) {
        reader->n_head = 0;
        return outcome_read(&reader->outcome, json) ? DRIVER_OUTCOME : DRIVER_NONSENSE;
    }
    if (!display_read(&reader->display, json) || reader->display.bytes != reader->left) {
        return DRIVER_NONSENSE;
    }
    reader->is_body = reader->left > 0;
    reader->n_head = reader->is_body ? reader->n_head : 0;
    return DRIVER_DISPLAY;
}

static enum driver_event
head_end(struct driver_reader *reader)
{
    const unsigned char *head = reader->head;
    uint32_t len =
        (uint32_t)head[0] | (uint32_t)head[1] << 8 | (uint32_t)head[2] << 16 | (uint32_t)head[3] << 24;

    reader->left = len - 1;
    switch (head[4]) {
    case 'R':
        reader->n_head = 0;
        return len == 1 ? DRIVER_READY : DRIVER_NONSENSE;
    case 'D':
        return len > 2 && len <= DRIVER_FRAME_MAX ? DRIVER_NOTHING : DRIVER_NONSENSE;
    case 'E':
        return len > 2 && len <= MAX_OUTCOME_TEXT ? DRIVER_NOTHING : DRIVER_NONSENSE;
    default:
        return DRIVER_NONSENSE;
    }
}

static size_t
feed_head(struct driver_reader *reader, const char *data, size_t len, enum driver_event *ret_event)
{
    size_t n = sizeof(reader->head) - reader->n_head;

    n = n < len ? n : len;
    memcpy(reader->head + reader->n_head, data, n);
    reader->n_head += n;
    if (reader->n_head == sizeof(reader->head)) {
        *ret_event = head_end(reader);
    }
    return n;
}

static size_t
feed_text(struct driver_reader *reader, const char *data, size_t len, enum driver_event *ret_event)
{
    size_t n = reader->left < len ? reader->left : len;
    const char *end = reader->head[4] == 'D' ? memchr(data, '\n', n) : NULL;
    size_t text = end == NULL ? n : (size_t)(end - data);

    sbx_buf_append(&reader->text, data, text);
    n = end == NULL ? n : text + 1;
    reader->left -= (uint32_t)n;
    if (reader->head[4] == 'D' &&
        (reader->text.len > MAX_DISPLAY_TEXT || (end == NULL && reader->left == 0))) {
        *ret_event = DRIVER_NONSENSE;
    } else if (end != NULL || reader->left == 0) {
        *ret_event = text_end(reader);
    }
    return n;
}

static size_t
feed_body(struct driver_reader *reader, const char *data, size_t len, enum driver_event *ret_event)
{
    size_t n = reader->left < len ? reader->left : len;

    reader->bytes = data;
    reader->n_bytes = n;
    reader->left -= (uint32_t)n;
    if (reader->left == 0) {
        reader->is_body = false;
        reader->n_head = 0;
    }
    *ret_event = DRIVER_BYTES;
    return n;
}

size_t
driver_reader_feed(struct driver_reader *reader, const char *data, size_t len, enum driver_event *ret_event)
{
    size_t off = 0;

    *ret_event = reader->is_broken ? DRIVER_NONSENSE : DRIVER_NOTHING;
    while (off < len && *ret_event == DRIVER_NOTHING) {
        if (reader->n_head < sizeof(reader->head)) {
            off += feed_head(reader, data + off, len - off, ret_event);
        } else if (reader->is_body) {
            off += feed_body(reader, data + off, len - off, ret_event);
        } else {
            off += feed_text(reader, data + off, len - off, ret_event);
        }
    }
    reader->is_broken = *ret_event == DRIVER_NONSENSE;
    return off;
}
