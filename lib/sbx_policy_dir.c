/* Reads policy documents from files. Whatever cannot be read or means nothing refuses the whole directory. */
#include "sbx_policy_dir.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sbx_context.h"

#define SUFFIX ".json"
#define READ_SIZE 16384

/* A directory being read. */
struct walk {
    sbx_policy_dir_fn on_document;
    void *data;
    struct sbx_policy_dir_why *why;
    unsigned n_documents;
};

/* Of one directory's entries: whose they are, and as what they are read. */
struct level {
    struct walk *walk;
    const char *path;
    const char *tenant; /* NULL: the entries are the tenants */
    bool agents;        /* else apps */
};

typedef int (*entry_fn)(const struct level *level, const char *name, const char *path);

static int _printf_(2, 3) bad(struct walk *walk, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(walk->why->text, sizeof(walk->why->text), fmt, args); /* cut when too long */
    va_end(args);
    return SBX_POLICY_DIR_E_BAD;
}

static void
closep(const int *fd)
{
    if (*fd >= 0) {
        (void)close(*fd); /* only read from: nothing to lose */
    }
}

static void
closedirp(DIR **dir)
{
    if (*dir != NULL) {
        (void)closedir(*dir); /* as above */
    }
}

/* Reads a regular file; *ret_found is false when there is none of that name. */
static int
read_file(struct walk *walk, const char *path, struct sbx_buf *ret, bool *ret_found)
{
    /* Nonblocking, so that a FIFO in the directory cannot hold up the start. */
    _cleanup_(closep) int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    struct stat info;
    char *room;
    ssize_t n;

    *ret_found = fd >= 0;
    if (fd < 0) {
        return errno == ENOENT
                   ? 0
                   : bad(walk, "policy document \"%s\" cannot be opened: %s", path, strerror(errno));
    }
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        return bad(walk, "policy document \"%s\" is not a regular file", path);
    }
    do {
        room = sbx_buf_reserve(ret, READ_SIZE);
        n = room == NULL ? 0 : read(fd, room, READ_SIZE);
        ret->len += n > 0 ? (size_t)n : 0;
    } while (n > 0);

    if (ret->failed || ret->len > SBX_POLICY_FILE_MAX) {
        return bad(walk, "policy document \"%s\" is larger than %ld bytes", path, SBX_POLICY_FILE_MAX);
    }
    return n < 0 ? bad(walk, "policy document \"%s\" cannot be read: %s", path, strerror(errno)) : 0;
}

static int
compile(struct walk *walk, const char *path, const struct sbx_buf *text, struct sbx_policy_doc **ret)
{
    _cleanup_(sbx_json_decrefp) json_t *json = NULL;
    struct sbx_field_error err = { .field = "" };
    int r;

    r = sbx_json_parse(&json, text->data, text->len, &err);
    if (r != 0) {
        return r < 0 ? r : bad(walk, "policy document \"%s\" is not valid: %s", path, err.message);
    }
    r = sbx_policy_doc_compile(ret, json, &err);
    if (r != 0) {
        return r < 0 ? r
                     : bad(walk, "policy document \"%s\" is not valid: at \"%s\": %s", path, err.field,
                           err.message);
    }
    return 0;
}

/* `name` is what a document without an id is called by; *ret_found is false when there is no such file. */
static int
load(struct walk *walk, const char *path, const char *name, const struct sbx_policy_place *place,
     bool *ret_found)
{
    struct sbx_buf text = SBX_BUF_INIT(SBX_POLICY_FILE_MAX + READ_SIZE);
    struct sbx_policy_doc *doc = NULL;
    const struct sbx_policy *said;
    int r;

    r = read_file(walk, path, &text, ret_found);
    if (r == 0 && *ret_found) {
        r = compile(walk, path, &text, &doc);
    }
    sbx_buf_deinit(&text);
    if (r != 0 || !*ret_found) {
        return r;
    }
    said = sbx_policy_doc_said(doc);
    if (said->id[0] == '\0') {
        sbx_policy_doc_name(doc, name, said->version);
    }
    return walk->on_document(walk->data, place, doc);
}

static int
load_listed(struct walk *walk, const char *path, const char *name, const struct sbx_policy_place *place)
{
    bool found;
    int r;

    if (walk->n_documents++ == SBX_POLICY_FILES_MAX) {
        return bad(walk, "more than %d policy documents at \"%s\"", SBX_POLICY_FILES_MAX, path);
    }
    r = load(walk, path, name, place, &found);
    /* A name that readdir gave but open did not find was removed just now: start again. */
    return r == 0 && !found ? bad(walk, "policy document \"%s\" vanished", path) : r;
}

/* Calls `entry` for each name in the directory but hidden ones; a missing directory is an empty one. */
static int
each_entry(const struct level *level, entry_fn entry)
{
    _cleanup_(closedirp) DIR *stream = opendir(level->path);
    struct dirent *item;
    char path[PATH_MAX];
    int r = 0;

    if (stream == NULL) {
        return errno == ENOENT ? 0
                               : bad(level->walk, "policy directory \"%s\" cannot be opened: %s", level->path,
                                     strerror(errno));
    }
    while (r == 0) {
        errno = 0;
        item = readdir(stream);
        if (item == NULL) {
            return errno == 0 ? 0
                              : bad(level->walk, "policy directory \"%s\" cannot be read: %s", level->path,
                                    strerror(errno));
        }
        if (item->d_name[0] == '.') {
            continue;
        }
        if ((size_t)snprintf(path, sizeof(path), "%s/%s", level->path, item->d_name) >= sizeof(path)) {
            return bad(level->walk, "policy directory \"%s\" has too long a name in it", level->path);
        }
        r = entry(level, item->d_name, path);
    }
    return r;
}

/* A document's name without its suffix; false when it is no document. */
static bool
stem_of(char out[NAME_MAX + 1], const char *name)
{
    size_t len = strlen(name);

    if (len <= strlen(SUFFIX) || len > NAME_MAX || strcmp(name + len - strlen(SUFFIX), SUFFIX) != 0) {
        return false;
    }
    len -= strlen(SUFFIX);
    memcpy(out, name, len);
    out[len] = '\0';
    return true;
}

/* A document whose name can belong to nobody is a mistake that would otherwise pass unseen. */
static int
check_name(struct walk *walk, const char *name, const char *path)
{
    return sbx_name_valid(name, strlen(name))
               ? 0
               : bad(walk, "\"%s\" has a name that no tenant, app or agent can have", path);
}

static int
on_member(const struct level *level, const char *name, const char *path)
{
    struct sbx_policy_place place = { level->tenant, "", "" };
    char stem[NAME_MAX + 1];
    int r;

    if (!stem_of(stem, name)) {
        return 0;
    }
    r = check_name(level->walk, stem, path);
    if (r != 0) {
        return r;
    }
    *(level->agents ? &place.agent : &place.app) = stem;
    return load_listed(level->walk, path, stem, &place);
}

static int
load_members(struct walk *walk, const char *tenant, const char *path)
{
    struct level level = { .walk = walk, .tenant = tenant };
    char sub[PATH_MAX];
    unsigned i;
    int r = 0;

    for (i = 0; i < 2 && r == 0; i++) {
        level.agents = i == 1;
        level.path = sub;
        if ((size_t)snprintf(sub, sizeof(sub), "%s/%s", path, level.agents ? "agents" : "apps") >=
            sizeof(sub)) {
            return bad(walk, "policy directory \"%s\" has too long a name", path);
        }
        r = each_entry(&level, on_member);
    }
    return r;
}

static int
on_tenant(const struct level *level, const char *name, const char *path)
{
    struct sbx_policy_place place = { "", "", "" };
    char stem[NAME_MAX + 1];
    struct stat info;
    int r;

    if (stat(path, &info) != 0) {
        return bad(level->walk, "\"%s\" cannot be examined: %s", path, strerror(errno));
    }
    if (S_ISDIR(info.st_mode)) {
        r = check_name(level->walk, name, path);
        return r != 0 ? r : load_members(level->walk, name, path);
    }
    if (!stem_of(stem, name)) {
        return 0;
    }
    r = check_name(level->walk, stem, path);
    if (r != 0) {
        return r;
    }
    place.tenant = stem;
    return load_listed(level->walk, path, stem, &place);
}

int
sbx_policy_dir_load(const char *dir, sbx_policy_dir_fn on_document, void *data,
                    struct sbx_policy_dir_why *why)
{
    struct walk walk = { .on_document = on_document, .data = data, .why = why };
    const struct sbx_policy_place operators = { "", "", "" };
    struct level level = { .walk = &walk };
    char path[PATH_MAX];
    struct stat info;
    bool found;
    int r;

    /* A directory that was named and is not there is a mistake, not an empty policy. */
    if (stat(dir, &info) != 0 || !S_ISDIR(info.st_mode) ||
        strlen(dir) + sizeof("/default.json") > sizeof(path)) {
        return bad(&walk, "policy directory \"%s\" is not there", dir);
    }
    (void)snprintf(path, sizeof(path), "%s/default.json", dir); /* fits */
    r = load(&walk, path, "default", &operators, &found);
    if (r != 0) {
        return r;
    }
    (void)snprintf(path, sizeof(path), "%s/tenants", dir); /* fits */
    level.path = path;
    return each_entry(&level, on_tenant);
}
