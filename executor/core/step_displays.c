/*
 * Rich output of a step. The tenant's code can announce what it likes: what is more than a step may show is read and
 * dropped, and counted.
 */
#include <stdlib.h>
#include <string.h>

#include "executor/core/step_inside.h"
#include "lib/sbx_crypto.h"

#define DISPLAYS_JSON_MAX (40u << 20) /* base64 of the most there may be, escapes, keys */

void
step_displays_deinit(struct step_displays *displays)
{
    sbx_buf_deinit(&displays->json);
    sbx_buf_deinit(&displays->one);
    sbx_buf_deinit(&displays->data);
    free(displays->now);
    displays->now = NULL;
}

static bool
mime_is_text(const char *mime)
{
    static const char *const more[] = { "application/json", "application/javascript", "application/xml",
                                        "image/svg+xml" };
    size_t len = strlen(mime);

    for (size_t i = 0; i < SBX_COUNT(more); i++) {
        if (strcmp(mime, more[i]) == 0) {
            return true;
        }
    }
    return strncmp(mime, "text/", 5) == 0 || (len > 5 && strcmp(mime + len - 5, "+json") == 0) ||
           (len > 4 && strcmp(mime + len - 4, "+xml") == 0);
}

static void
write_item(struct sbx_jsonw *w, const char *mime, const struct sbx_buf *data)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf text = SBX_BUF_INIT(2ul * STEP_MAX_ITEM_BYTES);
    const char *bytes = data->data == NULL ? "" : data->data;

    if (strcmp(mime, "application/json") == 0 && session_reply_is_json(bytes, data->len)) {
        sbx_jsonw_raw(w, mime, bytes, data->len);
    } else if (mime_is_text(mime)) {
        sbx_jsonw_strn(w, mime, bytes, data->len);
    } else {
        sbx_buf_putc(&text, '"');
        sbx_b64_encode(&text, bytes, data->len);
        sbx_buf_putc(&text, '"');
        if (text.failed) {
            w->buf->failed = true;
            return;
        }
        sbx_jsonw_raw(w, mime, text.data, text.len);
    }
}

static const char *
display_kind(const struct session_reply_display *display)
{
    return display->is_result ? "result" : "display";
}

/* Without memory for it, or room, it was never there, but counts as dropped. */
static void
display_end(struct step *step)
{
    struct step_displays *displays = &step->displays;
    size_t before = displays->json.len;

    if (!displays->dropping) {
        sbx_jsonw_object_end(&displays->w);
        sbx_jsonw_object_end(&displays->w);
        sbx_buf_putc(&displays->json, displays->n > 0 ? ',' : '[');
        sbx_buf_append(&displays->json, displays->one.data, displays->one.len);
    }
    if (displays->dropping || displays->one.failed || displays->json.failed) {
        displays->json.len = before;
        displays->json.failed = false;
        displays->dropped++;
    } else {
        feed_event(step->feed, display_kind(displays->now), displays->one.data, displays->one.len);
        displays->n++;
    }
    sbx_buf_deinit(&displays->one);
    free(displays->now);
    displays->now = NULL;
}

/* Items without bytes are over at once. */
static void
display_next_items(struct step *step)
{
    struct step_displays *displays = &step->displays;

    while (displays->now != NULL && displays->left == 0) {
        const struct session_reply_display *now = displays->now;

        if (!displays->dropping) {
            write_item(&displays->w, now->items[displays->item].mime, &displays->data);
        }
        sbx_buf_deinit(&displays->data);
        displays->data = (struct sbx_buf)SBX_BUF_INIT(STEP_MAX_ITEM_BYTES);
        if (++displays->item == now->n_items) {
            display_end(step);
        } else {
            displays->left = now->items[displays->item].size;
        }
    }
}

static bool
display_fits(struct step_displays *displays, const struct session_reply_display *display)
{
    uint64_t bytes = 0;

    for (unsigned i = 0; i < display->n_items; i++) {
        if (display->items[i].size > STEP_MAX_ITEM_BYTES) {
            return false;
        }
        bytes += display->items[i].size;
    }
    if (displays->n >= STEP_MAX_DISPLAYS || displays->bytes + bytes > STEP_MAX_DISPLAY_BYTES) {
        return false;
    }
    displays->bytes += bytes;
    return true;
}

static void
display_begin(struct step_displays *displays)
{
    displays->json.max = DISPLAYS_JSON_MAX;
    displays->one = (struct sbx_buf)SBX_BUF_INIT(DISPLAYS_JSON_MAX);
    displays->data = (struct sbx_buf)SBX_BUF_INIT(STEP_MAX_ITEM_BYTES);
    displays->item = 0;
    displays->left = displays->now->items[0].size;
    displays->dropping = !display_fits(displays, displays->now);
    sbx_jsonw_init(&displays->w, &displays->one);
    sbx_jsonw_object(&displays->w, NULL);
    sbx_jsonw_str(&displays->w, "kind", display_kind(displays->now));
    sbx_jsonw_object(&displays->w, "data");
}

bool
step_displays_note(struct step *step, const char *json, size_t len)
{
    struct step_displays *displays = &step->displays;
    struct session_reply_display *display;
    int r;

    if (displays->now != NULL) {
        return false;
    }
    display = calloc(1, sizeof(*display));
    if (display == NULL) {
        return false;
    }
    r = session_reply_display(display, json, len);
    if (r != 0 || display->n_items == 0) {
        free(display);
        return r == 0;
    }
    displays->now = display;
    display_begin(displays);
    display_next_items(step);
    return true;
}

bool
step_displays_data(struct step *step, const char *data, size_t len)
{
    struct step_displays *displays = &step->displays;

    while (len > 0) {
        size_t n = len;

        if (displays->now == NULL) {
            return false;
        }
        if (n > displays->left) {
            n = (size_t)displays->left;
        }
        if (!displays->dropping) {
            sbx_buf_append(&displays->data, data, n);
            displays->dropping = displays->data.failed;
        }
        displays->left -= n;
        data += n;
        len -= n;
        display_next_items(step);
    }
    return true;
}

bool
step_displays_complete(const struct step *step)
{
    return step->displays.now == NULL;
}

void
step_displays_take(struct step *step)
{
    struct step_displays *displays = &step->displays;

    step->n_displays = displays->n;
    if (displays->n > 0) {
        sbx_buf_putc(&displays->json, ']');
        step->record.results_json = sbx_buf_take(&displays->json, NULL);
    }
    step_displays_deinit(displays);
}
