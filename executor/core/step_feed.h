/* The feed of a step that ended, as far as its record tells. */
#pragma once

#include "executor/core/feed.h"
#include "executor/core/step_record.h"

/* start, stdout, stderr, then displays and results, with the numbers that they had; usage and end. Closed. */
_must_check_ int step_feed_replay(struct feed **ret, const struct step_record *record,
                                  struct feed_budget *budget);
