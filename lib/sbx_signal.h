/* Signals by name: which a tenant may send to a command, one rule for the API and for the agent behind it. */
#pragma once

#include "sbx_base.h"

#pragma GCC visibility push(hidden)

/* Of "SIGTERM" ...; 0: none that may be sent. */
int sbx_signal_parse(const char *name);
/* The other way round; NULL: none of these. */
const char *sbx_signal_name(int number);

#pragma GCC visibility pop
