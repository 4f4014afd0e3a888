/* `executord check-host`: what the launcher says of the walls, and what executord sees of the host and of itself. */
#pragma once

#include "executor/config.h"

enum { CHECK_HOST_FINE = 0, CHECK_HOST_MISSING = 1, CHECK_HOST_UNASKED = 3 };

/* Prints to standard output; one of the above. */
int check_host(const struct config *config, bool json);
