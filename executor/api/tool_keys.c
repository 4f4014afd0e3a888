#include "executor/api/tool_keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "executor/api/api_inside.h"
#include "executor/core/engine.h"
#include "executor/core/sessions.h"
#include "executor/core/step.h"

#define KEYS_LEFT_MAX 1024 /* of calls whose client left */

struct tool_key {
    struct list link;
    struct api *api;
    bool left; /* no call has it any more */
    char tenant[SBX_NAME_MAX + 1];
    char key[TOOL_KEY_LEN + 1];
    struct tool_object object;
};

bool
tool_key_valid(const char *text, size_t len)
{
    return len == TOOL_KEY_LEN && strspn(text, "0123456789abcdef") >= len;
}

struct tool_key *
tool_key_new(struct api *api, const char *tenant, const char *text)
{
    struct tool_key *key = calloc(1, sizeof(*key));

    if (key != NULL) {
        key->api = api;
        (void)snprintf(key->tenant, sizeof(key->tenant), "%s",
                       tenant); /* as long as a tenant's name may be */
        memcpy(key->key, text, TOOL_KEY_LEN);
        list_init(&key->link);
        list_append(&api->tool_keys, &key->link);
    }
    return key;
}

void
tool_key_began(struct tool_key *key, const struct tool_object *object)
{
    key->object = *object;
}

struct tool_key *
tool_key_free(struct tool_key *key)
{
    if (key != NULL) {
        key->api->n_tool_keys_left -= key->left ? 1 : 0;
        list_remove(&key->link);
        free(key);
    }
    return NULL;
}

/* Those that were left longest ago make room. */
static void
keys_make_room(struct api *api)
{
    struct list *it, *after;

    list_each (it, after, &api->tool_keys) {
        struct tool_key *key = list_entry(it, struct tool_key, link);

        if (api->n_tool_keys_left <= KEYS_LEFT_MAX) {
            return;
        }
        if (key->left) {
            tool_key_free(key);
        }
    }
}

void
tool_key_leave(struct tool_key *key)
{
    if (key == NULL || key->object.id[0] == '\0') {
        tool_key_free(key);
        return;
    }
    key->left = true;
    key->api->n_tool_keys_left++;
    list_remove(&key->link);
    list_append(&key->api->tool_keys, &key->link);
    keys_make_room(key->api);
}

void
tool_keys_drop(struct api *api)
{
    struct list *it, *after;

    list_each (it, after, &api->tool_keys) {
        tool_key_free(list_entry(it, struct tool_key, link));
    }
}

static bool
session_object_cancel(struct session *session, const struct tool_object *object,
                      const struct sbx_context *who, const char *reason)
{
    struct step *step = object->sub[0] == '\0' ? NULL : step_find(session, object->sub);

    if (object->sub[0] == '\0') {
        bool lives = session->record.state != SESSION_ENDED;

        session_cancel_by(session, who, reason);
        return lives;
    }
    if (step == NULL || step_state_final(step_record(step)->state)) {
        return false;
    }
    step_cancel_by(step, who, reason);
    return true;
}

bool
tool_object_cancel(struct api *api, const struct tool_object *object, const struct sbx_context *who,
                   const char *reason)
{
    struct session *session;
    struct job *job;

    if (object->id[0] == '\0') {
        return false;
    }
    session = sessions_find(api->spec.sessions, who->tenant, object->id);
    if (session != NULL) {
        return session_object_cancel(session, object, who, reason);
    }
    job = engine_find(api->spec.engine, who->tenant, object->id);
    if (job == NULL || job->ended) {
        return false;
    }
    engine_cancel_by(api->spec.engine, job, who, reason);
    return true;
}

bool
tool_keys_cancel(struct api *api, const char *text, const struct sbx_context *who)
{
    struct tool_object object = { 0 };
    struct list *it, *after;
    unsigned n = 0;

    if (!tool_key_valid(text, strlen(text))) {
        return false;
    }
    list_each (it, after, &api->tool_keys) {
        const struct tool_key *key = list_entry(it, struct tool_key, link);

        if (strcmp(key->tenant, who->tenant) == 0 && memcmp(key->key, text, TOOL_KEY_LEN) == 0) {
            object = key->object;
            n++;
        }
    }
    /* A client that gives several of its calls one id does not say which it means. */
    return n == 1 && tool_object_cancel(api, &object, who, "cancelled_by_client");
}
