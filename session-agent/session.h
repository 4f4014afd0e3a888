/*
 * A session: its token, its environment and the directories its steps run in.
 * Inside a sandbox there is one, in the directories the launcher made; standalone
 * each has its own below WORKSPACE_ROOT, removed with it.
 */
#pragma once

#include "session-agent/request.h"
#include "session-agent/runtimes.h"
#include "session-agent/workspace.h"

struct places {
    char workspace[512];
    char run[512];
    char tmp[512];
};

struct session {
    struct session *next;
    struct session_request request; /* root holds the env; files are dropped once written */
    struct runtime_entry runtime;
    struct places places;
    bool own_dirs; /* made here, removed here */
    bool was_used; /* a step has begun: what it left may be there */
    char base[448];
};

struct session_spec {
    const char *root; /* WORKSPACE_ROOT; NULL inside a sandbox */
    struct identity identity;
    struct runtime_entry runtime;
};

enum {
    SESSION_E_EXISTS = 1, /* the directory is taken */
    SESSION_E_FILE,       /* *err names the file that cannot be written */
};

/* Takes *request on success. */
_must_check_ int session_new(struct session **ret, struct session_request *request,
                             const struct session_spec *spec, struct sbx_field_error *err);
/* Without a document: the one of a sandbox whose executor talks to it. -ENOMEM. */
_must_check_ int session_new_inside(struct session **ret);
/* Removes the directories; no process of the session may be left. Accepts NULL, returns NULL. */
struct session *session_free(struct session *session, const struct identity *identity);
bool session_token_ok(const struct session *session, const char *token);
