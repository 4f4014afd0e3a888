#include "session-agent/runtimes.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/sbx_env.h"
#include "session-agent/request.h"

#define MAX_ENTRIES 64
#define MAX_ARGV 32
#define MAX_TEXT 1024

struct runtimes {
    json_t *root;
    const json_t *entries;
};

static void
runtimes_freep(struct runtimes **runtimes)
{
    *runtimes = runtimes_free(*runtimes);
}

struct runtimes *
runtimes_free(struct runtimes *runtimes)
{
    if (runtimes != NULL) {
        json_decref(runtimes->root);
        free(runtimes);
    }
    return NULL;
}

static bool
name_ok(const json_t *name)
{
    const char *text = json_string_value(name);
    size_t len = json_string_length(name);

    return len > 0 && len <= 32 && strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789+#.-") == len;
}

static bool
argv_ok(const json_t *argv)
{
    const json_t *item;
    size_t i;

    if (json_array_size(argv) == 0 || json_array_size(argv) > MAX_ARGV) {
        return false;
    }
    json_array_foreach (argv, i, item) {
        if (json_string_length(item) == 0 || json_string_length(item) > MAX_TEXT) {
            return false;
        }
    }
    return json_string_value(json_array_get(argv, 0))[0] == '/';
}

/* Up to the driver: what has been started with other options cannot become it. */
static bool
is_alike(const json_t *slot, const json_t *argv)
{
    size_t n = json_array_size(slot) - 1, i;

    for (i = 0; i < n; i++) {
        if (!json_equal(json_array_get(slot, i), json_array_get(argv, i))) {
            return false;
        }
    }
    return json_array_size(argv) > n;
}

/* The registry is ours and may set what a tenant may not, such as NODE_OPTIONS. */
static bool
env_ok(json_t *env)
{
    const char *name;
    json_t *value;

    json_object_foreach (env, name, value) {
        if (!sbx_env_name_valid(name) || !json_is_string(value) || json_string_length(value) > MAX_TEXT) {
            return false;
        }
    }
    return true;
}

static void
entry_read(const json_t *json, struct runtime_entry *ret)
{
    const json_t *repl = json_object_get(json, "repl"), *slot = json_object_get(json, "slot");

    *ret = (struct runtime_entry){
        .name = json_string_value(json_object_get(json, "name")),
        .source = json_string_value(json_object_get(json, "source")),
        .aliases = json_object_get(json, "aliases"),
        .argv = json_object_get(json, "argv"),
        .repl = json_is_array(repl) ? repl : NULL,
        .slot = json_is_array(slot) ? slot : NULL,
        .slot_is_early = json_is_true(json_object_get(json, "slot_is_early")),
        .zygote = json_string_value(json_object_get(json, "zygote")),
        .env = json_object_get(json, "env"),
    };
}

static bool
entry_check(const json_t *entry, const char *path, struct sbx_field_error *err)
{
    static const char *const known[] = { "name",          "aliases", "argv",   "repl", "slot",
                                         "slot_is_early", "zygote",  "source", "env",  NULL };
    const json_t *alias;
    json_t *aliases = NULL, *argv = NULL, *repl = NULL, *slot = NULL, *env = NULL;
    const char *source = "", *zygote = NULL;
    size_t source_len = 0, zygote_len = 0, i;
    bool is_early = false;

    if (!sbx_json_only(entry, path, known, err) ||
        !sbx_json_get_array(entry, path, "aliases", 16, &aliases, err) ||
        !sbx_json_get_array(entry, path, "argv", MAX_ARGV, &argv, err) ||
        !sbx_json_get_array(entry, path, "repl", MAX_ARGV, &repl, err) ||
        !sbx_json_get_array(entry, path, "slot", MAX_ARGV, &slot, err) ||
        !sbx_json_get_bool(entry, path, "slot_is_early", &is_early, err) ||
        !sbx_json_get_str(entry, path, "zygote", MAX_TEXT, &zygote, &zygote_len, err) ||
        !sbx_json_get_object(entry, path, "env", &env, err) ||
        !sbx_json_get_str(entry, path, "source", 64, &source, &source_len, err)) {
        return false;
    }

    json_array_foreach (aliases, i, alias) {
        if (!name_ok(alias)) {
            sbx_field_error_set(err, path, "has a bad alias");
            return false;
        }
    }
    if (!name_ok(json_object_get(entry, "name"))) {
        sbx_field_error_set(err, path, "needs a name of lower-case letters and digits");
    } else if (!argv_ok(argv)) {
        sbx_field_error_set(err, path, "needs an argv that begins with an absolute path");
    } else if (repl != NULL && !argv_ok(repl)) {
        sbx_field_error_set(err, path, "needs a repl that begins with an absolute path");
    } else if (slot != NULL &&
               (!argv_ok(slot) || !is_alike(slot, argv) || (repl != NULL && !is_alike(slot, repl)))) {
        sbx_field_error_set(err, path,
                            "needs a slot that differs from argv and repl in what follows the options");
    } else if (zygote != NULL && (zygote[0] != '/' || slot == NULL)) {
        sbx_field_error_set(err, path, "needs a zygote that is a path, and a slot that it forks");
    } else if (!request_path_valid(source, source_len) || strchr(source, '/') != NULL) {
        sbx_field_error_set(err, path, "needs a source that is a file name");
    } else if (!env_ok(env)) {
        sbx_field_error_set(err, path, "has a bad env");
    } else {
        return true;
    }
    return false;
}

static unsigned
name_uses(const struct runtimes *runtimes, const char *name)
{
    struct runtime_entry entry;
    const json_t *alias;
    unsigned i, n = 0;
    size_t j;

    for (i = 0; i < runtimes_count(runtimes); i++) {
        runtimes_at(runtimes, i, &entry);
        n += strcmp(entry.name, name) == 0;
        json_array_foreach (entry.aliases, j, alias) {
            n += strcmp(json_string_value(alias), name) == 0;
        }
    }
    return n;
}

static bool
names_unique(const struct runtimes *runtimes)
{
    struct runtime_entry entry;
    const json_t *alias;
    unsigned i;
    size_t j;

    for (i = 0; i < runtimes_count(runtimes); i++) {
        runtimes_at(runtimes, i, &entry);
        if (name_uses(runtimes, entry.name) != 1) {
            return false;
        }
        json_array_foreach (entry.aliases, j, alias) {
            if (name_uses(runtimes, json_string_value(alias)) != 1) {
                return false;
            }
        }
    }
    return true;
}

static bool
runtimes_check(struct runtimes *runtimes, struct sbx_field_error *err)
{
    static const char *const known[] = { "runtimes", NULL };
    const json_t *entry;
    json_t *entries = NULL;
    char path[32];
    size_t i;

    if (!json_is_object(runtimes->root)) {
        sbx_field_error_set(err, "", "must be an object");
        return false;
    }
    if (!sbx_json_only(runtimes->root, "", known, err) ||
        !sbx_json_get_array(runtimes->root, "", "runtimes", MAX_ENTRIES, &entries, err)) {
        return false;
    }
    if (json_array_size(entries) == 0) {
        sbx_field_error_set(err, "/runtimes", "must not be empty");
        return false;
    }

    json_array_foreach (entries, i, entry) {
        sbx_json_pointer(path, sizeof(path), "/runtimes", NULL, i);
        if (!json_is_object(entry)) {
            sbx_field_error_set(err, path, "must be an object");
            return false;
        }
        if (!entry_check(entry, path, err)) {
            return false;
        }
    }
    runtimes->entries = entries;
    if (!names_unique(runtimes)) {
        sbx_field_error_set(err, "/runtimes", "use a name or alias twice");
        return false;
    }
    return true;
}

int
runtimes_parse(struct runtimes **ret, const char *text, size_t len, struct sbx_field_error *err)
{
    _cleanup_(runtimes_freep) struct runtimes *runtimes = calloc(1, sizeof(*runtimes));
    int r;

    if (runtimes == NULL) {
        return -ENOMEM;
    }
    r = sbx_json_parse(&runtimes->root, text, len, err);
    if (r) {
        return r < 0 ? r : RUNTIMES_E_INVALID;
    }
    if (!runtimes_check(runtimes, err)) {
        return RUNTIMES_E_INVALID;
    }

    *ret = steal(&runtimes);
    return 0;
}

int
runtimes_load(struct runtimes **ret, const char *path, struct sbx_field_error *err)
{
    static char text[RUNTIMES_MAX_FILE + 1]; /* read once, at start */
    size_t len = 0;
    ssize_t n;
    int fd, r;

    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return -errno;
    }
    do {
        n = read(fd, text + len, sizeof(text) - len);
        len += n > 0 ? (size_t)n : 0;
    } while (n > 0 && len < sizeof(text));
    r = n < 0 ? -errno : 0;
    (void)close(fd); /* only read */

    if (r == 0 && len > RUNTIMES_MAX_FILE) {
        r = -EFBIG;
    }
    return r < 0 ? r : runtimes_parse(ret, text, len, err);
}

unsigned
runtimes_count(const struct runtimes *runtimes)
{
    return (unsigned)json_array_size(runtimes->entries);
}

void
runtimes_at(const struct runtimes *runtimes, unsigned i, struct runtime_entry *ret)
{
    entry_read(json_array_get(runtimes->entries, i), ret);
}

bool
runtimes_find(const struct runtimes *runtimes, const char *name, struct runtime_entry *ret)
{
    const json_t *alias;
    unsigned i;
    size_t j;

    for (i = 0; i < runtimes_count(runtimes); i++) {
        runtimes_at(runtimes, i, ret);
        if (strcmp(ret->name, name) == 0) {
            return true;
        }
        json_array_foreach (ret->aliases, j, alias) {
            if (strcmp(json_string_value(alias), name) == 0) {
                return true;
            }
        }
    }
    return false;
}
