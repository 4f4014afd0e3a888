/* Files that are taken out of a live session into the store, on demand. */
#pragma once

#include "executor/core/artifact.h"
#include "lib/sbx_jsonw.h"

#define COLLECTION_MAX_FILES 256
#define COLLECTION_MAX_PATTERNS 64
#define COLLECTION_MAX_PATTERN 1024

struct call;
struct collection;

/* The call is over: what was stored and is on no record goes. Accepts NULL, returns NULL. */
struct collection *collection_free(struct collection *collection);
/* Writes the body's patterns as the member of an OPEN. False: the call was answered. */
_must_check_ bool collection_patterns(struct call *call, struct sbx_jsonw *w);
/* Answers with what the collection made whose first artifact this is. */
void collection_replay(struct call *call, const char *id);
