/* What the kinds of sources share. */
#pragma once

#include "executor/api/source.h"

#define SOURCE_LIST_MAX (4u << 20) /* of SOURCE_ENTRIES_MAX lines of the longest names */

/* Its size and type. */
void source_found(struct source *source, uint64_t size, const char *mime);
/* Whether there is anything at the offset; false: answered. */
_must_check_ bool source_offset_fine(struct call *call);
/* A line of a list. */
void source_list_file(struct source *source, const char *name, uint64_t size);

/* source_step.c */
void source_step_open(struct call *call);
