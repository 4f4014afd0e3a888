/*
 * How many processes and threads a step has, within gVisor: its kernel refuses one too many and counts no refusals,
 * so one more than allowed is let through, to be seen.
 */
#pragma once

#include "lib/sbx_base.h"

/* Before the agent's own directory of /proc is covered (nested.h). 0 or -errno. */
_must_check_ int census_open(void);
/* Of everything but the agent itself. False as well when that cannot be told. */
bool census_is_over(unsigned processes);
