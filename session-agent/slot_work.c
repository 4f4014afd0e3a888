#include "session-agent/slot_work.h"

#include <string.h>

#include "lib/sbx_jsonw.h"

#define MAX_NAME 128 /* of a variable */

/* What libc and the interpreters read when they start, and an interpreter that has started knows already. */
static bool
is_read_at_start(const char *variable)
{
    static const char *const prefixes[] = {
        "LANG=",    "LANGUAGE=", "LC_",      "LOCPATH=", "NLSPATH=",     "GCONV_PATH=", "TZ=",
        "TZDIR=",   "MALLOC_",   "RES_",     "HOSTAL",   "LOCALDOMAIN=", "NODE_",       "UV_",
        "OPENSSL_", "SSL_",      "ICU_DATA", "NO_COLOR", "FORCE_COLOR",
    };

    for (size_t i = 0; i < SBX_COUNT(prefixes); i++) {
        if (strncmp(variable, prefixes[i], strlen(prefixes[i])) == 0) {
            return true;
        }
    }
    return false;
}

static bool
has_variable(const struct strings *env, const char *variable)
{
    for (size_t i = 0; i < env->n; i++) {
        if (strcmp(env->items[i], variable) == 0) {
            return true;
        }
    }
    return false;
}

_must_check_ static bool
write_env(struct sbx_jsonw *w, const struct slot_work_spec *spec)
{
    char name[MAX_NAME + 1];

    sbx_jsonw_object(w, "env");
    for (char *const *item = spec->payload->env; *item != NULL; item++) {
        size_t len = strcspn(*item, "=");

        if (len > MAX_NAME || (is_read_at_start(*item) && !has_variable(spec->env, *item))) {
            return false;
        }
        memcpy(name, *item, len);
        name[len] = '\0';
        sbx_jsonw_str(w, name, *item + len + ((*item)[len] == '='));
    }
    sbx_jsonw_object_end(w);
    return true;
}

bool
slot_work_write(struct sbx_buf *out, const struct slot_work_spec *spec)
{
    const struct payload_spec *payload = spec->payload;
    struct sbx_jsonw w;
    size_t n = 0;

    sbx_jsonw_init(&w, out);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_str(&w, "mode", payload->has_control ? "context" : "job");
    sbx_jsonw_array(&w, "argv");
    for (; payload->argv[n] != NULL; n++) {
        sbx_jsonw_str(&w, NULL, payload->argv[n]);
    }
    sbx_jsonw_array_end(&w);
    sbx_jsonw_uint(&w, "skip", spec->skip);
    sbx_jsonw_str(&w, "cwd", payload->cwd);
    if (n <= spec->skip || payload->programs != NULL || payload->has_terminal || !write_env(&w, spec)) {
        return false;
    }
    sbx_jsonw_object_end(&w);
    return !out->failed;
}
