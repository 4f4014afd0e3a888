#include "session-agent/environ.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/sbx_wall.h"

#define OPT_DIR "/opt/sandbox/"

void
strings_deinit(struct strings *strings)
{
    size_t i;

    for (i = 0; i < strings->n; i++) {
        free(strings->items[i]);
    }
    free(strings->items);
    *strings = (struct strings){ 0 };
}

/* Takes text; NULL is out of memory. */
static int
strings_take(struct strings *strings, char *text)
{
    char **items;

    if (text == NULL) {
        return -ENOMEM;
    }
    items = reallocarray(strings->items, strings->n + 2, sizeof(*items));
    if (items == NULL) {
        free(text);
        return -ENOMEM;
    }
    items[strings->n++] = text;
    items[strings->n] = NULL;
    strings->items = items;
    return 0;
}

int
strings_add(struct strings *strings, const char *text)
{
    return strings_take(strings, strdup(text));
}

static char *
argument(const char *text, const struct environ_spec *spec)
{
    char *joined;

    if (strcmp(text, "{source}") == 0) {
        return strdup(spec->source_path);
    }
    if (strncmp(text, OPT_DIR, strlen(OPT_DIR)) == 0) {
        return asprintf(&joined, "%s/%s", spec->opt_dir, text + strlen(OPT_DIR)) < 0 ? NULL : joined;
    }
    return strdup(text);
}

static int
arguments(struct strings *ret, const json_t *items, const struct environ_spec *spec)
{
    const json_t *item;
    size_t i;
    int r = 0;

    *ret = (struct strings){ 0 };
    json_array_foreach (items, i, item) {
        r = r < 0 ? r : strings_take(ret, argument(json_string_value(item), spec));
    }
    return r;
}

int
environ_argv(struct strings *ret, const struct environ_spec *spec)
{
    const json_t *item;
    size_t i;
    int r = arguments(ret, spec->runtime->argv, spec);

    json_array_foreach (spec->request->args, i, item) {
        r = r < 0 ? r : strings_take(ret, strdup(json_string_value(item)));
    }
    return r;
}

int
environ_slot(struct strings *ret, const struct environ_spec *spec)
{
    return arguments(ret, spec->runtime->slot, spec);
}

int
environ_repl(struct strings *ret, const struct environ_spec *spec)
{
    return arguments(ret, spec->runtime->repl, spec);
}

static int
env_set(struct strings *env, const char *name, const char *value)
{
    size_t len = strlen(name), i;
    char *text;

    if (asprintf(&text, "%s=%s", name, value) < 0) {
        return -ENOMEM;
    }
    for (i = 0; i < env->n; i++) {
        if (strncmp(env->items[i], name, len) == 0 && env->items[i][len] == '=') {
            free(env->items[i]);
            env->items[i] = text;
            return 0;
        }
    }
    return strings_take(env, text);
}

static int
env_set_all(struct strings *env, json_t *object)
{
    const char *name;
    json_t *value;
    int r = 0;

    json_object_foreach (object, name, value) {
        r = r < 0 ? r : env_set(env, name, json_string_value(value));
    }
    return r;
}

int
environ_env(struct strings *ret, const struct environ_spec *spec)
{
    const struct places *places = &spec->session->places;
    const struct {
        const char *name;
        const char *value;
    } base[] = {
        { "PATH", "/usr/local/bin:/usr/bin:/bin" },
        { "HOME", places->workspace },
        { "TMPDIR", places->tmp },
        { "LANG", "C.UTF-8" },
        { "SANDBOX_SESSION_ID",
          spec->request != NULL ? spec->request->session_id : spec->session->request.id },
        { "SANDBOX_STEP_ID", spec->request != NULL ? spec->request->step_id : NULL },
        { "SANDBOX_RESULT_FILE", spec->result_path },
        { "SANDBOX_EVENT_FILE", spec->event_path },
    };
    size_t i;
    int r = 0;

    *ret = (struct strings){ 0 };
    for (i = 0; sbx_wall_is_off(SBX_WALL_ENVIRONMENT) && environ[i] != NULL && r == 0; i++) {
        r = strings_take(ret, strdup(environ[i]));
    }
    for (i = 0; i < SBX_COUNT(base) && r == 0; i++) {
        r = base[i].value == NULL ? 0 : env_set(ret, base[i].name, base[i].value);
    }
    if (r == 0 && spec->runtime != NULL) {
        r = env_set_all(ret, spec->runtime->env);
    }
    if (r == 0) {
        r = env_set_all(ret, spec->session->request.env);
    }
    return r < 0 ? r : env_set_all(ret, spec->request != NULL ? spec->request->env : spec->more);
}
