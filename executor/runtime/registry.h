/*
 * The languages this executor offers: names and aliases from the runtime registry
 * (runtimes.json), the same file the agents start interpreters by. How one is
 * started is the agents' business and not read here.
 */
#pragma once

#include "lib/sbx_base.h"

struct registry;

enum {
    REGISTRY_E_INVALID = 1, /* *why says which file and what is wrong with it */
};

#define REGISTRY_WHY_LEN 512

_must_check_ int registry_load(struct registry **ret, const char *path, char why[REGISTRY_WHY_LEN]);
/* The same from memory; `source` names it in messages. */
_must_check_ int registry_parse(struct registry **ret, const char *source, const char *text, size_t len,
                                char why[REGISTRY_WHY_LEN]);
struct registry *registry_free(struct registry *registry);

unsigned registry_count(const struct registry *registry);
const char *registry_name(const struct registry *registry, unsigned i);
/* The canonical name of a name or alias; NULL when there is no such language. Borrows until free. */
const char *registry_canonical(const struct registry *registry, const char *name);
/* Whether an interpreter of this name or alias can hold a session. */
bool registry_has_repl(const struct registry *registry, const char *name);
/* Whether one can be started before its work comes. */
bool registry_has_slot(const struct registry *registry, const char *name);
