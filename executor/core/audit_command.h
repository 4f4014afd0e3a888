#pragma once

#include "executor/core/audit.h"
#include "executor/core/command.h"

void audit_process_started(struct db_tx *tx, const struct command *command, const char *tenant);
void audit_process_ended(struct db_tx *tx, const struct command *command, const char *tenant);
