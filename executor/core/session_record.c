#include "executor/core/session_record.h"

#include <stdlib.h>
#include <string.h>

void
session_record_deinit(struct session_record *record)
{
    free(record->limits_json);
    free(record->metadata_json);
    free(record->violation_json);
    free(record->usage_json);
    memset(record, 0, sizeof(*record));
}
