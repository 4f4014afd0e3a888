/* Files that are taken out of a live session into the store, on demand. */
#pragma once

struct collection;

/* The call is over: what was stored and is on no record goes. Accepts NULL, returns NULL. */
struct collection *collection_free(struct collection *collection);
