#include "executor/runtime/registry.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/sbx_json.h"

enum {
    MAX_FILE = 256 * 1024,
    MAX_RUNTIMES = 64,
    MAX_ALIASES = 16,
    MAX_NAME = 63,
};

struct name {
    char text[MAX_NAME + 1];
    unsigned runtime;
};

struct registry {
    unsigned n_runtimes;
    unsigned n_names;
    struct name names[MAX_RUNTIMES * (1 + MAX_ALIASES)];
    unsigned canonical[MAX_RUNTIMES]; /* index into names */
    bool has_repl[MAX_RUNTIMES];
    bool has_slot[MAX_RUNTIMES];
};

static void
registry_freep(struct registry **registry)
{
    registry_free(*registry);
}

struct registry *
registry_free(struct registry *registry)
{
    free(registry);
    return NULL;
}

static bool
name_valid(const char *text, size_t len)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.+-";

    return len > 0 && len <= MAX_NAME && strspn(text, allowed) == len;
}

static const struct name *
name_find(const struct registry *registry, const char *text)
{
    for (unsigned i = 0; i < registry->n_names; i++) {
        if (strcmp(registry->names[i].text, text) == 0) {
            return &registry->names[i];
        }
    }
    return NULL;
}

static bool
name_add(struct registry *registry, const json_t *json, unsigned runtime, struct sbx_field_error *err)
{
    const char *text = json_string_value(json);
    struct name *name;

    if (text == NULL || !name_valid(text, json_string_length(json))) {
        sbx_field_error_set(err, "", "a name or alias must be 1 to %d characters of A-Z a-z 0-9 _ . + -",
                            MAX_NAME);
        return false;
    }
    if (name_find(registry, text) != NULL) {
        sbx_field_error_set(err, "", "the name \"%s\" is given twice", text);
        return false;
    }
    name = &registry->names[registry->n_names++];
    memcpy(name->text, text, strlen(text) + 1);
    name->runtime = runtime;
    return true;
}

static bool
runtime_add(struct registry *registry, const json_t *json, const char *path, struct sbx_field_error *err)
{
    unsigned runtime = registry->n_runtimes;
    json_t *aliases = NULL, *argv = NULL, *repl = NULL, *slot = NULL, *alias;
    size_t i;

    if (!json_is_object(json)) {
        sbx_field_error_set(err, path, "must be an object");
        return false;
    }
    if (!sbx_json_get_array(json, path, "aliases", MAX_ALIASES, &aliases, err) ||
        !sbx_json_get_array(json, path, "argv", 64, &argv, err) ||
        !sbx_json_get_array(json, path, "repl", 64, &repl, err) ||
        !sbx_json_get_array(json, path, "slot", 64, &slot, err)) {
        return false;
    }
    if (json_array_size(argv) == 0) {
        sbx_field_error_set(err, path, "has no argv");
        return false;
    }
    registry->canonical[runtime] = registry->n_names;
    registry->has_repl[runtime] = json_array_size(repl) > 0;
    registry->has_slot[runtime] = json_array_size(slot) > 0;
    if (!name_add(registry, json_object_get(json, "name"), runtime, err)) {
        return false;
    }
    json_array_foreach (aliases, i, alias) {
        if (!name_add(registry, alias, runtime, err)) {
            return false;
        }
    }
    registry->n_runtimes++;
    return true;
}

static bool
registry_read(struct registry *registry, const json_t *document, struct sbx_field_error *err)
{
    json_t *entries = NULL, *entry;
    size_t i;

    if (!json_is_object(document)) {
        sbx_field_error_set(err, "", "must be an object");
        return false;
    }
    if (!sbx_json_get_array(document, "", "runtimes", MAX_RUNTIMES, &entries, err)) {
        return false;
    }
    if (json_array_size(entries) == 0) {
        sbx_field_error_set(err, "/runtimes", "must name at least one runtime");
        return false;
    }
    json_array_foreach (entries, i, entry) {
        char path[32];

        (void)snprintf(path, sizeof(path), "/runtimes/%zu", i); /* fits */
        if (!runtime_add(registry, entry, path, err)) {
            (void)snprintf(err->field, sizeof(err->field), "%s", path); /* fits */
            return false;
        }
    }
    return true;
}

int
registry_parse(struct registry **ret, const char *source, const char *text, size_t len,
               char why[REGISTRY_WHY_LEN])
{
    _cleanup_(registry_freep) struct registry *registry = NULL;
    _cleanup_(sbx_json_decrefp) json_t *document = NULL;
    struct sbx_field_error err;
    int r;

    registry = calloc(1, sizeof(*registry));
    if (registry == NULL) {
        return -ENOMEM;
    }
    r = sbx_json_parse(&document, text, len, &err);
    if (r < 0) {
        return r;
    }
    if (r > 0 || !registry_read(registry, document, &err)) {
        (void)snprintf(why, REGISTRY_WHY_LEN, "%.160s: %s%s%s", source, err.field,
                       err.field[0] == '\0' ? "" : ": ",
                       err.message); /* fits, but for a long source, which is cut */
        return REGISTRY_E_INVALID;
    }
    *ret = steal(&registry);
    return 0;
}

/* Bytes read, or -errno; more than size - 1 is -EFBIG. */
static ssize_t
file_read(const char *path, char *data, size_t size)
{
    size_t len = 0;
    ssize_t n = 1;
    int fd, r;

    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return -errno;
    }
    while (n > 0 && len < size) {
        n = read(fd, data + len, size - len);
        len += n > 0 ? (size_t)n : 0;
    }
    r = n < 0 ? -errno : 0;
    close(fd);
    return r < 0 ? r : len == size ? -EFBIG : (ssize_t)len;
}

int
registry_load(struct registry **ret, const char *path, char why[REGISTRY_WHY_LEN])
{
    char *data;
    ssize_t n;
    int r;

    data = malloc(MAX_FILE);
    if (data == NULL) {
        return -ENOMEM;
    }
    n = file_read(path, data, MAX_FILE);
    if (n < 0) {
        (void)snprintf(why, REGISTRY_WHY_LEN, "%.160s: %s", path, strerror((int)-n)); /* fits */
        r = REGISTRY_E_INVALID;
    } else {
        r = registry_parse(ret, path, data, (size_t)n, why);
    }
    free(data);
    return r;
}

unsigned
registry_count(const struct registry *registry)
{
    return registry->n_runtimes;
}

const char *
registry_name(const struct registry *registry, unsigned i)
{
    return registry->names[registry->canonical[i]].text;
}

const char *
registry_canonical(const struct registry *registry, const char *name)
{
    const struct name *found = name_find(registry, name);

    return found == NULL ? NULL : registry_name(registry, found->runtime);
}

bool
registry_has_repl(const struct registry *registry, const char *name)
{
    const struct name *found = name_find(registry, name);

    return found != NULL && registry->has_repl[found->runtime];
}

bool
registry_has_slot(const struct registry *registry, const char *name)
{
    const struct name *found = name_find(registry, name);

    return found != NULL && registry->has_slot[found->runtime];
}
