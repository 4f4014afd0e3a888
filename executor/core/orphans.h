/*
 * Sessions and steps whose record says that they have not ended, while nobody here has them: looked for from time to time,
 * and recorded as lost when they are found twice. At the start reconcile.h does that at once.
 */
#pragma once

#include "executor/core/sessions.h"

struct orphans;

_must_check_ int orphans_new(struct orphans **ret, struct sessions *sessions, uint64_t every_ms);
/* After the database was closed: no callback may be due. Accepts NULL, returns NULL. */
struct orphans *orphans_free(struct orphans *orphans);
