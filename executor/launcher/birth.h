/*
 * From an empty slot to a child on its way: group, disk, descriptors, process. What
 * was made stays in the sandbox also on failure; sandbox.c gives it back.
 */
#pragma once

#include "executor/launcher/sandbox.h"

_must_check_ int birth_start(struct sandbox *sb, const struct sandbox_host *host,
                             const struct settings_template *template, const char *language,
                             const char **ret_stage);
