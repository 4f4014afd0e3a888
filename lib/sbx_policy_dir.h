/*
 * Policy documents of a directory:
 *
 *   default.json
 *   tenants/<tenant>.json
 *   tenants/<tenant>/apps/<app>.json
 *   tenants/<tenant>/agents/<agent>.json
 *
 * Read whole or not at all: at the edge with its configuration, at the executor with its.
 */
#pragma once

#include "sbx_policy_doc.h"

#pragma GCC visibility push(hidden)

#define SBX_POLICY_FILE_MAX (1024l * 1024) /* bytes of one document's text */
#define SBX_POLICY_FILES_MAX 16384

/* Whose document: all are "" of the operator's default, app or agent of those beneath a tenant. */
struct sbx_policy_place {
    const char *tenant, *app, *agent;
};

enum {
    SBX_POLICY_DIR_E_BAD = 1, /* *why says which file, and what is wrong with it */
};

struct sbx_policy_dir_why {
    char text[1024];
};

/* Takes the document (free() it); `place` is borrowed. 0, or a negative errno that ends the reading. */
typedef int (*sbx_policy_dir_fn)(void *data, const struct sbx_policy_place *place,
                                 struct sbx_policy_doc *doc);

/*
 * Calls `on_document` for each document, the default first. A document without an id is called by its file. Blocks on
 * the file system. 0, SBX_POLICY_DIR_E_BAD, or a negative errno (-ENOMEM, or what on_document returned).
 */
_must_check_ int sbx_policy_dir_load(const char *dir, sbx_policy_dir_fn on_document, void *data,
                                     struct sbx_policy_dir_why *why);

#pragma GCC visibility pop
