/*
 * Files that a request names by URI instead of bringing their bytes: what a job left, and artifacts, both of the tenant. Read
 * into the spec's own memory before anything begins, within what a request may bring in files, and audited as readings.
 */
#pragma once

struct call;
struct inputs;

/* For call->spec: then `then`, at once when it names none; or the call is answered. */
void inputs_load(struct call *call, void (*then)(struct call *call));
/* The call is over. Accepts NULL, returns NULL. */
struct inputs *inputs_free(struct inputs *inputs);
