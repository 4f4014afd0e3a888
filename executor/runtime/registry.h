/*
 * The languages this executor offers: names and aliases from the runtime registry
 * (runtimes.json), the same file the agents start interpreters by. How one is
 * started is the agents' business and not read here.
 */
#pragma once

#include "lib/sbx_base.h"

struct runtimes;

enum {
    RUNTIMES_E_INVALID = 1, /* *why says which file and what is wrong with it */
};

#define RUNTIMES_WHY_LEN 512

_must_check_ int runtimes_load(struct runtimes **ret, const char *path, char why[RUNTIMES_WHY_LEN]);
/* The same from memory; `source` names it in messages. */
_must_check_ int runtimes_parse(struct runtimes **ret, const char *source, const char *text, size_t len,
                                char why[RUNTIMES_WHY_LEN]);
struct runtimes *runtimes_free(struct runtimes *runtimes);

unsigned runtimes_count(const struct runtimes *runtimes);
const char *runtimes_name(const struct runtimes *runtimes, unsigned i);
/* The canonical name of a name or alias; NULL when there is no such language. Borrows until free. */
const char *runtimes_canonical(const struct runtimes *runtimes, const char *name);
