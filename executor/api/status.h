/* What a request for the status keeps between callbacks. */
#pragma once

struct status;

/* The call is over. Accepts NULL, returns NULL. */
struct status *status_free(struct status *status);
