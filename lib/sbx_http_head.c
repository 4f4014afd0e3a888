#include "sbx_http_head.h"

#include <string.h>
#include <strings.h>

/* http-parser does not look at the first byte of a value. */
static bool
is_control(char c)
{
    return (c >= 0 && c < ' ' && c != '\t' && c != '\r') || c == '\x7f';
}

/* How many bytes of a field's value, or of the first line, that change nothing but its length. */
static size_t
guard_skip(const char *data, size_t len)
{
    static const bool ordinary[256] = { ['\t'] = true, [' ' ... '~'] = true, [0x80 ... 0xff] = true };
    size_t i = 0;

    while (i < len && ordinary[(uint8_t)data[i]]) {
        i++;
    }
    return i;
}

size_t
sbx_http_guard_feed(struct sbx_http_guard *guard, const char *data, size_t len)
{
    size_t i;

    for (i = 0; i < len && !guard->bad && !guard->done; i++) {
        if (data[i] == '\n') {
            guard->bad = !guard->cr;
            guard->done = guard->line == 0 && guard->started;
            guard->fields = guard->started;
            guard->named = false;
            guard->line = 0;
            guard->cr = false;
        } else if (guard->cr || is_control(data[i])) {
            guard->bad = true;
        } else if (data[i] == '\r') {
            guard->cr = true;
        } else {
            guard->bad =
                (guard->line == 0 || (guard->fields && !guard->named)) && (data[i] == ' ' || data[i] == '\t');
            guard->named = guard->named || data[i] == ':';
            guard->line++;
            guard->started = true;
            if (!guard->bad && guard->named) {
                const size_t n = guard_skip(data + i + 1, len - i - 1);

                guard->line += n;
                i += n;
            }
        }
    }

    return i;
}

void
sbx_http_head_reset(struct sbx_http_head *head)
{
    sbx_buf_reset(&head->text);
    head->n_fields = 0;
    head->in_value = false;
    head->complete = false;
    head->overflow = false;
}

static int
head_append(struct sbx_http_head *head, const char *data, size_t len)
{
    sbx_buf_append(&head->text, data, len);
    head->overflow = head->overflow || head->text.failed;
    return head->overflow ? -1 : 0;
}

/* Ends the string being collected; optional white space after a value is no part of it. */
static int
head_terminate(struct sbx_http_head *head)
{
    struct sbx_buf *text = &head->text;

    if (head->in_value) {
        size_t start = head->fields[head->n_fields - 1].value;

        while (text->len > start && (text->data[text->len - 1] == ' ' || text->data[text->len - 1] == '\t')) {
            text->len--;
        }
    }

    return head_append(head, "", 1);
}

int
sbx_http_head_target(struct sbx_http_head *head, const char *data, size_t len)
{
    return head_append(head, data, len);
}

int
sbx_http_head_name(struct sbx_http_head *head, const char *data, size_t len)
{
    if (head->complete) {
        return 0;
    }

    if (head->n_fields == 0 || head->in_value) {
        if (head->n_fields == SBX_HTTP_MAX_HEADERS) {
            head->overflow = true;
            return -1;
        }
        if (head_terminate(head) < 0) {
            return -1;
        }
        head->in_value = false;
        head->fields[head->n_fields].name = head->text.len;
        head->n_fields++;
    }

    return head_append(head, data, len);
}

int
sbx_http_head_value(struct sbx_http_head *head, const char *data, size_t len)
{
    if (head->complete) {
        return 0;
    }

    if (!head->in_value) {
        if (head_append(head, "", 1) < 0) {
            return -1;
        }
        head->in_value = true;
        head->fields[head->n_fields - 1].value = head->text.len;
    }

    return head_append(head, data, len);
}

int
sbx_http_head_end(struct sbx_http_head *head)
{
    head->complete = true;
    return head_terminate(head);
}

const char *
sbx_http_head_get(const struct sbx_http_head *head, const char *name)
{
    unsigned i;

    for (i = 0; i < head->n_fields; i++) {
        if (strcasecmp(head->text.data + head->fields[i].name, name) == 0) {
            return head->text.data + head->fields[i].value;
        }
    }

    return NULL;
}

unsigned
sbx_http_head_count(const struct sbx_http_head *head, const char *name)
{
    unsigned i, n = 0;

    for (i = 0; i < head->n_fields; i++) {
        n += strcasecmp(head->text.data + head->fields[i].name, name) == 0;
    }

    return n;
}
