/* Hostile words of an agent about a session: whatever is accepted must keep the promises of session_reply.h. */
#include "executor/runtime/session_reply.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "lib/sbx_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_reply(const struct session_reply *reply)
{
    assert(reply->ok == (reply->error[0] == '\0'));
    assert(strlen(reply->error) < sizeof(reply->error) && strlen(reply->message) < sizeof(reply->message));
    for (const char *c = reply->message; *c != '\0'; c++) {
        assert((unsigned char)*c >= 0x20 && *c != 0x7f);
    }
}

static void
check_step(struct session_reply_step *step)
{
    struct sbx_field_error err;
    json_t *json;

    check_reply(&step->reply);
    assert(step->exit_code >= 0 && step->exit_code <= 255);
    assert(step->status != STEP_SAYS_CRASHED || !step->alive);
    assert(step->signal[0] == '\0' || strncmp(step->signal, "SIG", 3) == 0);
    if (step->error_json != NULL) {
        assert(sbx_json_parse(&json, step->error_json, strlen(step->error_json), &err) == 0);
        assert(json_is_object(json) && json_object_size(json) == 3);
        json_decref(json);
    }
    free(step->error_json);
}

static void
check_display(const struct session_reply_display *display)
{
    assert(display->n_items <= SESSION_REPLY_MAX_ITEMS);
    for (unsigned i = 0; i < display->n_items; i++) {
        assert(strchr(display->items[i].mime, '/') != NULL &&
               display->items[i].size <= SESSION_REPLY_MAX_ITEM_BYTES);
        for (unsigned k = 0; k < i; k++) {
            assert(strcmp(display->items[i].mime, display->items[k].mime) != 0);
        }
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    struct session_reply_display display;
    struct session_reply_step step;
    struct session_reply reply;

    if (session_reply_end(&reply, text, size) == 0) {
        check_reply(&reply);
    }
    if (session_reply_step(&step, text, size) == 0) {
        check_step(&step);
    }
    if (session_reply_display(&display, text, size) == 0) {
        check_display(&display);
    }
    (void)session_reply_is_json(text, size); /* only that it ends */
    return 0;
}
