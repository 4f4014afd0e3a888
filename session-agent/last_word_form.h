/* What a last word looks like; also for those who say it: session-agent/preload/fork.c, drivers/node_slot.js. */
#pragma once

#define LAST_WORD_SIZE 2
#define LAST_WORD_MARK 'E' /* then the status of exit() */
