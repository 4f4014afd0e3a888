#include "session-agent/session.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/sbx_crypto.h"

/* A directory of the payload's, below one of the agent's that it cannot rename. */
static int
make_dir(const char *path, const struct identity *identity, mode_t mode)
{
    if (mkdir(path, mode) < 0) {
        return -errno;
    }
    if (chmod(path, mode) < 0 || (identity->change && chown(path, identity->uid, identity->gid) < 0)) {
        return -errno;
    }
    return 0;
}

static const struct places inside = { .workspace = "/workspace", .run = "/run/sandbox", .tmp = "/tmp" };

static int
places_make(struct session *session, const struct session_spec *spec)
{
    struct places *places = &session->places;
    const struct identity agent = { 0 };
    int r;

    if (spec->root == NULL) {
        *places = inside;
        return 0;
    }

    if (snprintf(session->base, sizeof(session->base), "%s/%s", spec->root, session->request.id) >=
        (int)sizeof(session->base)) {
        return -ENAMETOOLONG;
    }
    (void)snprintf(places->workspace, sizeof(places->workspace), "%s/workspace",
                   session->base);                                             /* fits: base is shorter */
    (void)snprintf(places->run, sizeof(places->run), "%s/run", session->base); /* likewise */
    (void)snprintf(places->tmp, sizeof(places->tmp), "%s/tmp", session->base); /* likewise */

    r = make_dir(session->base, &agent, 0755);
    if (r < 0) {
        return r == -EEXIST ? SESSION_E_EXISTS : r;
    }
    session->own_dirs = true;
    r = make_dir(places->workspace, &spec->identity, 0700);
    if (r == 0) {
        r = make_dir(places->run, &spec->identity, 0700);
    }
    return r < 0 ? r : make_dir(places->tmp, &spec->identity, 0700);
}

static int
file_write(int root, const json_t *file)
{
    const json_t *content = json_object_get(file, "content");
    const char *encoding = json_string_value(json_object_get(file, "encoding"));
    const char *path = json_string_value(json_object_get(file, "path"));
    struct sbx_buf bytes = SBX_BUF_INIT(REQUEST_MAX_FILE);
    int r;

    if (encoding == NULL || strcmp(encoding, "base64") != 0) {
        return workspace_create(root, path, json_string_value(content), json_string_length(content));
    }
    if (!sbx_b64_decode(&bytes, json_string_value(content), json_string_length(content))) {
        r = bytes.failed ? -ENOMEM : -EBADMSG;
    } else {
        r = workspace_create(root, path, bytes.data == NULL ? "" : bytes.data, bytes.len);
    }
    sbx_buf_deinit(&bytes);
    return r;
}

static int
files_write(struct session *session, const struct identity *identity, struct sbx_field_error *err)
{
    const json_t *file;
    char field[32];
    size_t i;
    int root, r;

    if (json_array_size(session->request.files) == 0) {
        return 0;
    }
    r = identity_enter(identity);
    if (r < 0) {
        return r;
    }
    r = workspace_open_root(&root, session->places.workspace);
    json_array_foreach (session->request.files, i, file) {
        if (r < 0) {
            break;
        }
        r = file_write(root, file);
        if (r < 0) {
            sbx_json_pointer(field, sizeof(field), "/files", NULL, i);
            sbx_field_error_set(err, field, "%s", r == -EBADMSG ? "is not base64" : strerror(-r));
            r = SESSION_E_FILE;
            break;
        }
    }
    if (r >= 0) {
        (void)close(root); /* a directory */
    }
    identity_leave(identity);
    return r;
}

int
session_new(struct session **ret, struct session_request *request, const struct session_spec *spec,
            struct sbx_field_error *err)
{
    struct session *session = calloc(1, sizeof(*session));
    int r;

    if (session == NULL) {
        return -ENOMEM;
    }
    session->request = *request;
    session->runtime = spec->runtime;

    r = places_make(session, spec);
    if (r == 0) {
        r = files_write(session, &spec->identity, err);
    }
    if (r) {
        session->request = (struct session_request){ 0 }; /* still the caller's */
        session_free(session, &spec->identity);
        return r;
    }

    /* Their contents are on disk; the memory is better used by the payload. */
    (void)json_object_del(session->request.root, "files"); /* -1: there were none */
    session->request.files = NULL;
    *request = (struct session_request){ 0 };
    *ret = session;
    return 0;
}

int
session_new_inside(struct session **ret)
{
    struct session *session = calloc(1, sizeof(*session));

    if (session == NULL) {
        return -ENOMEM;
    }
    session->places = inside;
    *ret = session;
    return 0;
}

static void
dir_remove(const char *path, const struct identity *identity)
{
    int root;

    if (identity_enter(identity) == 0) {
        if (workspace_open_root(&root, path) == 0) {
            (void)workspace_clear(root); /* what stays is found by the operator */
            (void)close(root);           /* a directory */
        }
        identity_leave(identity);
    }
    (void)rmdir(path); /* likewise */
}

struct session *
session_free(struct session *session, const struct identity *identity)
{
    if (session == NULL) {
        return NULL;
    }
    if (session->own_dirs) {
        dir_remove(session->places.tmp, identity);
        dir_remove(session->places.run, identity);
        dir_remove(session->places.workspace, identity);
        (void)rmdir(session->base); /* what stays is found by the operator */
    }
    session_request_deinit(&session->request);
    free(session);
    return NULL;
}

bool
session_token_ok(const struct session *session, const char *token)
{
    const char *own = session->request.token;

    return own != NULL && token != NULL && strlen(token) == strlen(own) &&
           sbx_equal_const_time(token, own, strlen(own));
}
