/* Rich output of a step: its text for the view, its images by name. */
#include <stdio.h>
#include <string.h>

#include "executor/api/tool_view.h"
#include "executor/core/step_results.h"
#include "lib/sbx_json.h"

#define TEXT_SLICE_MAX (1ul << 20) /* of JSON: a longer text is told of by its size */
#define DISPLAY_TEXT_MAX 4096ul
#define DISPLAYS_TEXT_MAX 16384ul /* of all of them, but for the last one's length */

const char *
tool_picture_mime(const char *mime)
{
    static const char *const kinds[] = { "image/png", "image/jpeg", "image/gif", "image/webp" };

    for (size_t i = 0; i < SBX_COUNT(kinds); i++) {
        if (strcmp(mime, kinds[i]) == 0) {
            return kinds[i];
        }
    }
    return NULL;
}

/* Base64 in a JSON string, as step_displays.c writes it. */
static bool
picture_take(struct tool_picture *ret, const struct step_result_item *item, unsigned number)
{
    const char *mime = tool_picture_mime(item->mime);
    size_t len = item->len - 2, padding;

    if (mime == NULL || item->len < 6 || item->value[0] != '"' || len % 4 != 0) {
        return false;
    }
    *ret = (struct tool_picture){ .mime = mime, .base64 = item->value + 1, .base64_len = len };
    padding = (item->value[len] == '=' ? 1u : 0) + (item->value[len - 1] == '=' ? 1u : 0);
    ret->size = len / 4 * 3 - padding;
    (void)snprintf(ret->name, sizeof(ret->name), "display-%u.%s", number, strchr(mime, '/') + 1); /* fits */
    return true;
}

bool
tool_pictures_next(struct tool_pictures *pictures, struct tool_picture *ret)
{
    struct step_result_item item;
    struct step_result display;

    while (pictures->n < TOOL_PICTURES_MAX && (pictures->items != NULL || pictures->rest != NULL)) {
        while (pictures->items != NULL && step_result_item_next(&pictures->items, &item)) {
            if (picture_take(ret, &item, pictures->n + 1)) {
                pictures->n++;
                return true;
            }
        }
        pictures->items = NULL;
        if (pictures->rest == NULL || !step_results_next(&pictures->rest, &display)) {
            return false;
        }
        pictures->items = display.items;
    }
    return false;
}

/* The bytes of a JSON string that stands in a larger text. */
static bool
string_text(struct sbx_buf *out, const struct step_result_item *item, size_t max)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf whole = SBX_BUF_INIT(TEXT_SLICE_MAX + 2);
    _cleanup_(sbx_json_decrefp) json_t *json = NULL;
    struct sbx_field_error ignored;
    const json_t *text;

    sbx_buf_putc(&whole, '[');
    sbx_buf_append(&whole, item->value, item->len);
    sbx_buf_putc(&whole, ']');
    if (whole.failed || sbx_json_parse(&json, whole.data, whole.len, &ignored) != 0) {
        return false;
    }
    text = json_array_get(json, 0);
    if (!json_is_string(text)) {
        return false;
    }
    tool_output_ends(out, json_string_value(text), json_string_length(text), max);
    return true;
}

static int
text_rank(const char *mime)
{
    static const char *const best[] = { "text/html", "text/latex", "text/markdown", "text/plain" };

    for (size_t i = 0; i < SBX_COUNT(best); i++) {
        if (strcmp(mime, best[i]) == 0) {
            return (int)i + 1;
        }
    }
    return 0;
}

static void
result_text(struct tool_view *view, const struct step_result_item *item)
{
    struct sbx_jsonw w;

    if (!string_text(&view->result_text, item, TOOL_RESULT_MAX)) {
        view->result_bytes = item->len;
        return;
    }
    sbx_jsonw_init(&w, &view->result_json);
    sbx_jsonw_strn(&w, NULL, view->result_text.data, view->result_text.len);
}

/* The value of the last expression: as JSON when it has such a form, else as text. */
static void
result_take(struct tool_view *view, const struct step_result_item *json, const struct step_result_item *text)
{
    if (json->len > 0 && json->len <= TOOL_RESULT_MAX) {
        sbx_buf_append(&view->result_json, json->value, json->len);
        tool_output_escape(&view->result_text, json->value, json->len);
    } else if (text->len > 0) {
        result_text(view, text);
    } else if (json->len > 0) {
        view->result_bytes = json->len;
    }
}

/* One line a picture, then text in its own lines. */
static void
display_text(struct tool_view *view, const struct step_result_item *text, unsigned number,
             struct sbx_buf *ret_text)
{
    if (text->len == 0 || view->displays_text.len > DISPLAYS_TEXT_MAX ||
        !string_text(ret_text, text, DISPLAY_TEXT_MAX) || ret_text->len == 0) {
        return;
    }
    sbx_buf_printf(&view->displays_text, "display %u (%s):\n", number, text->mime);
    sbx_buf_append(&view->displays_text, ret_text->data, ret_text->len);
    if (ret_text->data[ret_text->len - 1] != '\n') {
        sbx_buf_putc(&view->displays_text, '\n');
    }
}

struct display {
    struct step_result_item json, text;
    int rank;
    const char *items;
    bool is_result;
    unsigned number;
};

static void
display_write(struct tool_view *view, struct sbx_jsonw *w, const struct display *display)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf text = SBX_BUF_INIT(4 * DISPLAY_TEXT_MAX);
    struct step_result_item item;
    const char *items = display->items;

    if (!display->is_result) {
        display_text(view, &display->text, display->number, &text);
    }
    sbx_jsonw_object(w, NULL);
    sbx_jsonw_str(w, "kind", display->is_result ? "result" : "display");
    sbx_jsonw_array(w, "mime_types");
    while (step_result_item_next(&items, &item)) {
        sbx_jsonw_str(w, NULL, item.mime);
    }
    sbx_jsonw_array_end(w);
    if (text.len > 0) {
        sbx_jsonw_strn(w, "text", text.data, text.len);
    }
    sbx_jsonw_object_end(w);
}

static void
display_look(struct tool_view *view, struct display *display)
{
    struct step_result_item item;
    const char *items = display->items;

    while (step_result_item_next(&items, &item)) {
        if (strcmp(item.mime, "application/json") == 0) {
            display->json = item;
        }
        if (text_rank(item.mime) > display->rank) {
            display->rank = text_rank(item.mime);
            display->text = item;
        }
        if (view->n_pictures < TOOL_PICTURES_MAX &&
            picture_take(&view->pictures[view->n_pictures], &item, view->n_pictures + 1)) {
            view->n_pictures++;
        }
    }
}

void
tool_view_displays(struct tool_view *view)
{
    const char *rest = view->run->displays_json;
    struct step_result result;
    struct sbx_jsonw w;
    unsigned n = 0;

    if (rest == NULL) {
        return;
    }
    sbx_jsonw_init(&w, &view->displays_json);
    sbx_jsonw_array(&w, NULL);
    while (step_results_next(&rest, &result)) {
        struct display display = { .items = result.items, .is_result = result.is_result, .number = ++n };

        display_look(view, &display);
        if (display.is_result) {
            result_take(view, &display.json, &display.text);
        }
        display_write(view, &w, &display);
    }
    sbx_jsonw_array_end(&w);
}
